//! Files of records: NDJSON or CSV, plain or compressed with gzip or zstd, read in the background.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use csv::ByteRecord;
use flate2::bufread::MultiGzDecoder;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use waggle_ingest_role::MAX_BODY_BYTES;
use xxhash_rust::xxh3::xxh3_128;

/// Longest record, in bytes; of a longer one the beginning is kept, to show it.
const MAX_RECORD_BYTES: usize = MAX_BODY_BYTES;
/// Bytes of a refused record that are kept, at least.
const SHOWN_BYTES: usize = 1_024;
/// Records handed out at once.
const CHUNK_RECORDS: usize = 10_000;
/// Bytes of records after which fewer are handed out, so that memory is bounded whatever is in the file.
const CHUNK_BYTES: usize = 8 << 20;
/// Chunks read ahead.
const AHEAD: usize = 2;
const BUFFER_BYTES: usize = 1 << 18;
/// What some programs put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How records are strung together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON object per line; blank lines do not count.
    Ndjson,
    /// A header, then a record per row (RFC 4180).
    Csv {
        delimiter: u8,
        /// Columns without which nothing of the file is looked at.
        wanted: Vec<String>,
    },
}

impl Format {
    /// By the file's name: `.csv` and `.tsv`, also before `.gz` and `.zst`, are CSV.
    pub(crate) fn of_name(path: &Path) -> Self {
        let name = path.to_string_lossy().to_ascii_lowercase();
        let stem = name.trim_end_matches(".gz").trim_end_matches(".zst");
        match () {
            () if stem.ends_with(".tsv") => Self::Csv { delimiter: b'\t', wanted: Vec::new() },
            () if stem.ends_with(".csv") => Self::Csv { delimiter: b',', wanted: Vec::new() },
            () => Self::Ndjson,
        }
    }
}

/// One record, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Of its first line, from 1.
    pub(crate) line: u64,
    /// As JSON; a row of a CSV file is an object of texts, without what is empty.
    pub(crate) content: Vec<u8>,
    /// Stands for all records of the file up to and with this one: the same in a file that has grown since, or is
    /// compressed in another way.
    pub(crate) fingerprint: u128,
    /// Why it can be no record, whatever is wanted of it.
    flaw: Option<String>,
}

/// Records that were read together.
#[derive(Debug)]
pub(crate) struct Chunk<T> {
    /// What became of the records that are what they should be, each with its record.
    pub(crate) values: Vec<(Record, T)>,
    pub(crate) refused: Vec<(Record, String)>,
    /// Records that are passed over.
    pub(crate) n_skipped: u64,
    /// Of the file as it lies there.
    pub(crate) bytes_read: u64,
}

/// A file, or standard input.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// Bytes, where that is known.
    pub(crate) size_bytes: Option<u64>,
    source: Box<dyn Read + Send>,
}

impl Input {
    /// Opens the file; `-` is standard input.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub(crate) fn open(path: &Path, format: Format) -> Result<Self> {
        let name = path.display().to_string();
        if path == Path::new("-") {
            let source = Box::new(io::stdin());
            return Ok(Self { name: "standard input".to_owned(), format, size_bytes: None, source });
        }
        let file = File::open(path).with_context(|| format!("{name} cannot be opened"))?;
        let metadata = file.metadata().with_context(|| format!("{name} cannot be read"))?;
        if metadata.is_dir() {
            bail!("{name} is a folder, a file is wanted");
        }
        let size_bytes = metadata.is_file().then_some(metadata.len());
        Ok(Self { name, format, size_bytes, source: Box::new(file) })
    }

    /// Reads the file in a thread of its own; `parse` says what a record is, `None` passes over it.
    ///
    /// After an error nothing follows; the channel ends with the file.
    pub(crate) fn read<T: Send + 'static>(
        self,
        parse: impl FnMut(&Record) -> Result<Option<T>, String> + Send + 'static,
    ) -> Result<mpsc::Receiver<Result<Chunk<T>>>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        // Not one of the runtime's threads: it would not stop before a read of the standard input returns.
        std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || self.send_all(parse, &sender))
            .context("a thread that reads cannot be started")?;
        Ok(receiver)
    }

    fn send_all<T>(
        self,
        mut parse: impl FnMut(&Record) -> Result<Option<T>, String>,
        sender: &mpsc::Sender<Result<Chunk<T>>>,
    ) {
        let Self { name, format, source, .. } = self;
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted = Counted { source, bytes_read: bytes_read.clone() };
        let mut last_line = 0;
        let mut chunk = Chunk::new();
        let mut chunk_bytes = 0;
        let mut records = match decompressed(counted).and_then(|reader| Records::new(reader, format)) {
            Ok(records) => records,
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("{name} cannot be read"));
                drop(sender.blocking_send(Err(error)));
                return;
            }
        };
        loop {
            match records.next() {
                Ok(Some(record)) => {
                    last_line = record.line;
                    chunk_bytes += record.content.len();
                    chunk.add(record, &mut parse);
                    if chunk.n_records() < CHUNK_RECORDS && chunk_bytes < CHUNK_BYTES {
                        continue;
                    }
                    chunk.bytes_read = bytes_read.load(Ordering::Relaxed);
                    chunk_bytes = 0;
                    // Whoever wanted the records is gone.
                    if sender.blocking_send(Ok(std::mem::replace(&mut chunk, Chunk::new()))).is_err() {
                        return;
                    }
                }
                end => {
                    chunk.bytes_read = bytes_read.load(Ordering::Relaxed);
                    drop(sender.blocking_send(Ok(chunk)));
                    if let Err(error) = end {
                        let error = anyhow::Error::new(error);
                        let what = format!("{name} cannot be read on after line {last_line}");
                        drop(sender.blocking_send(Err(error.context(what))));
                    }
                    return;
                }
            }
        }
    }
}

impl<T> Chunk<T> {
    fn new() -> Self {
        Self { values: Vec::new(), refused: Vec::new(), n_skipped: 0, bytes_read: 0 }
    }

    fn n_records(&self) -> usize {
        self.values.len() + self.refused.len() + usize::try_from(self.n_skipped).unwrap_or(usize::MAX)
    }

    fn add(&mut self, mut record: Record, parse: &mut impl FnMut(&Record) -> Result<Option<T>, String>) {
        match record.flaw.take().map_or_else(|| parse(&record), Err) {
            Ok(Some(value)) => self.values.push((record, value)),
            Ok(None) => self.n_skipped += 1,
            Err(reason) => self.refused.push((record, reason)),
        }
    }
}

/// Counts what is read of the file as it lies there.
struct Counted {
    source: Box<dyn Read + Send>,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.bytes_read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The file's text; how it is compressed shows in its first bytes, whatever its name.
fn decompressed(source: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, source);
    let head = raw.fill_buf()?;
    let mut text: Box<dyn BufRead + Send> = if head.starts_with(b"\x1f\x8b") {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw)))
    } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, zstd::Decoder::with_buffer(raw)?))
    } else {
        Box::new(raw)
    };
    if text.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        text.consume(BYTE_ORDER_MARK.len());
    }
    Ok(text)
}

/// The records of a text, one after the other.
enum Records {
    Ndjson { text: Box<dyn BufRead + Send>, line: u64, fingerprint: u128 },
    Csv(Box<Rows>),
}

struct Rows {
    rows: csv::Reader<Bounded>,
    /// Bytes read for the row that comes next.
    row_bytes: Arc<AtomicU64>,
    header: Vec<String>,
    row: ByteRecord,
    fingerprint: u128,
}

/// Text of which a row can swallow so much and no more: after a quote that is not closed, all that follows is one row.
struct Bounded {
    text: Box<dyn BufRead + Send>,
    row_bytes: Arc<AtomicU64>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.text.read(buffer)?;
        if self.row_bytes.fetch_add(n as u64, Ordering::Relaxed) > 2 * MAX_RECORD_BYTES as u64 {
            let detail = format!(
                "a row has more than the {MAX_RECORD_BYTES} bytes that are allowed; is a quote not closed?"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        Ok(n)
    }
}

impl Records {
    fn new(text: Box<dyn BufRead + Send>, format: Format) -> io::Result<Self> {
        let Format::Csv { delimiter, wanted } = format else {
            return Ok(Self::Ndjson { text, line: 0, fingerprint: 0 });
        };
        let row_bytes = Arc::new(AtomicU64::new(0));
        let text = Bounded { text, row_bytes: row_bytes.clone() };
        let mut rows = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text);
        let header = rows.headers().map_err(io::Error::from)?;
        let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        if let Some(missing) = wanted.iter().find(|name| !header.contains(name)) {
            let detail = format!("there is no column \"{missing}\"; the header has {}", header.join(", "));
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        let fingerprint = xxh3_128(header.join("\n").as_bytes());
        Ok(Self::Csv(Box::new(Rows { rows, row_bytes, header, row: ByteRecord::new(), fingerprint })))
    }

    fn next(&mut self) -> io::Result<Option<Record>> {
        match self {
            Self::Ndjson { text, line, fingerprint } => next_line(text, line, fingerprint),
            Self::Csv(rows) => rows.next(),
        }
    }
}

fn next_line(text: &mut dyn BufRead, line: &mut u64, fingerprint: &mut u128) -> io::Result<Option<Record>> {
    loop {
        let mut content = Vec::new();
        // One byte for the line's end, one that tells too much from just enough.
        text.take(MAX_RECORD_BYTES as u64 + 2).read_until(b'\n', &mut content)?;
        if content.is_empty() {
            return Ok(None);
        }
        *line += 1;
        // The reading ended before the line did.
        let goes_on = !content.ends_with(b"\n") && content.len() > MAX_RECORD_BYTES + 1;
        if goes_on {
            text.skip_until(b'\n')?;
        }
        let trimmed = content.trim_ascii();
        if trimmed.is_empty() && !goes_on {
            continue;
        }
        *fingerprint = following(*fingerprint, trimmed);
        let mut record =
            Record { line: *line, content: trimmed.to_vec(), fingerprint: *fingerprint, flaw: None };
        if goes_on || trimmed.len() > MAX_RECORD_BYTES {
            record.content.truncate(SHOWN_BYTES);
            record.flaw =
                Some(format!("the line has more than the {MAX_RECORD_BYTES} bytes that are allowed"));
        }
        return Ok(Some(record));
    }
}

impl Rows {
    fn next(&mut self) -> io::Result<Option<Record>> {
        self.row_bytes.store(0, Ordering::Relaxed);
        if !self.rows.read_byte_record(&mut self.row).map_err(io::Error::from)? {
            return Ok(None);
        }
        let row = &self.row;
        let line = row.position().map_or(0, csv::Position::line);
        let lengths = row.iter().flat_map(|field| field.len().to_le_bytes()).collect::<Vec<_>>();
        self.fingerprint = following(following(self.fingerprint, &lengths), row.as_slice());
        let (content, flaw) = match row_object(&self.header, row) {
            Ok(object) => (object, None),
            Err(flaw) => {
                let head = &row.as_slice()[..row.as_slice().len().min(SHOWN_BYTES)];
                (Value::String(String::from_utf8_lossy(head).into_owned()), Some(flaw))
            }
        };
        let content = serde_json::to_vec(&content).expect("texts serialise into memory");
        Ok(Some(Record { line, content, fingerprint: self.fingerprint, flaw }))
    }
}

fn row_object(header: &[String], row: &ByteRecord) -> Result<Value, String> {
    if row.len() != header.len() {
        return Err(format!("the row has {} columns, the header {}", row.len(), header.len()));
    }
    let mut object = Map::new();
    for (name, field) in header.iter().zip(row) {
        let text = std::str::from_utf8(field).map_err(|_| format!("column \"{name}\" is not UTF-8"))?.trim();
        if !text.is_empty() {
            object.insert(name.clone(), Value::String(text.to_owned()));
        }
    }
    Ok(Value::Object(object))
}

fn following(fingerprint: u128, content: &[u8]) -> u128 {
    let mut both = [0; 32];
    both[..16].copy_from_slice(&fingerprint.to_le_bytes());
    both[16..].copy_from_slice(&xxh3_128(content).to_le_bytes());
    xxh3_128(&both)
}

/// Paths as the command line names them, standard input once at most.
pub(crate) fn check_paths(paths: &[PathBuf]) -> Result<(), String> {
    match paths.iter().filter(|path| path.as_path() == Path::new("-")).count() {
        0 | 1 => Ok(()),
        n => Err(format!("standard input (-) is named {n} times")),
    }
}

#[cfg(test)]
mod tests;
