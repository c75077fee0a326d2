//! Artifacts: snapshots, archive and other files that are written once and read whole.
//!
//! A thin type over `object_store`: a local folder today, S3 and alike by the same calls. In a folder, `object_store`
//! writes a staging file (`name#1`), and renames it: an artifact is visible whole or not at all. By itself it syncs
//! nothing; with `with_fsync(true)`, which is always on here, it fsyncs the file before the rename and the folders
//! after it (also those it creates), so what `put` has acknowledged survives a power cut. Its `delete` is not synced:
//! after a power cut a deleted artifact may be back.

use std::{fmt::Write, path::Path, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem, path::Path as Name,
};
use sha2::{Digest, Sha256};

/// Largest artifact by default: 2 GiB.
pub const DEFAULT_MAX_BYTES: u64 = 2 << 30;
/// Longest path, in bytes.
const MAX_PATH_BYTES: usize = 512;

/// What is known about an artifact without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactInfo {
    pub path: String,
    pub size_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("\"{path}\" is not an artifact path: {problem}")]
    Path { path: String, problem: &'static str },
    #[error("artifact {0} does not exist")]
    NotFound(String),
    #[error("artifact {path} has {got} bytes, at most {max} are allowed")]
    TooLarge { path: String, got: u64, max: u64 },
    #[error("artifact {path} is damaged: its SHA-256 is {got}, {expected} was recorded")]
    Checksum { path: String, expected: String, got: String },
    #[error("artifact storage failed: {0}")]
    Storage(String),
}

/// A place for artifacts.
///
/// Paths are relative, `/`-separated, of the characters `A-Z a-z 0-9 . _ = -`; no segment begins with a dot.
#[derive(Debug, Clone)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    max_bytes: u64,
}

impl Artifacts {
    /// Artifacts in the folder `dir`, which is created if need be, each of at most `max_bytes`.
    ///
    /// # Errors
    /// [`ArtifactError::Storage`] if the folder cannot be made.
    pub async fn open_local(dir: impl AsRef<Path>, max_bytes: u64) -> Result<Self, ArtifactError> {
        let dir = dir.as_ref();
        let fail = |e: &dyn std::fmt::Display| ArtifactError::Storage(format!("{}: {e}", dir.display()));
        tokio::fs::create_dir_all(dir).await.map_err(|e| fail(&e))?;
        let store = LocalFileSystem::new_with_prefix(dir).map_err(|e| fail(&e))?.with_fsync(true);
        Ok(Self { store: Arc::new(store), max_bytes })
    }

    /// Writes the artifact, replacing one of that path; it is durable when this returns.
    pub async fn put(&self, path: &str, content: Bytes) -> Result<(), ArtifactError> {
        let name = checked(path)?;
        self.check_size(path, content.len() as u64)?;
        self.store.put(&name, PutPayload::from_bytes(content)).await.map(drop).map_err(|e| failure(path, e))
    }

    /// [`put`](Self::put), giving the content's SHA-256 in lower-case hexadecimal.
    pub async fn put_with_sha256(&self, path: &str, content: Bytes) -> Result<String, ArtifactError> {
        let digest = sha256_hex(&content);
        self.put(path, content).await?;
        Ok(digest)
    }

    /// # Errors
    /// [`ArtifactError::NotFound`]; [`ArtifactError::TooLarge`] before anything of it is read.
    pub async fn get(&self, path: &str) -> Result<Bytes, ArtifactError> {
        let found = self
            .store
            .get_opts(&checked(path)?, GetOptions::default())
            .await
            .map_err(|e| failure(path, e))?;
        self.check_size(path, found.meta.size)?;
        found.bytes().await.map_err(|e| failure(path, e))
    }

    /// [`get`](Self::get), refusing content whose SHA-256 is not `expected`.
    ///
    /// # Errors
    /// [`ArtifactError::Checksum`] besides those of `get`.
    pub async fn get_verified(&self, path: &str, expected: &str) -> Result<Bytes, ArtifactError> {
        let content = self.get(path).await?;
        let got = sha256_hex(&content);
        if got.eq_ignore_ascii_case(expected) {
            return Ok(content);
        }
        Err(ArtifactError::Checksum { path: path.to_owned(), expected: expected.to_owned(), got })
    }

    /// Every artifact under the folder `prefix` (all of them if it is empty), by ascending path.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ArtifactInfo>, ArtifactError> {
        let prefix = prefix.trim_end_matches('/');
        let name = if prefix.is_empty() { None } else { Some(checked(prefix)?) };
        let found =
            self.store.list(name.as_ref()).try_collect::<Vec<_>>().await.map_err(|e| failure(prefix, e))?;
        let info =
            |m: object_store::ObjectMeta| ArtifactInfo { path: m.location.to_string(), size_bytes: m.size };
        let mut found = found.into_iter().map(info).collect::<Vec<_>>();
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Removes the artifact; one that is not there is fine.
    pub async fn delete(&self, path: &str) -> Result<(), ArtifactError> {
        match self.store.delete(&checked(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(path, error)),
        }
    }

    fn check_size(&self, path: &str, got: u64) -> Result<(), ArtifactError> {
        if got <= self.max_bytes {
            return Ok(());
        }
        Err(ArtifactError::TooLarge { path: path.to_owned(), got, max: self.max_bytes })
    }
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string");
        hex
    })
}

/// Only what every store and file system takes literally, and nothing that leaves the folder.
fn checked(path: &str) -> Result<Name, ArtifactError> {
    let refuse = |problem| Err(ArtifactError::Path { path: path.to_owned(), problem });
    if path.len() > MAX_PATH_BYTES {
        return refuse("it is longer than 512 bytes");
    }
    if path.split('/').any(|segment| segment.is_empty() || segment.starts_with('.')) {
        return refuse("a segment is empty or begins with a dot");
    }
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._=-/".contains(&b)) {
        return refuse("only letters, digits and . _ = - / are allowed");
    }
    Ok(Name::from(path))
}

fn failure(path: &str, error: object_store::Error) -> ArtifactError {
    match error {
        object_store::Error::NotFound { .. } => ArtifactError::NotFound(path.to_owned()),
        other => ArtifactError::Storage(format!("{path}: {other}")),
    }
}
