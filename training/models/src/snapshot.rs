//! The snapshot format: a folder of parts and a manifest that names each with size and SHA-256.
//!
//! `snapshots/{version}/manifest.json` is written last: a folder without it does not exist. A reader verifies every
//! part before it decodes any, and decodes into checked structures, so no file can take a server down.

mod content;
mod parts;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io::Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use waggle_model::{SnapshotVersion, Timestamp};

pub use content::{EncodedPart, MIN_RECALL, Snapshot, SnapshotDraft, SnapshotModels};
pub use parts::{Part, decode_graph, encode_graph};

/// Format written today. A reader takes this one and the one before it.
pub const FORMAT_VERSION: u32 = 1;
/// Largest part a reader accepts, in bytes.
pub const MAX_PART_BYTES: u64 = 16 << 30;

/// What a snapshot consists of and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format_version: u32,
    pub version: SnapshotVersion,
    pub created_at: Timestamp,
    /// Event time of the newest event that training saw.
    pub trained_until: Timestamp,
    pub n_items: usize,
    pub n_users: usize,
    pub n_interactions: usize,
    pub seed: u64,
    /// Settings of every model, by name.
    pub settings: serde_json::Value,
    /// Figures of the evaluation that let it pass the gate.
    pub evaluation: serde_json::Value,
    /// By part name.
    pub parts: BTreeMap<String, PartEntry>,
}

/// One file of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// Relative to the snapshot's folder; a plain file name.
    pub file: String,
    pub size_bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("snapshot has format version {got}, this build reads {FORMAT_VERSION}")]
    FormatVersion { got: u32 },
    #[error("snapshot manifest is damaged: {0}")]
    Manifest(String),
    #[error("snapshot has no part \"{0}\"")]
    MissingPart(String),
    #[error("part \"{part}\" has {got} bytes, the manifest says {expected}")]
    Size { part: String, expected: u64, got: u64 },
    #[error("part \"{part}\" has another SHA-256 than the manifest says")]
    Checksum { part: String },
    #[error("part \"{part}\" is damaged: {detail}")]
    Part { part: String, detail: String },
}

impl Manifest {
    /// # Errors
    /// [`SnapshotError`] when the bytes are not a manifest of a readable version.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let value: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| SnapshotError::Manifest(e.to_string()))?;
        let got = value.get("format_version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if got != u64::from(FORMAT_VERSION) {
            return Err(SnapshotError::FormatVersion { got: u32::try_from(got).unwrap_or(u32::MAX) });
        }
        serde_json::from_value(value).map_err(|e| SnapshotError::Manifest(e.to_string()))
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest serialises into memory")
    }
}

impl PartEntry {
    pub fn of(file: impl Into<String>, bytes: &[u8]) -> Self {
        Self { file: file.into(), size_bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
    }

    /// Reads `file` to its end.
    ///
    /// # Errors
    /// [`SnapshotError`] when its bytes are not the ones this entry was made of, or cannot be read.
    pub fn verify(&self, part: &str, file: &mut dyn Read) -> Result<(), SnapshotError> {
        let (mut digest, mut got, mut block) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            let n = file.read(&mut block).map_err(|e| SnapshotError::Part {
                part: part.to_owned(),
                detail: format!("it cannot be read: {e}"),
            })?;
            if n == 0 {
                break;
            }
            digest.update(&block[..n]);
            got += n as u64;
        }
        if got != self.size_bytes {
            return Err(SnapshotError::Size { part: part.to_owned(), expected: self.size_bytes, got });
        }
        if hex(&digest.finalize()) != self.sha256 {
            return Err(SnapshotError::Checksum { part: part.to_owned() });
        }
        Ok(())
    }
}

fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string succeeds");
        hex
    })
}
