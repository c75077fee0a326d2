//! The contract of [`Artifacts`].

use std::{
    collections::HashSet,
    io::{Read as _, Seek as _},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use waggle_stores::{ArtifactError, Artifacts, artifacts::sha256_hex};

/// Enough for a bucket to take it in parts, the last of them short.
const LARGE_BYTES: usize = (20 << 20) + 3;
/// More than a page of names.
const MANY: usize = 1_100;

/// Runs the whole suite in an empty place.
///
/// - `open`: the place, for artifacts of at most so many bytes
pub(crate) async fn artifacts_contract(open: impl AsyncFn(u64) -> Artifacts) {
    let artifacts = open(1 << 30).await;
    what_was_put_is_got_listed_and_deleted(&artifacts).await;
    damaged_content_is_not_what_was_asked_for(&artifacts).await;
    a_place_holds_more_than_a_page_of_names(&artifacts).await;
    large_content_comes_back_bit_for_bit(&artifacts).await;
    what_is_open_can_be_read_again_after_it_was_deleted(&artifacts).await;
    whoever_writes_at_once_one_of_them_is_seen_whole(&artifacts).await;
    paths_that_leave_the_place_are_refused(&artifacts).await;
    artifacts_above_the_limit_are_neither_written_nor_read(&artifacts, &open(10).await).await;
}

/// Any bytes, the same for the same seed.
fn content(seed: usize, n_bytes: usize) -> Bytes {
    (0..n_bytes).map(|i| u8::try_from((i * 31 + (i >> 8) * 7 + seed * 101) % 251).unwrap()).collect()
}

async fn what_is_open_can_be_read_again_after_it_was_deleted(artifacts: &Artifacts) {
    let large = content(5, LARGE_BYTES);
    artifacts.put("open/large", large.clone()).await.unwrap();
    let mut file = artifacts.open("open/large").await.unwrap();
    artifacts.delete("open/large").await.unwrap();
    for _ in 0..2 {
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == large);
        file.rewind().unwrap();
    }
    let missing = artifacts.open("open/large").await;
    assert!(matches!(missing, Err(ArtifactError::NotFound(_))), "{missing:?}");
}

async fn what_was_put_is_got_listed_and_deleted(artifacts: &Artifacts) {
    assert_eq!(artifacts.list("").await.unwrap(), []);
    let digest = artifacts.put_with_sha256("snapshots/v1/items.bin", Bytes::from("abc")).await.unwrap();
    assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    artifacts.put("snapshots/v1/empty", Bytes::new()).await.unwrap();
    artifacts.put("archive/day=2026-01-01/0-0-9.parquet", Bytes::from("xy")).await.unwrap();
    assert_eq!(artifacts.get("snapshots/v1/items.bin").await.unwrap(), "abc");
    assert_eq!(artifacts.get_verified("snapshots/v1/items.bin", &digest).await.unwrap(), "abc");
    assert_eq!(artifacts.get("snapshots/v1/empty").await.unwrap(), "");
    let listed = artifacts.list("snapshots/").await.unwrap();
    let listed = listed.iter().map(|a| (a.path.as_str(), a.size_bytes)).collect::<Vec<_>>();
    assert_eq!(listed, [("snapshots/v1/empty", 0), ("snapshots/v1/items.bin", 3)]);
    assert_eq!(artifacts.list("").await.unwrap().len(), 3);
    assert_eq!(artifacts.list("snap").await.unwrap(), [], "a prefix is a folder, not a part of a name");
    assert_eq!(artifacts.list("no/such").await.unwrap(), []);

    artifacts.put("snapshots/v1/items.bin", Bytes::from("replaced")).await.unwrap();
    assert_eq!(artifacts.get("snapshots/v1/items.bin").await.unwrap(), "replaced");
    artifacts.delete("snapshots/v1/items.bin").await.unwrap();
    artifacts.delete("snapshots/v1/items.bin").await.unwrap();
    artifacts.delete("no/such").await.unwrap();
    for missing in ["snapshots/v1/items.bin", "no/such", "snapshots"] {
        let gone = artifacts.get(missing).await;
        assert!(matches!(&gone, Err(ArtifactError::NotFound(path)) if path == missing), "{gone:?}");
    }
    clear(artifacts, 2).await;
}

async fn damaged_content_is_not_what_was_asked_for(artifacts: &Artifacts) {
    let digest = artifacts.put_with_sha256("a/b", Bytes::from("as it was")).await.unwrap();
    artifacts.put("a/b", Bytes::from("as it waz")).await.unwrap();
    let damaged = artifacts.get_verified("a/b", &digest).await;
    assert!(
        matches!(&damaged, Err(ArtifactError::Checksum { path, expected, .. })
        if path == "a/b" && *expected == digest),
        "{damaged:?}"
    );
    clear(artifacts, 1).await;
}

async fn a_place_holds_more_than_a_page_of_names(artifacts: &Artifacts) {
    let paths = (0..MANY).map(|i| format!("many/{}/{i:04}", i % 3)).collect::<Vec<_>>();
    let puts = paths.iter().map(|path| artifacts.put(path, Bytes::copy_from_slice(path.as_bytes())));
    stream::iter(puts).buffer_unordered(16).try_collect::<()>().await.unwrap();
    let listed = artifacts.list("many").await.unwrap();
    assert!(listed.is_sorted_by(|a, b| a.path < b.path));
    let listed = listed.into_iter().map(|a| a.path).collect::<HashSet<_>>();
    assert_eq!(listed, paths.iter().cloned().collect());
    assert_eq!(artifacts.list("many/1").await.unwrap().len(), MANY.div_ceil(3));
    // All but one, and some that are not there.
    let gone = paths[1..].iter().cloned().chain((0..10).map(|i| format!("never/{i}"))).collect::<Vec<_>>();
    artifacts.delete_all(&gone).await.unwrap();
    assert_eq!(artifacts.get(&paths[0]).await.unwrap(), paths[0]);
    artifacts.delete_all(&[] as &[&str]).await.unwrap();
    clear(artifacts, 1).await;
}

async fn large_content_comes_back_bit_for_bit(artifacts: &Artifacts) {
    for (seed, n_bytes) in [8 << 20, (8 << 20) + 1, LARGE_BYTES].into_iter().enumerate() {
        let large = content(seed, n_bytes);
        let digest = artifacts.put_with_sha256("large", large.clone()).await.unwrap();
        assert!(artifacts.get_verified("large", &digest).await.unwrap() == large);
        assert_eq!(artifacts.list("").await.unwrap()[0].size_bytes, n_bytes as u64);
    }
    artifacts.put("large", Bytes::from("small")).await.unwrap();
    assert_eq!(artifacts.get("large").await.unwrap(), "small");
    clear(artifacts, 1).await;
}

async fn whoever_writes_at_once_one_of_them_is_seen_whole(artifacts: &Artifacts) {
    let contents =
        (0..6).map(|i| content(i, if i == 5 { LARGE_BYTES } else { 1_000 + i })).collect::<Vec<_>>();
    let digests = contents.iter().map(|content| sha256_hex(content)).collect::<HashSet<_>>();
    artifacts.put("one", contents[0].clone()).await.unwrap();
    let writing = async {
        for _ in 0..5 {
            let puts = contents.iter().map(|content| artifacts.put("one", content.clone()));
            stream::iter(puts).buffer_unordered(6).try_collect::<()>().await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..40 {
            let read = artifacts.get("one").await.unwrap();
            assert!(digests.contains(&sha256_hex(&read)), "{} bytes of nobody", read.len());
        }
    };
    futures::join!(writing, reading);
    assert!(digests.contains(&sha256_hex(&artifacts.get("one").await.unwrap())));
    clear(artifacts, 1).await;
}

async fn paths_that_leave_the_place_are_refused(artifacts: &Artifacts) {
    let long = "a/".repeat(300) + "b";
    for path in [
        "",
        "/",
        "/etc/passwd",
        "../secret",
        "a/../../secret",
        "a//b",
        "a/",
        ".hidden",
        "a/./b",
        "a\\b",
        "a b",
        "ä",
        "a\0b",
        "a#1",
        "%2e%2e/x",
        &long,
    ] {
        let put = artifacts.put(path, Bytes::from("x")).await;
        assert!(matches!(put, Err(ArtifactError::Path { .. })), "{path:?}: {put:?}");
        assert!(matches!(artifacts.get(path).await, Err(ArtifactError::Path { .. })));
        assert!(matches!(artifacts.delete(path).await, Err(ArtifactError::Path { .. })));
    }
    assert!(artifacts.list("../").await.is_err());
    clear(artifacts, 0).await;
}

async fn artifacts_above_the_limit_are_neither_written_nor_read(artifacts: &Artifacts, limited: &Artifacts) {
    limited.put("fits", Bytes::from(vec![0; 10])).await.unwrap();
    let refused = limited.put("too-large", Bytes::from(vec![0; 11])).await;
    assert!(matches!(refused, Err(ArtifactError::TooLarge { got: 11, max: 10, .. })), "{refused:?}");
    artifacts.put("planted", Bytes::from(vec![0; 11])).await.unwrap();
    let refused = limited.get("planted").await;
    assert!(matches!(refused, Err(ArtifactError::TooLarge { got: 11, .. })), "{refused:?}");
    clear(artifacts, 2).await;
}

/// Removes what a part of the suite left, which must be so much.
async fn clear(artifacts: &Artifacts, n: usize) {
    let left = artifacts.list("").await.unwrap().into_iter().map(|a| a.path).collect::<Vec<_>>();
    assert_eq!(left.len(), n, "{left:?}");
    artifacts.delete_all(&left).await.unwrap();
    assert_eq!(artifacts.list("").await.unwrap(), []);
}
