//! Downloads a dataset, resumes what broke off, and checks what came.
//!
//! # What the checks can and cannot say
//! UCI publishes no checksum of its archive, so a first download has nothing to be compared with: its SHA-256 is written to
//! `SHA256SUMS` beside it, and every later use is compared with that (trust on first use). It finds damage and change, not
//! a wrong first download. That is found by what the publisher does state: after unpacking, the data file is read, and its
//! line counts must be the published ones ([`Download::check`]). A digest pinned in the [`Download`] is compared as well.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{
    Client, StatusCode,
    header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE},
};
use sha2::{Digest as _, Sha256};

use crate::{DatasetError, Descriptor, Download};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest silence of the server.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Broken connections in a row without a new byte after which the download is given up.
const MAX_FRUITLESS_TRIES: u32 = 3;
/// Asks in all; each of them brought something.
const MAX_TRIES: u32 = 50;
const SUMS: &str = "SHA256SUMS";
const COPY_BYTES: usize = 1 << 16;

/// Called with bytes done and bytes in all; 0 in all while the server has not said.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// `<dir>/datasets/<name>`: where a fetched dataset lies.
pub fn folder(descriptor: &Descriptor, dir: &Path) -> PathBuf {
    dir.join("datasets").join(descriptor.name)
}

/// Downloads, checks and unpacks a dataset to [`folder`] and gives the folder. What is already there and intact is not
/// fetched again; a broken-off download goes on where it stopped.
///
/// # Errors
/// [`DatasetError::Network`] with the address to open by hand and the place for the file; [`DatasetError::Checksum`],
/// [`DatasetError::Archive`] or [`DatasetError::Content`] if something else came than what was published.
pub async fn fetch(
    descriptor: &'static Descriptor,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<PathBuf, DatasetError> {
    let download = descriptor.download.ok_or_else(|| DatasetError::NotFetchable {
        name: descriptor.name,
        hint: format!(
            "open {} and put its files into {}",
            descriptor.page,
            folder(descriptor, dir).display()
        ),
    })?;
    let place = folder(descriptor, dir);
    fetch_from(&download, download.url, &place, progress).await?;
    Ok(place)
}

/// [`fetch`] from another address of the same archive, into `place`; gives the data file.
///
/// # Errors
/// As [`fetch`].
pub async fn fetch_from(
    download: &Download,
    url: &str,
    place: &Path,
    progress: Progress<'_>,
) -> Result<PathBuf, DatasetError> {
    fs::create_dir_all(place).map_err(DatasetError::io(place))?;
    let archive = place.join(download.archive);
    if archive.exists() {
        verify_checksums(place)?;
    } else {
        download_archive(download, url, &archive, progress).await?;
    }
    let download = *download;
    let place = place.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || accept(&download, &archive, &place));
    unpacking.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Compares every file that `SHA256SUMS` names with its digest. A folder without the list was filled by hand: nothing is
/// known about it.
///
/// # Errors
/// [`DatasetError::Checksum`] for the first file that changed, [`DatasetError::Io`] for one that is gone.
pub fn verify_checksums(place: &Path) -> Result<(), DatasetError> {
    for (expected, name) in read_sums(place)? {
        let path = place.join(name);
        let got = sha256_of(&path)?;
        if got != expected {
            return Err(DatasetError::Checksum {
                path,
                got,
                expected,
                origin: "as first downloaded, in SHA256SUMS",
            });
        }
    }
    Ok(())
}

/// Gets the whole archive under its name, through `<archive>.part`.
async fn download_archive(
    download: &Download,
    url: &str,
    archive: &Path,
    progress: Progress<'_>,
) -> Result<(), DatasetError> {
    let network = |detail: String| DatasetError::Network {
        url: url.to_owned(),
        detail,
        place: archive.parent().unwrap_or(archive).to_owned(),
    };
    let client = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .user_agent(concat!("waggle/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| network(chain(&e)))?;
    let mut part = Part::open(archive)?;
    let (mut fruitless, mut tries) = (0, 0);
    loop {
        let before = part.len;
        tries += 1;
        let detail = match ask(&client, url, download, &mut part, progress).await {
            Ok(()) => break,
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Refused(detail)) => return Err(network(detail)),
            Err(Trouble::Broken(detail)) => detail,
        };
        fruitless = if part.len > before { 0 } else { fruitless + 1 };
        if fruitless >= MAX_FRUITLESS_TRIES || tries >= MAX_TRIES {
            return Err(network(format!("{detail}, {} bytes are kept for the next try", part.len)));
        }
        tracing::debug!(url, kept_bytes = part.len, detail, "download broke off, trying again");
    }
    part.check_and_keep(download, archive)
}

/// Why one request did not bring the rest of the archive.
enum Trouble {
    /// Worth another try.
    Broken(String),
    /// The server answered that it will not.
    Refused(String),
    Fatal(DatasetError),
}

/// One request for what is missing, written to the part file as it comes.
async fn ask(
    client: &Client,
    url: &str,
    download: &Download,
    part: &mut Part,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let mut request = client.get(url);
    if part.len > 0 {
        request = request.header(RANGE, format!("bytes={}-", part.len));
        if let Some(validator) = &part.validator {
            // The server sends the whole if the archive has changed since.
            request = request.header(IF_RANGE, validator);
        }
    }
    let mut response = request.send().await.map_err(|e| Trouble::Broken(chain(&e)))?;
    let total = match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range =
                response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok()).and_then(parse_range);
            let Some((start, total)) = range.filter(|&(start, _)| start == part.len) else {
                part.restart().map_err(Trouble::Fatal)?;
                return Err(Trouble::Broken("the server sent another range than asked for".to_owned()));
            };
            debug_assert_eq!(start, part.len);
            total
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            // The archive is shorter than what is kept of it: it has changed.
            part.restart().map_err(Trouble::Fatal)?;
            return Err(Trouble::Broken("the archive has become shorter".to_owned()));
        }
        status if status.is_success() => {
            // The server ignored the range or the archive changed: this is the whole from its first byte.
            part.restart().map_err(Trouble::Fatal)?;
            response.content_length()
        }
        status if status.is_server_error() => {
            return Err(Trouble::Broken(format!("the server answered {status}")));
        }
        status => return Err(Trouble::Refused(format!("the server answered {status}"))),
    };
    let validator = [ETAG, LAST_MODIFIED].iter().find_map(|name| response.headers().get(name)?.to_str().ok());
    // A weak tag promises no equal bytes (RFC 9110, 13.1.5).
    part.remember(validator.filter(|v| !v.starts_with("W/"))).map_err(Trouble::Fatal)?;
    let limit_bytes = download.max_archive_bytes;
    let too_large = || Trouble::Fatal(DatasetError::TooLarge { url: url.to_owned(), limit_bytes });
    if total.is_some_and(|total| total > limit_bytes) {
        part.restart().map_err(Trouble::Fatal)?;
        return Err(too_large());
    }
    loop {
        let chunk = response.chunk().await.map_err(|e| Trouble::Broken(chain(&e)))?;
        let Some(chunk) = chunk else { break };
        if part.len + chunk.len() as u64 > limit_bytes {
            part.restart().map_err(Trouble::Fatal)?;
            return Err(too_large());
        }
        part.write(&chunk).map_err(Trouble::Fatal)?;
        progress(part.len, total.unwrap_or(0));
    }
    match total {
        Some(total) if part.len < total => {
            Err(Trouble::Broken(format!("the connection ended after {} of {total} bytes", part.len)))
        }
        _ => Ok(()),
    }
}

/// `bytes 100-199/1000` as the first byte and the whole length, if it is stated.
fn parse_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

/// What is there of an archive, with the server's name of that version beside it.
struct Part {
    path: PathBuf,
    file: File,
    len: u64,
    /// A strong `ETag` or `Last-Modified`.
    validator: Option<String>,
}

impl Part {
    fn open(archive: &Path) -> Result<Self, DatasetError> {
        let path = with_suffix(archive, ".part");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(DatasetError::io(&path))?;
        let len = file.seek(SeekFrom::End(0)).map_err(DatasetError::io(&path))?;
        let validator = fs::read_to_string(with_suffix(&path, ".version")).ok().filter(|v| !v.is_empty());
        Ok(Self { path, file, len, validator })
    }

    fn restart(&mut self) -> Result<(), DatasetError> {
        self.file.set_len(0).map_err(DatasetError::io(&self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(DatasetError::io(&self.path))?;
        self.len = 0;
        self.remember(None)
    }

    fn remember(&mut self, validator: Option<&str>) -> Result<(), DatasetError> {
        let path = with_suffix(&self.path, ".version");
        fs::write(&path, validator.unwrap_or("")).map_err(DatasetError::io(&path))?;
        self.validator = validator.map(str::to_owned);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DatasetError> {
        self.file.write_all(bytes).map_err(DatasetError::io(&self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Gives a complete part its name, after comparing a pinned digest. A wrong one is removed, so that the next try
    /// does not go on with it.
    fn check_and_keep(self, download: &Download, archive: &Path) -> Result<(), DatasetError> {
        self.file.sync_all().map_err(DatasetError::io(&self.path))?;
        let got = sha256_of(&self.path)?;
        let _ = fs::remove_file(with_suffix(&self.path, ".version"));
        if let Some(expected) = download.sha256.filter(|expected| !expected.eq_ignore_ascii_case(&got)) {
            fs::remove_file(&self.path).map_err(DatasetError::io(&self.path))?;
            return Err(DatasetError::Checksum {
                path: archive.to_owned(),
                got,
                expected: expected.to_owned(),
                origin: "pinned for this dataset",
            });
        }
        fs::rename(&self.path, archive).map_err(DatasetError::io(archive))
    }
}

/// Unpacks, checks the content and writes the digests down. An archive that fails is removed.
fn accept(download: &Download, archive: &Path, place: &Path) -> Result<PathBuf, DatasetError> {
    let member = place.join(download.member);
    let known = read_sums(place)?.iter().any(|(_, name)| name == download.member);
    if known && member.exists() {
        return Ok(member);
    }
    // The suffix stays, as readers go by it.
    let unpacked = place.join(format!("unpacking-{}", download.member));
    let checked = unzip(download, archive, &unpacked).and_then(|()| (download.check)(&unpacked));
    if let Err(error) = checked {
        let _ = fs::remove_file(&unpacked);
        let _ = fs::remove_file(archive);
        return Err(error);
    }
    fs::rename(&unpacked, &member).map_err(DatasetError::io(&member))?;
    write_sums(place, &[download.archive, download.member])?;
    Ok(member)
}

fn unzip(download: &Download, archive: &Path, unpacked: &Path) -> Result<(), DatasetError> {
    let bad = |detail: String| DatasetError::Archive { path: archive.to_owned(), detail };
    let file = File::open(archive).map_err(DatasetError::io(archive))?;
    let mut zip = zip::ZipArchive::new(file).map_err(|e| bad(e.to_string()))?;
    let name =
        member_name(&zip, download.member).ok_or_else(|| bad(format!("it holds no {}", download.member)))?;
    let member = zip.by_name(&name).map_err(|e| bad(format!("{name}: {e}")))?;
    let mut out = File::create(unpacked).map_err(DatasetError::io(unpacked))?;
    // The limit holds for what comes out, whatever the archive states. The reader checks the CRC-32 at the end.
    let copied = io::copy(&mut member.take(download.max_member_bytes + 1), &mut out)
        .map_err(|e| bad(e.to_string()))?;
    if copied > download.max_member_bytes {
        return Err(bad(format!("{} has more than {} bytes", download.member, download.max_member_bytes)));
    }
    out.sync_all().map_err(DatasetError::io(unpacked))
}

/// The member of that name, or else the only one of its kind: publishers rename files, and the content is checked anyway.
fn member_name(zip: &zip::ZipArchive<File>, wanted: &str) -> Option<String> {
    if zip.index_for_name(wanted).is_some() {
        return Some(wanted.to_owned());
    }
    let kind = Path::new(wanted).extension()?;
    let mut alike = zip.file_names().filter(|name| Path::new(name).extension() == Some(kind));
    let only = alike.next()?;
    alike.next().is_none().then(|| only.to_owned())
}

/// `(digest, file)` of each line; empty where there is no list.
fn read_sums(place: &Path) -> Result<Vec<(String, String)>, DatasetError> {
    let path = place.join(SUMS);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|l| l.split_once("  "))
            .map(|(d, n)| (d.to_owned(), n.to_owned()))
            .collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(DatasetError::Io { path, source }),
    }
}

/// In the form `sha256sum --check` reads.
fn write_sums(place: &Path, names: &[&str]) -> Result<(), DatasetError> {
    let mut text = String::new();
    for name in names {
        text.push_str(&format!("{}  {name}\n", sha256_of(&place.join(name))?));
    }
    let path = place.join(SUMS);
    fs::write(&path, text).map_err(DatasetError::io(&path))
}

fn sha256_of(path: &Path) -> Result<String, DatasetError> {
    let mut file = File::open(path).map_err(DatasetError::io(path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let n = file.read(&mut buffer).map_err(DatasetError::io(path))?;
        if n == 0 {
            return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(&buffer[..n]);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The error and what caused it; reqwest's own text names only the address.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
