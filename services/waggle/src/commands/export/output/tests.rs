use std::{fs, io::Read as _};

use super::*;

#[test]
fn a_file_appears_under_its_name_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.ndjson");
    fs::write(&path, "old").unwrap();
    let mut output = Output::open(Some(&path)).unwrap();
    output.write_all(b"new").unwrap();
    output.flush().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    output.finish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");

    let mut given_up = Output::open(Some(&path)).unwrap();
    given_up.write_all(b"half").unwrap();
    drop(given_up);
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn the_name_says_how_a_file_is_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str| {
        let path = folder.path().join(name);
        let mut output = Output::open(Some(&path)).unwrap();
        output.write_all(b"a line\n").unwrap();
        output.finish().unwrap();
        fs::read(&path).unwrap()
    };
    assert_eq!(written("a.ndjson"), b"a line\n");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&written("a.ndjson.gz")[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "a line\n");
    assert_eq!(zstd::decode_all(&written("a.ndjson.zst")[..]).unwrap(), b"a line\n");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Output::open(Some(Path::new("/nowhere/items.ndjson"))).err().unwrap();
    assert!(format!("{error:#}").starts_with("/nowhere/items.ndjson cannot be written"), "{error:#}");
}
