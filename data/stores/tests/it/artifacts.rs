//! Artifacts in a local folder.

use bytes::Bytes;
use waggle_stores::{ArtifactError, Artifacts};

#[tokio::test]
async fn what_was_put_is_got_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open_local(folder.path().join("a/b"), 1 << 20).await.unwrap();
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

    artifacts.put("snapshots/v1/items.bin", Bytes::from("replaced")).await.unwrap();
    let changed = artifacts.get_verified("snapshots/v1/items.bin", &digest).await;
    assert!(matches!(changed, Err(ArtifactError::Checksum { .. })), "{changed:?}");
    artifacts.delete("snapshots/v1/items.bin").await.unwrap();
    artifacts.delete("snapshots/v1/items.bin").await.unwrap();
    let gone = artifacts.get("snapshots/v1/items.bin").await;
    assert!(matches!(gone, Err(ArtifactError::NotFound(_))), "{gone:?}");
}

#[tokio::test]
async fn paths_that_leave_the_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open_local(folder.path().join("inside"), 1 << 20).await.unwrap();
    std::fs::write(folder.path().join("secret"), b"secret").unwrap();
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
        assert!(artifacts.get(path).await.is_err());
        assert!(artifacts.delete(path).await.is_err());
    }
    assert!(artifacts.list("../").await.is_err());
    assert_eq!(std::fs::read(folder.path().join("secret")).unwrap(), b"secret");
}

#[tokio::test]
async fn artifacts_above_the_limit_are_neither_written_nor_read() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open_local(folder.path(), 10).await.unwrap();
    artifacts.put("fits", Bytes::from(vec![0; 10])).await.unwrap();
    let refused = artifacts.put("too-large", Bytes::from(vec![0; 11])).await;
    assert!(matches!(refused, Err(ArtifactError::TooLarge { got: 11, max: 10, .. })), "{refused:?}");
    std::fs::write(folder.path().join("planted"), vec![0; 11]).unwrap();
    let refused = artifacts.get("planted").await;
    assert!(matches!(refused, Err(ArtifactError::TooLarge { got: 11, .. })), "{refused:?}");
    assert_eq!(artifacts.list("").await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_upload_that_was_cut_short_is_not_an_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open_local(folder.path(), 1 << 20).await.unwrap();
    // What a process leaves that dies between writing and renaming.
    std::fs::write(folder.path().join("model.bin#1"), b"half").unwrap();
    assert_eq!(artifacts.list("").await.unwrap(), []);
    assert!(matches!(artifacts.get("model.bin").await, Err(ArtifactError::NotFound(_))));
    artifacts.put("model.bin", Bytes::from("whole")).await.unwrap();
    assert_eq!(artifacts.get("model.bin").await.unwrap(), "whole");
}
