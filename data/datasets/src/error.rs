//! What can go wrong between a dataset's name and its values.

use std::{io, path::PathBuf};

/// Why a dataset could not be read, found or fetched.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("no dataset is called \"{name}\"; known are: {known}")]
    Unknown { name: String, known: String },
    #[error("{path} does not exist")]
    Missing { path: PathBuf },
    #[error("no files of {name} were found in {}; {hint}", list(.searched))]
    NotFound { name: String, searched: Vec<PathBuf>, hint: String },
    #[error("{path} holds no file of {name}; expected {expected}")]
    NoFiles { path: PathBuf, name: &'static str, expected: &'static str },
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}, line {number}: {detail}")]
    Line { path: PathBuf, number: u64, detail: String },
    #[error("{path} holds no pair of a user and an item")]
    NoPairs { path: PathBuf },
    #[error("{file} has the header \"{got}\", expected \"{expected}\"")]
    Header { file: String, got: String, expected: &'static str },
    #[error("{path} is not a readable workbook: {detail}")]
    Workbook { path: PathBuf, detail: String },
    #[error("no line of {name} survived the cleaning: {report}")]
    Empty { name: &'static str, report: String },
    #[error("titles could not be grouped into categories: {detail}")]
    Categories { detail: String },
    #[error("{name} cannot be fetched from here: {hint}")]
    NotFetchable { name: &'static str, hint: String },
    #[error(
        "fetching {url} failed: {detail}. Without a network, open the address elsewhere, put the file into {place} and \
         run the command again; or use the simulated market: --data sim"
    )]
    Network { url: String, detail: String, place: PathBuf },
    #[error("{url} sent more than {limit_bytes} bytes, which cannot be this dataset")]
    TooLarge { url: String, limit_bytes: u64 },
    #[error("{path} has the SHA-256 {got}, expected {expected} ({origin}); delete it to fetch it again")]
    Checksum { path: PathBuf, got: String, expected: String, origin: &'static str },
    #[error("{path} is not the archive that was expected: {detail}")]
    Archive { path: PathBuf, detail: String },
    #[error("{path} does not hold the published data: {detail}")]
    Content { path: PathBuf, detail: String },
}

impl DatasetError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}
