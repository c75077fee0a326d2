//! Fetching over real sockets: resumption, servers that do not resume, broken connections, wrong content.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like the tests")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use sha2::{Digest as _, Sha256};
use waggle_datasets::{DatasetError, Download, catalogue, fetch, find};

const MEMBER: &str = "data.csv";

/// How a server misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Proper,
    IgnoresRange,
    /// Closes after half of what it owes, on the first two requests.
    CutsTwice,
    /// Closes before the first byte of the body, always.
    CutsAlways,
    NotFound,
}

/// A server on loopback; it ends with its listener's thread when the process does.
struct Server {
    url: String,
    /// The `Range` of each request.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

fn serve(body: Vec<u8>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/archive.zip", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let seen = ranges.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_head(&mut stream);
            let header = |name: &str| {
                request.lines().find_map(|line| {
                    let (key, value) = line.split_once(": ")?;
                    key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
                })
            };
            let range = header("range");
            let n_requests = {
                let mut seen = seen.lock().unwrap();
                seen.push(range.clone());
                seen.len()
            };
            let is_same = header("if-range").is_none_or(|tag| tag == "\"v1\"");
            let start: usize = match (&range, manner) {
                (_, Manner::IgnoresRange) | (None, _) => 0,
                (Some(_), _) if !is_same => 0,
                (Some(range), _) => range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap(),
            };
            let rest = &body[start..];
            let status = match (manner, start) {
                (Manner::NotFound, _) => "404 Not Found".to_owned(),
                (_, 0) => "200 OK".to_owned(),
                _ => format!(
                    "206 Partial Content\r\nContent-Range: bytes {start}-{}/{}",
                    body.len() - 1,
                    body.len()
                ),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nETag: \"v1\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                rest.len()
            );
            let sent = match manner {
                Manner::CutsTwice if n_requests <= 2 => &rest[..rest.len() / 2],
                Manner::CutsAlways => &[],
                _ => rest,
            };
            // A client may hang up early; that is its right.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
        }
    });
    Server { url, ranges }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A zip archive whose member is stored, so that half of it is half of the bytes.
fn archive(text: &str) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut zip = zip::ZipWriter::new(&mut bytes);
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file(MEMBER, stored).unwrap();
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap();
    bytes.into_inner()
}

fn text() -> String {
    (0..20_000).map(|i| format!("line {i}\n")).collect()
}

fn download() -> Download {
    Download {
        url: "unused",
        archive: "archive.zip",
        sha256: None,
        max_archive_bytes: 1 << 20,
        member: MEMBER,
        max_member_bytes: 1 << 20,
        check: |path| {
            let text = fs::read_to_string(path).unwrap();
            if text.lines().count() == 20_000 {
                return Ok(());
            }
            Err(DatasetError::Content {
                path: path.to_owned(),
                detail: "there are not 20000 lines".to_owned(),
            })
        },
    }
}

async fn get(download: &Download, url: &str, place: &Path) -> Result<PathBuf, DatasetError> {
    fetch::fetch_from(download, url, place, &|_, _| {}).await
}

#[tokio::test]
async fn a_download_is_unpacked_checked_and_not_repeated() {
    let place = tempfile::tempdir().unwrap();
    let server = serve(archive(&text()), Manner::Proper);
    let last = Mutex::new((0, 0));
    let progress = |done, total| *last.lock().unwrap() = (done, total);
    let file = fetch::fetch_from(&download(), &server.url, place.path(), &progress).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), text());
    let size = archive(&text()).len() as u64;
    assert_eq!(*last.lock().unwrap(), (size, size));
    get(&download(), &server.url, place.path()).await.unwrap();
    assert_eq!(server.ranges.lock().unwrap().len(), 1, "the second time nothing is asked");
    let sums = fs::read_to_string(place.path().join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 2);
    let mut names: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["SHA256SUMS", "archive.zip", "data.csv"]);
}

#[tokio::test]
async fn a_renamed_data_file_is_taken_if_it_is_the_only_one_of_its_kind() {
    let place = tempfile::tempdir().unwrap();
    let server = serve(archive(&text()), Manner::Proper);
    let renamed = Download { member: "other.csv", ..download() };
    assert_eq!(get(&renamed, &server.url, place.path()).await.unwrap(), place.path().join("other.csv"));
    let place = tempfile::tempdir().unwrap();
    let absent = Download { member: "other.xlsx", ..download() };
    assert!(matches!(get(&absent, &server.url, place.path()).await, Err(DatasetError::Archive { .. })));
}

#[tokio::test]
async fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let place = tempfile::tempdir().unwrap();
    let body = archive(&text());
    let server = serve(body.clone(), Manner::CutsTwice);
    let file = get(&download(), &server.url, place.path()).await.unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), text());
    let half = body.len() / 2;
    let more = half + (body.len() - half) / 2;
    let expected = [None, Some(format!("bytes={half}-")), Some(format!("bytes={more}-"))];
    assert_eq!(*server.ranges.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_part_of_another_version_and_a_server_without_ranges_start_over() {
    let body = archive(&text());
    for manner in [Manner::IgnoresRange, Manner::Proper] {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("archive.zip.part"), b"not of this archive").unwrap();
        fs::write(place.path().join("archive.zip.part.version"), "\"v0\"").unwrap();
        let server = serve(body.clone(), manner);
        let file = get(&download(), &server.url, place.path()).await.unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), text());
        assert_eq!(*server.ranges.lock().unwrap(), [Some("bytes=19-".to_owned())]);
    }
}

#[tokio::test]
async fn without_a_network_the_error_says_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/archive.zip");
    let message = get(&download(), &url, place.path()).await.unwrap_err().to_string();
    for part in [url.as_str(), place.path().to_str().unwrap(), "--data sim", "refused"] {
        assert!(message.contains(part), "{message}");
    }
    for (manner, part) in [(Manner::NotFound, "404"), (Manner::CutsAlways, "bytes are kept")] {
        let server = serve(archive(&text()), manner);
        let message = get(&download(), &server.url, place.path()).await.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        assert!(!place.path().join("archive.zip").exists());
    }
}

#[tokio::test]
async fn a_wrong_digest_wrong_content_and_a_longer_archive_are_refused_and_leave_nothing_behind() {
    let body = archive(&text());
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let pinned = Download { sha256: Some(Box::leak(digest.into_boxed_str())), ..download() };
    let place = tempfile::tempdir().unwrap();
    get(&pinned, &serve(body.clone(), Manner::Proper).url, place.path()).await.unwrap();

    let place = tempfile::tempdir().unwrap();
    let other = serve(archive("other\n"), Manner::Proper);
    assert!(matches!(get(&pinned, &other.url, place.path()).await, Err(DatasetError::Checksum { .. })));
    assert!(matches!(get(&download(), &other.url, place.path()).await, Err(DatasetError::Content { .. })));
    let rubbish = serve(b"<html>hello</html>".to_vec(), Manner::Proper);
    assert!(matches!(get(&download(), &rubbish.url, place.path()).await, Err(DatasetError::Archive { .. })));
    let server = serve(body, Manner::Proper);
    let tight = Download { max_archive_bytes: 1000, ..download() };
    assert!(matches!(get(&tight, &server.url, place.path()).await, Err(DatasetError::TooLarge { .. })));
    let tight = Download { max_member_bytes: 1000, ..download() };
    assert!(matches!(get(&tight, &server.url, place.path()).await, Err(DatasetError::Archive { .. })));
    let left: Vec<u64> =
        fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(left.iter().sum::<u64>(), 0, "no bytes of a refused archive are kept");
}

#[tokio::test]
async fn a_file_that_changed_after_the_download_is_found() {
    let place = tempfile::tempdir().unwrap();
    let server = serve(archive(&text()), Manner::Proper);
    let file = get(&download(), &server.url, place.path()).await.unwrap();
    fetch::verify_checksums(place.path()).unwrap();
    fs::write(&file, "changed").unwrap();
    let error = get(&download(), &server.url, place.path()).await.unwrap_err();
    assert!(matches!(&error, DatasetError::Checksum { path, .. } if *path == file), "{error}");
}

#[test]
fn files_are_found_by_explicit_path_then_data_dir_then_what_was_fetched() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (data_dir, dir, explicit) = (at("data"), at("dir"), at("mine"));
    let look = |explicit: Option<&Path>| find("online-retail", explicit, Some(&data_dir), &dir);

    let message = look(None).unwrap_err().to_string();
    assert!(
        message.contains("waggle data fetch online-retail") && message.contains("dir/datasets/online-retail")
    );
    let fetched = at("dir/datasets/online-retail");
    fs::write(fetched.join("a.csv"), "x").unwrap();
    assert_eq!(look(None).unwrap(), fetched);
    fs::write(fetched.join("SHA256SUMS"), "00  a.csv\n").unwrap();
    assert!(matches!(look(None), Err(DatasetError::Checksum { .. })));
    let shared = at("data/online-retail");
    fs::write(shared.join("a.csv.gz"), "x").unwrap();
    assert_eq!(look(None).unwrap(), shared);
    assert_eq!(look(Some(&explicit)).unwrap(), explicit);
    assert!(matches!(look(Some(&root.path().join("no"))), Err(DatasetError::Missing { .. })));
    let message = find("movies", None, None, &dir).unwrap_err().to_string();
    assert_eq!(message, "no dataset is called \"movies\"; known are: online-retail");
    assert_eq!(catalogue().len(), 1);
}
