//! Artifacts in a local folder.

use bytes::Bytes;
use waggle_stores::{ArtifactError, Artifacts};

use crate::contract::artifacts::artifacts_contract;

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_fulfils_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("a/b");
    std::fs::write(folder.path().join("secret"), b"secret").unwrap();
    artifacts_contract(async |max_bytes| Artifacts::open_local(&inside, max_bytes).await.unwrap()).await;
    assert_eq!(std::fs::read(folder.path().join("secret")).unwrap(), b"secret");
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
