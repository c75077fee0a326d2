//! What the layer writes down: how to undo each change, and what has become durable.
//!
//! A record is its length (u32), its kind (u8) and its fields: numbers as u64, texts and bytes behind their length, all
//! little-endian. One that was cut off by the end of the program stands for a change that was not made yet.

use std::{collections::HashSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

/// One line of the journal. `at` is the moment of a change, ascending; `before` ends the changes that became durable.
/// Paths are relative to the followed folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A program began to be followed.
    Started {
        pid: u64,
    },
    /// Bytes from `offset` are about to change, up to `end`; `old` is what they were, as far as the file had `old_length`
    /// bytes. Changes of its length are noted alike.
    Data {
        at: u64,
        inode: u64,
        old_length: u64,
        offset: u64,
        end: u64,
        old: Vec<u8>,
    },
    /// A file may change through a memory mapping from now on.
    Mapped {
        inode: u64,
    },
    Synced {
        before: u64,
        inode: u64,
    },
    SyncedFolder {
        before: u64,
        inode: u64,
    },
    SyncedAll {
        before: u64,
    },
    /// A file, link or folder gets a name; `folder` is the folder's inode.
    Created {
        at: u64,
        folder: u64,
        path: PathBuf,
    },
    /// A name goes. A file stays in the graveyard under the number `grave`; a folder (0) was empty.
    Removed {
        at: u64,
        folder: u64,
        path: PathBuf,
        grave: u64,
    },
    /// A name changes. What had the new one stays in the graveyard under the number `grave`, 0 for nothing.
    Renamed {
        at: u64,
        folders: [u64; 2],
        from: PathBuf,
        to: PathBuf,
        grave: u64,
    },
    /// Something happened that cannot be undone.
    NotFollowed {
        what: String,
    },
    /// The change noted at this moment was refused by the system.
    Failed {
        at: u64,
    },
}

impl Record {
    /// The bytes of the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        let number = |out: &mut Vec<u8>, n: u64| out.extend_from_slice(&n.to_le_bytes());
        let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
            number(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Started { pid } => {
                out.push(0);
                number(&mut out, *pid);
            }
            Self::Data { at, inode, old_length, offset, end, old } => {
                out.push(1);
                [at, inode, old_length, offset, end].into_iter().for_each(|n| number(&mut out, *n));
                bytes(&mut out, old);
            }
            Self::Mapped { inode } => {
                out.push(2);
                number(&mut out, *inode);
            }
            Self::Synced { before, inode } => {
                out.push(3);
                [before, inode].into_iter().for_each(|n| number(&mut out, *n));
            }
            Self::SyncedFolder { before, inode } => {
                out.push(4);
                [before, inode].into_iter().for_each(|n| number(&mut out, *n));
            }
            Self::SyncedAll { before } => {
                out.push(5);
                number(&mut out, *before);
            }
            Self::Created { at, folder, path } => {
                out.push(6);
                [at, folder].into_iter().for_each(|n| number(&mut out, *n));
                bytes(&mut out, path.as_os_str().as_bytes());
            }
            Self::Removed { at, folder, path, grave } => {
                out.push(7);
                [at, folder, grave].into_iter().for_each(|n| number(&mut out, *n));
                bytes(&mut out, path.as_os_str().as_bytes());
            }
            Self::Renamed { at, folders, from, to, grave } => {
                out.push(8);
                [at, &folders[0], &folders[1], grave].into_iter().for_each(|n| number(&mut out, *n));
                bytes(&mut out, from.as_os_str().as_bytes());
                bytes(&mut out, to.as_os_str().as_bytes());
            }
            Self::NotFollowed { what } => {
                out.push(9);
                bytes(&mut out, what.as_bytes());
            }
            Self::Failed { at } => {
                out.push(10);
                number(&mut out, *at);
            }
        }
        let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
        out[..4].copy_from_slice(&length.to_le_bytes());
        out
    }

    /// Reads one record's body, without its length.
    fn decode(body: &[u8]) -> Option<Self> {
        let (kind, rest) = body.split_first()?;
        let mut fields = Fields(rest);
        Some(match kind {
            0 => Self::Started { pid: fields.number()? },
            1 => Self::Data {
                at: fields.number()?,
                inode: fields.number()?,
                old_length: fields.number()?,
                offset: fields.number()?,
                end: fields.number()?,
                old: fields.bytes()?.to_vec(),
            },
            2 => Self::Mapped { inode: fields.number()? },
            3 => Self::Synced { before: fields.number()?, inode: fields.number()? },
            4 => Self::SyncedFolder { before: fields.number()?, inode: fields.number()? },
            5 => Self::SyncedAll { before: fields.number()? },
            6 => Self::Created { at: fields.number()?, folder: fields.number()?, path: fields.path()? },
            7 => {
                let (at, folder, grave) = (fields.number()?, fields.number()?, fields.number()?);
                Self::Removed { at, folder, path: fields.path()?, grave }
            }
            8 => {
                let (at, folders) = (fields.number()?, [fields.number()?, fields.number()?]);
                let grave = fields.number()?;
                Self::Renamed { at, folders, from: fields.path()?, to: fields.path()?, grave }
            }
            9 => Self::NotFollowed { what: String::from_utf8_lossy(fields.bytes()?).into_owned() },
            10 => Self::Failed { at: fields.number()? },
            _ => return None,
        })
    }
}

/// The records of a journal, without changes that failed; what follows the last whole one is left out.
#[must_use]
pub fn read_done(bytes: &[u8]) -> Vec<Record> {
    let mut records = read(bytes);
    let failed: HashSet<u64> =
        records.iter().filter_map(|r| if let Record::Failed { at } = r { Some(*at) } else { None }).collect();
    records.retain(|record| match record {
        Record::Created { at, .. } | Record::Removed { at, .. } | Record::Renamed { at, .. } => {
            !failed.contains(at)
        }
        Record::Failed { .. } => false,
        _ => true,
    });
    records
}

fn read(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let Some((body, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
        let Some(record) = Record::decode(body) else { break };
        records.push(record);
        bytes = rest;
    }
    records
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(PathBuf::from(OsStr::from_bytes(self.bytes()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_a_torn_one_at_the_end_is_left_out() {
        let path = || PathBuf::from("a/b");
        let records = [
            Record::Started { pid: 7 },
            Record::Data { at: 1, inode: 2, old_length: 3, offset: 4, end: 5, old: b"old".to_vec() },
            Record::Mapped { inode: 2 },
            Record::Synced { before: 3, inode: 2 },
            Record::SyncedFolder { before: 4, inode: 1 },
            Record::SyncedAll { before: 5 },
            Record::Created { at: 6, folder: 1, path: path() },
            Record::Removed { at: 7, folder: 1, path: path(), grave: 9 },
            Record::Renamed { at: 8, folders: [1, 2], from: path(), to: "c".into(), grave: 0 },
            Record::Failed { at: 8 },
            Record::NotFollowed { what: "x".to_owned() },
        ];
        let bytes: Vec<_> = records.iter().flat_map(Record::encode).collect();
        assert_eq!(read(&bytes), records);
        for n in 1..records[10].encode().len() {
            assert_eq!(read(&bytes[..bytes.len() - n]), records[..10]);
        }
    }
}
