use std::io::Write as _;

use super::*;

fn csv(delimiter: u8) -> Format {
    Format::Csv { delimiter, wanted: Vec::new() }
}

/// Every chunk of a file of this content, and the error that ended it.
fn read_file(content: &[u8], format: Format) -> (Vec<Chunk<String>>, Option<String>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let input = Input::open(file.path(), format).unwrap();
    let text = |record: &Record| match String::from_utf8_lossy(&record.content).into_owned() {
        bad if bad.contains("bad") => Err("it says so".to_owned()),
        skipped if skipped.contains("skip") => Ok(None),
        text => Ok(Some(text)),
    };
    let mut receiver = input.read(text).unwrap();
    let (mut chunks, mut error) = (Vec::new(), None);
    while let Some(chunk) = receiver.blocking_recv() {
        match chunk {
            Ok(chunk) => chunks.push(chunk),
            Err(why) => error = Some(format!("{why:#}")),
        }
    }
    (chunks, error)
}

fn values(content: &[u8], format: Format) -> Vec<(u64, String)> {
    let (chunks, error) = read_file(content, format);
    assert_eq!(error, None);
    let values = chunks.into_iter().flat_map(|chunk| chunk.values);
    values.map(|(record, text)| (record.line, text)).collect()
}

fn fingerprints(content: &[u8], format: Format) -> Vec<u128> {
    let values = read_file(content, format).0.into_iter().flat_map(|chunk| chunk.values);
    values.map(|(record, _)| record.fingerprint).collect()
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn lines_are_counted_and_blank_ones_are_no_records() {
    let content = "\u{feff}{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"skip\":0}\n{\"c\":3}";
    let expected = [(1, "{\"a\":1}"), (4, "{\"b\":2}"), (6, "{\"c\":3}")];
    assert_eq!(
        values(content.as_bytes(), Format::Ndjson),
        expected.map(|(line, text)| (line, text.to_owned()))
    );
    let (chunks, _) = read_file(b"good\nbad\nskip\ngood\n", Format::Ndjson);
    let chunk = &chunks[0];
    assert_eq!((chunk.values.len(), chunk.refused.len(), chunk.n_skipped, chunk.bytes_read), (2, 1, 1, 19));
    assert_eq!((chunk.refused[0].0.line, chunk.refused[0].1.as_str()), (2, "it says so"));
    assert_eq!(values(b"", Format::Ndjson), []);
}

#[test]
fn compression_shows_in_the_content_whatever_the_name() {
    let plain = b"{\"a\":1}\n{\"b\":2}\n";
    let expected = values(plain, Format::Ndjson);
    assert_eq!(expected.len(), 2);
    assert_eq!(values(&gzipped(plain), Format::Ndjson), expected);
    let twice = [gzipped(&plain[..8]), gzipped(&plain[8..])].concat();
    assert_eq!(values(&twice, Format::Ndjson), expected, "gzip files may be strung together");
    assert_eq!(values(&zstd::encode_all(&plain[..], 3).unwrap(), Format::Ndjson), expected);
}

#[test]
fn a_file_that_is_cut_off_gives_what_came_before_and_an_error() {
    let content = "{\"a\":1}\n".repeat(100_000);
    for mut compressed in [gzipped(content.as_bytes()), zstd::encode_all(content.as_bytes(), 3).unwrap()] {
        compressed.truncate(compressed.len() - 1);
        let (chunks, error) = read_file(&compressed, Format::Ndjson);
        let n_records: usize = chunks.iter().map(|chunk| chunk.values.len()).sum();
        assert!(n_records > 0 && n_records <= 100_000, "{n_records}");
        assert!(error.unwrap().contains("cannot be read on after line"));
    }
}

#[test]
fn a_records_fingerprint_is_of_all_that_came_before_and_outlives_growth_and_compression() {
    let first = fingerprints(b"x\nx\ny\n", Format::Ndjson);
    assert_eq!(
        first.iter().collect::<std::collections::HashSet<_>>().len(),
        3,
        "equal lines differ by place"
    );
    assert_eq!(fingerprints(&gzipped(b"x\r\nx\r\ny\r\nz\r\n"), Format::Ndjson)[..3], first);
    assert_ne!(fingerprints(b"y\nx\ny\n", Format::Ndjson)[2], first[2]);
    let rows = fingerprints(b"a,b\n1,2\n12,\n,12\n", csv(b','));
    assert_eq!(rows.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    assert_ne!(fingerprints(b"b,a\n1,2\n", csv(b','))[0], rows[0], "the header is part of what was read");
}

#[test]
fn a_row_of_csv_is_an_object_of_what_is_not_empty() {
    let content = "\u{feff}user, item ,note\nanna,lamp,\n\"b, c\",\"two\nlines\",x\n";
    let expected =
        [(2, r#"{"item":"lamp","user":"anna"}"#), (3, r#"{"item":"two\nlines","note":"x","user":"b, c"}"#)];
    assert_eq!(values(content.as_bytes(), csv(b',')), expected.map(|(line, text)| (line, text.to_owned())));
    assert_eq!(values(b"a;b\n1;2\n", csv(b';')), [(2, r#"{"a":"1","b":"2"}"#.to_owned())]);
}

#[test]
fn a_row_that_does_not_fit_its_header_spoils_itself_alone() {
    let (chunks, error) = read_file(b"a,b\n1\n1,2\n\xff,2\n1,2,3\n", csv(b','));
    assert_eq!((error, chunks[0].values.len()), (None, 1));
    let refused: Vec<_> = chunks[0].refused.iter().map(|(record, why)| (record.line, why.as_str())).collect();
    let expected = [
        (2, "the row has 1 columns, the header 2"),
        (4, "column \"a\" is not UTF-8"),
        (5, "the row has 3 columns, the header 2"),
    ];
    assert_eq!(refused, expected);
}

#[test]
fn a_column_that_is_wanted_and_not_there_ends_the_file_before_it_begins() {
    let format = Format::Csv { delimiter: b',', wanted: vec!["sku".to_owned()] };
    let (chunks, error) = read_file(b"user,item\nanna,lamp\n", format);
    assert!(chunks.is_empty());
    let error = error.unwrap();
    assert!(error.contains("there is no column \"sku\"; the header has user, item"), "{error}");
}

#[test]
fn records_are_bounded_whatever_is_in_the_file() {
    let long = "x".repeat(MAX_RECORD_BYTES + 1);
    let (chunks, error) = read_file(format!("good\n{long}\n{}\n", &long[1..]).as_bytes(), Format::Ndjson);
    assert_eq!(error, None);
    let values: Vec<_> =
        chunks.iter().flat_map(|chunk| &chunk.values).map(|(record, _)| record.line).collect();
    let refused: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.refused).collect();
    assert_eq!((values, refused.len()), (vec![1, 3], 1));
    assert_eq!((refused[0].0.line, refused[0].0.content.len()), (2, SHOWN_BYTES));
    assert!(refused[0].1.contains("more than the 4194304 bytes"));

    let unclosed = format!("a,b\n1,2\n\"{}", "x\n".repeat(2 * MAX_RECORD_BYTES));
    let (chunks, error) = read_file(unclosed.as_bytes(), csv(b','));
    assert_eq!(chunks.iter().map(|chunk| chunk.values.len()).sum::<usize>(), 1);
    assert!(error.unwrap().contains("is a quote not closed?"));
}

#[test]
fn many_records_come_in_chunks_and_in_order() {
    let content: String = (0..25_000).map(|n| format!("{n}\n")).collect();
    let (chunks, _) = read_file(content.as_bytes(), Format::Ndjson);
    assert_eq!(chunks.iter().map(|chunk| chunk.values.len()).collect::<Vec<_>>(), [10_000, 10_000, 5_000]);
    let numbers = chunks.iter().flat_map(|chunk| &chunk.values).map(|(_, text)| text.parse::<u64>().unwrap());
    assert!(numbers.eq(0..25_000));
    let large: String = (0..12).map(|n| format!("{n}{}\n", "x".repeat(1 << 20))).collect();
    assert_eq!(read_file(large.as_bytes(), Format::Ndjson).0.len(), 2, "8 MiB are enough for a chunk");
}

#[test]
fn the_name_says_what_a_file_is() {
    let check =
        |name: &str, expected: Format| assert_eq!(Format::of_name(Path::new(name)), expected, "{name}");
    check("events.ndjson", Format::Ndjson);
    check("-", Format::Ndjson);
    check("Events.CSV", csv(b','));
    check("events.csv.zst", csv(b','));
    check("/data/events.tsv.gz", csv(b'\t'));
    check("events.csv.d/part-1", Format::Ndjson);
}

#[test]
fn what_cannot_be_opened_is_named() {
    let error = |path: &str| format!("{:#}", Input::open(Path::new(path), Format::Ndjson).err().unwrap());
    assert!(error("/nowhere/events.ndjson").starts_with("/nowhere/events.ndjson cannot be opened"));
    assert!(error("/tmp").contains("is a folder"));
    let stdin = PathBuf::from("-");
    assert!(check_paths(&[stdin.clone(), PathBuf::from("a")]).is_ok());
    assert!(check_paths(&[stdin.clone(), stdin]).unwrap_err().contains("named 2 times"));
}
