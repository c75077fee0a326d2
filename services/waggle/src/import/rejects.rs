//! Records that were refused, with the reason, in a file beside the import.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::de::IgnoredAny;

use super::records::Record;

/// NDJSON of `{"file", "line", "reason", "record"}`, made when the first record is refused.
pub(crate) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    n_refused: u64,
}

impl Rejects {
    /// - `path`: by default beside the first of `inputs`, with `.rejected.ndjson` behind its name; in the working folder
    ///   for standard input
    pub(crate) fn new(path: Option<&Path>, inputs: &[PathBuf]) -> Self {
        let beside = || {
            let first = inputs.first().filter(|path| path.as_path() != Path::new("-"));
            let mut name = first.map_or_else(|| "stdin".into(), |path| path.clone().into_os_string());
            name.push(".rejected.ndjson");
            PathBuf::from(name)
        };
        Self { path: path.map_or_else(beside, Path::to_owned), file: None, n_refused: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn n_refused(&self) -> u64 {
        self.n_refused
    }

    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn add(&mut self, input: &str, refused: &[(Record, String)]) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        self.n_refused += refused.len() as u64;
        self.write(input, refused).with_context(|| self.cannot_be_written())
    }

    /// Writes what is in hand.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let done = self.file.as_mut().map_or(Ok(()), Write::flush);
        done.with_context(|| self.cannot_be_written())
    }

    fn write(&mut self, input: &str, refused: &[(Record, String)]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::new(File::create(&self.path)?)),
        };
        for (record, reason) in refused {
            let text = serde_json::to_string;
            write!(
                file,
                r#"{{"file":{},"line":{},"reason":{},"record":"#,
                text(input)?,
                record.line,
                text(reason)?
            )?;
            // What is JSON stays as it is; anything else is shown as text.
            if serde_json::from_slice::<IgnoredAny>(&record.content).is_ok() {
                file.write_all(&record.content)?;
            } else {
                serde_json::to_writer(&mut *file, &String::from_utf8_lossy(&record.content))?;
            }
            file.write_all(b"}\n")?;
        }
        Ok(())
    }

    fn cannot_be_written(&self) -> String {
        format!(
            "the refused records cannot be written to {}; name another file with --rejects",
            self.path.display()
        )
    }
}
