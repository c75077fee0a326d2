//! Where an export goes.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use tempfile::NamedTempFile;

/// Level of zstd: its own default.
const ZSTD_LEVEL: i32 = 3;
const BUFFER_BYTES: usize = 1 << 16;

/// Standard output, or a file that appears under its name once it is whole and on disk.
pub(super) enum Output {
    Stdout(BufWriter<io::Stdout>),
    File { path: PathBuf, writer: Box<Writer> },
}

pub(super) enum Writer {
    Plain(BufWriter<NamedTempFile>),
    Gzip(GzEncoder<BufWriter<NamedTempFile>>),
    Zstd(zstd::Encoder<'static, BufWriter<NamedTempFile>>),
}

impl Output {
    /// # Errors
    /// A folder in which no file can be made.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())));
        };
        let open = || -> io::Result<Writer> {
            let file = NamedTempFile::with_prefix_in(".waggle-export-", folder(path))?;
            let file = BufWriter::with_capacity(BUFFER_BYTES, file);
            Ok(match path.extension().and_then(|extension| extension.to_str()) {
                Some("gz") => Writer::Gzip(GzEncoder::new(file, Compression::default())),
                Some("zst") => Writer::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL)?),
                _ => Writer::Plain(file),
            })
        };
        let writer = open().with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self::File { path: path.to_owned(), writer: Box::new(writer) })
    }

    /// Of a file, only now is there anything under its name.
    ///
    /// # Errors
    /// What keeps it from being whole and on disk.
    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::Stdout(mut out) => Ok(out.flush()?),
            Self::File { path, writer } => {
                let finish = || -> io::Result<()> {
                    let file = match *writer {
                        Writer::Plain(file) => file,
                        Writer::Gzip(encoder) => encoder.finish()?,
                        Writer::Zstd(encoder) => encoder.finish()?,
                    };
                    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                    file.as_file().sync_all()?;
                    file.persist(&path).map_err(|error| error.error)?;
                    // The name, too.
                    File::open(folder(&path))?.sync_all()
                };
                finish().with_context(|| format!("{} cannot be written", path.display()))
            }
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

impl Output {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(out) => out,
            Self::File { writer, .. } => match &mut **writer {
                Writer::Plain(file) => file,
                Writer::Gzip(encoder) => encoder,
                Writer::Zstd(encoder) => encoder,
            },
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

#[cfg(test)]
mod tests;
