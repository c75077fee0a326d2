//! Artifacts: snapshots, archive and other files that are written once and read whole.
//!
//! A thin type over `object_store`, in a folder or in a bucket of S3 and alike. An artifact is visible whole or not at all,
//! and durable once `put` has returned:
//!
//! - In a folder, `object_store` writes a staging file (`name#1`), and renames it. By itself it syncs nothing; with
//!   `with_fsync(true)`, which is always on here, it fsyncs the file before the rename and the folders after it (also
//!   those it creates), so what was acknowledged survives a power cut. Its `delete` is not synced: after a power cut a
//!   deleted artifact may be back.
//! - In a bucket one request does it, or for large content several and a last one that makes it visible. A process that
//!   dies in between leaves parts that nobody sees; a rule of the bucket has to clear them away.

mod http;
mod s3;

use std::{fmt::Write, fs::File, io, path::Path, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    GetOptions, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem,
    path::Path as Name, prefix::PrefixStore,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

pub use self::s3::S3Config;

/// Largest artifact by default: 2 GiB.
pub const DEFAULT_MAX_BYTES: u64 = 2 << 30;
/// Longest path, in bytes.
const MAX_PATH_BYTES: usize = 512;
/// Content above this goes to a bucket in parts of this size.
const PART_BYTES: usize = 8 << 20;
/// Most parts of one artifact, which is S3's own limit.
const MAX_PARTS: usize = 10_000;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 4;

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
    #[error("artifacts.{0}")]
    Config(String),
    #[error("artifacts in {place} cannot be reached: {why}")]
    Unreachable { place: String, why: String },
    #[error("there is no such bucket: {0}")]
    NoBucket(String),
    #[error("artifacts in {place} are not for us: {why}")]
    Refused { place: String, why: String },
    #[error("artifact storage failed: {0}")]
    Storage(String),
}

impl ArtifactError {
    /// Whether the place failed us, and not the one artifact: it may be got later as it is.
    pub fn is_of_place(&self) -> bool {
        match self {
            Self::Config(_) | Self::Unreachable { .. } | Self::NoBucket(_) | Self::Refused { .. } => true,
            // A folder that fails has trouble with the one file.
            Self::Storage(_) => false,
            Self::Path { .. } | Self::NotFound(_) | Self::TooLarge { .. } | Self::Checksum { .. } => false,
        }
    }
}

/// A place for artifacts.
///
/// Paths are relative, `/`-separated, of the characters `A-Z a-z 0-9 . _ = -`; no segment begins with a dot.
#[derive(Debug, Clone)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    max_bytes: u64,
    /// For people.
    place: String,
    /// Whether a server keeps them, and takes large content in parts.
    is_bucket: bool,
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
        let place = dir.display().to_string();
        Ok(Self { store: Arc::new(store), max_bytes, place, is_bucket: false })
    }

    /// Artifacts in a bucket, each of at most `max_bytes`. The bucket is asked once.
    ///
    /// # Errors
    /// [`ArtifactError::Config`], [`ArtifactError::Unreachable`], [`ArtifactError::NoBucket`] and
    /// [`ArtifactError::Refused`].
    pub async fn connect(config: &S3Config, max_bytes: u64) -> Result<Self, ArtifactError> {
        let bucket = s3::Bucket::try_from(config)?;
        let place = bucket.describe();
        let store = Arc::new(PrefixStore::new(bucket.client()?, bucket.prefix));
        let artifacts = Self { store, max_bytes, place, is_bucket: true };
        // One page of names: what everything else needs as well.
        artifacts.store.list(None).next().await.transpose().map_err(|e| artifacts.failure("", e))?;
        Ok(artifacts)
    }

    /// Where they are, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes the artifact, replacing one of that path; it is durable when this returns.
    pub async fn put(&self, path: &str, content: Bytes) -> Result<(), ArtifactError> {
        let name = checked(path)?;
        self.check_size(path, content.len() as u64)?;
        let done = if self.is_bucket && content.len() > PART_BYTES {
            self.put_parts(&name, content).await
        } else {
            self.store.put(&name, PutPayload::from_bytes(content)).await.map(drop)
        };
        done.map_err(|e| self.failure(path, e))
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
        let found = self.find(path).await?;
        found.bytes().await.map_err(|e| self.failure(path, e))
    }

    /// Opens the artifact, to be read once or more without holding it in memory: in a folder its own file, from a bucket a
    /// copy in a file without a name in the system's folder for temporary files.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn open(&self, path: &str) -> Result<File, ArtifactError> {
        let found = self.find(path).await?;
        let mut content = match found.payload {
            GetResultPayload::File(file, _) => return Ok(file),
            GetResultPayload::Stream(content) => content,
        };
        let fail = |e: io::Error| ArtifactError::Storage(format!("{path}: a copy cannot be written: {e}"));
        let mut copy = tokio::fs::File::from_std(tempfile::tempfile().map_err(fail)?);
        while let Some(block) = content.try_next().await.map_err(|e| self.failure(path, e))? {
            copy.write_all(&block).await.map_err(fail)?;
        }
        copy.flush().await.map_err(fail)?;
        copy.rewind().await.map_err(fail)?;
        Ok(copy.into_std().await)
    }

    /// The artifact before anything of it is read.
    async fn find(&self, path: &str) -> Result<GetResult, ArtifactError> {
        let asked = self.store.get_opts(&checked(path)?, GetOptions::default()).await;
        let found = asked.map_err(|e| self.failure(path, e))?;
        self.check_size(path, found.meta.size)?;
        Ok(found)
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
        let found = self
            .store
            .list(name.as_ref())
            .try_collect::<Vec<_>>()
            .await
            .map_err(|e| self.failure(prefix, e))?;
        let info =
            |m: object_store::ObjectMeta| ArtifactInfo { path: m.location.to_string(), size_bytes: m.size };
        let mut found = found.into_iter().map(info).collect::<Vec<_>>();
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Removes the artifact; one that is not there is fine.
    pub async fn delete(&self, path: &str) -> Result<(), ArtifactError> {
        self.delete_all(std::slice::from_ref(&path)).await
    }

    /// Removes the artifacts, in a bucket up to a thousand by one request; those that are not there are fine.
    ///
    /// # Errors
    /// The first that there was; the others are tried all the same.
    pub async fn delete_all(&self, paths: &[impl AsRef<str>]) -> Result<(), ArtifactError> {
        let names = paths.iter().map(|path| checked(path.as_ref()).map(Ok)).collect::<Result<Vec<_>, _>>()?;
        let mut outcome = Ok(());
        let mut deleted = self.store.delete_stream(stream::iter(names).boxed());
        while let Some(result) = deleted.next().await {
            match result.map_err(|e| self.failure("deleting", e)) {
                Ok(_) | Err(ArtifactError::NotFound(_)) => {}
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    async fn put_parts(&self, name: &Name, content: Bytes) -> object_store::Result<()> {
        let part_bytes = content.len().div_ceil(MAX_PARTS).max(PART_BYTES);
        let mut upload = self.store.put_multipart(name).await?;
        let starts = (0..content.len()).step_by(part_bytes);
        let parts = starts.map(|start| content.slice(start..content.len().min(start + part_bytes)));
        let parts = parts.map(|part| upload.put_part(PutPayload::from_bytes(part))).collect::<Vec<_>>();
        let sent = stream::iter(parts).buffer_unordered(PARTS_AT_ONCE).try_collect::<()>().await;
        let done = match sent {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = &done
            && s3::silence(error).is_none()
        {
            // Whoever does not answer does not clear up either. What stays is invisible.
            upload.abort().await.ok();
        }
        done
    }

    fn check_size(&self, path: &str, got: u64) -> Result<(), ArtifactError> {
        if got <= self.max_bytes {
            return Ok(());
        }
        Err(ArtifactError::TooLarge { path: path.to_owned(), got, max: self.max_bytes })
    }

    fn failure(&self, path: &str, error: object_store::Error) -> ArtifactError {
        let place = self.place.clone();
        if let Some(why) = s3::silence(&error) {
            return ArtifactError::Unreachable { place, why };
        }
        let answer = s3::Answer::of(&error);
        let code = answer.as_ref().map_or("", |answer| &answer.code);
        match error {
            _ if code == "NoSuchBucket" => ArtifactError::NoBucket(place),
            _ if s3::is_trouble(&error) => ArtifactError::Unreachable {
                place,
                why: answer
                    .map_or_else(|| "it has trouble of its own".to_owned(), |answer| answer.to_string()),
            },
            _ if s3::REFUSALS.contains(&code) => {
                ArtifactError::Refused { place, why: answer.map_or_else(String::new, |a| a.to_string()) }
            }
            object_store::Error::NotFound { .. } if code != "NoSuchUpload" => {
                ArtifactError::NotFound(path.to_owned())
            }
            error => {
                let why = answer.map_or_else(|| error.to_string(), |answer| answer.to_string());
                ArtifactError::Storage(format!("{path}: {why}"))
            }
        }
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
