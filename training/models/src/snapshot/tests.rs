use std::{
    io::{Cursor, Seek, SeekFrom},
    sync::Arc,
    time::Duration,
};

use ndarray::Array2;
use waggle_model::{ItemId, ItemIdx, SnapshotVersion};

use super::*;
use crate::{
    Als, AlsParams, ItemItem, Popularity, Segments, Sessions, SnapshotSlot, Vocabulary,
    ann::{ExactIndex, Graph, GraphParams},
    sessions::{SessionArrays, SessionScoring},
};

fn models() -> SnapshotModels {
    let n_items = 7;
    let factors = Array2::from_shape_fn((n_items, 3), |(i, j)| ((i * 5 + j * 3) as f32).sin());
    let params = AlsParams { n_factors: 3, ..AlsParams::default() };
    let ids = (0..n_items).map(|row| ItemId::try_new(format!("item-{row}")).unwrap());
    let neighbours = vec![ItemIdx(1), ItemIdx(6), ItemIdx(0)];
    SnapshotModels {
        vocabulary: Vocabulary::try_new(ids).unwrap(),
        popularity: Popularity::try_new((0..n_items).map(|row| row as f32).collect()).unwrap(),
        item_item: ItemItem::try_new(
            vec![0, 2, 3, 3, 3, 3, 3, 3],
            neighbours,
            vec![0.5, 0.25, 1.0],
            Default::default(),
        )
        .unwrap(),
        sessions: Some(sessions(n_items)),
        als: Als::try_new(factors, params).unwrap(),
        sample_queries: Array2::from_shape_fn((4, 3), |(i, j)| ((i + 2 * j) as f32).cos()),
        ranker: None,
        segments: Some(segments(3)),
    }
}

/// One session of the first two items.
fn sessions(n_items: usize) -> Sessions {
    let arrays = SessionArrays {
        of_items: (0..=n_items).map(|row| row.min(2)).collect(),
        sessions: vec![0, 0],
        of_sessions: vec![0, 2],
        items: vec![ItemIdx(0), ItemIdx(1)],
        days: vec![20_000],
        idf: vec![0.5; n_items],
    };
    Sessions::try_new(arrays, SessionScoring::default()).unwrap()
}

fn segments(n_factors: usize) -> Segments {
    let centroids = Array2::from_shape_fn((2, n_factors), |(i, j)| f32::from(u8::from(i == j)));
    let items = vec![ItemIdx(6), ItemIdx(2), ItemIdx(6)];
    Segments::try_new(centroids, vec![40, 60], vec![0, 1, 3], items, vec![0.5, 0.75, 0.25]).unwrap()
}

fn manifest() -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        version: SnapshotVersion::try_new("2026-01-01").unwrap(),
        created_at: Timestamp::from_millis(1),
        trained_until: Timestamp::from_millis(0),
        n_items: 7,
        n_users: 2,
        n_interactions: 3,
        seed: 1,
        settings: serde_json::json!({}),
        evaluation: serde_json::json!({}),
        parts: BTreeMap::new(),
    }
}

/// With a graph, for which there would be too few items otherwise.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::try_new(manifest(), models()).unwrap();
    let exact = ExactIndex::try_new(Arc::new(snapshot.als.item_factors().to_owned())).unwrap();
    snapshot.graph = Some(Arc::new(Graph::build(&exact, &GraphParams::default()).unwrap()));
    snapshot
}

fn draft() -> SnapshotDraft {
    snapshot().draft()
}

fn decode(draft: &SnapshotDraft) -> Result<Snapshot, SnapshotError> {
    let manifest = Manifest::decode(&draft.manifest.encode())?;
    Snapshot::decode(manifest, &mut |entry| {
        let found = draft.files.iter().find(|(file, _)| *file == entry.file);
        found.map(|(_, bytes)| Cursor::new(bytes)).ok_or_else(|| "no such file".to_owned())
    })
}

/// `draft()` with the bytes of one part changed and its checksum made to fit: the work of a faulty writer.
fn forged(part: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<Snapshot, SnapshotError> {
    let mut draft = draft();
    let file = draft.manifest.parts[part].file.clone();
    let bytes = &mut draft.files.iter_mut().find(|(name, _)| *name == file).unwrap().1;
    change(bytes);
    draft.manifest.parts.insert(part.to_owned(), PartEntry::of(file, bytes));
    decode(&draft)
}

#[track_caller]
fn refused(got: Result<Snapshot, SnapshotError>, expected: &str) {
    let error = got.err().expect("the snapshot must be refused").to_string();
    assert!(error.contains(expected), "\"{error}\" does not say \"{expected}\"");
}

#[test]
fn a_snapshot_reads_back_as_it_was_written() {
    let written = snapshot();
    let read = decode(&written.draft()).unwrap();
    assert!(read.encoded().eq(written.encoded()));
    assert!(read.vocabulary.ids().eq(written.vocabulary.ids()));
    assert_eq!(read.als.params(), written.als.params());
    assert_eq!(read.ann.name(), "exact");
    assert_eq!(read.ann.search(&[1.0, 0.5, 0.0], 7, None), written.ann.search(&[1.0, 0.5, 0.0], 7, None));
}

#[test]
fn a_snapshot_without_a_graph_reads_as_well() {
    let written = Snapshot::try_new(manifest(), models()).unwrap();
    let draft = written.draft();
    assert!(!draft.manifest.parts.contains_key("graph"));
    assert!(decode(&draft).unwrap().graph.is_none());
}

#[test]
fn a_snapshot_from_before_there_were_sessions_reads_as_well() {
    let mut older = draft();
    older.manifest.parts.remove("sessions");
    older.files.retain(|(file, _)| file != "sessions.bin");
    assert!(decode(&older).unwrap().sessions.is_none());
    assert_eq!(decode(&draft()).unwrap().sessions, Some(sessions(7)));
}

#[test]
fn sessions_that_no_fit_would_write_are_refused() {
    // The last idf; the only day before the seven idf; the second item of the session before the day.
    let at_word = |from_end: usize, word: u32| {
        forged("sessions", |bytes| {
            let at = bytes.len() - 4 * from_end;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        })
    };
    refused(at_word(1, f32::NAN.to_bits()), "idf of item 6");
    refused(at_word(9, 7), "items of session 0");
    refused(at_word(11, 1), "sessions of item 1");
    refused(forged("sessions", |bytes| bytes.truncate(bytes.len() - 4)), "cut short");
    refused(forged("sessions", |bytes| bytes[16..24].fill(0xff)), "it announces");
}

#[test]
fn a_snapshot_from_before_there_were_segments_reads_as_well() {
    let mut draft = draft();
    draft.manifest.parts.remove("segments");
    draft.files.retain(|(file, _)| file != "segments.bin");
    assert!(decode(&draft).unwrap().segments.is_none());
}

#[test]
fn segments_of_other_items_or_other_factors_are_refused() {
    // Items lie before the three scores.
    refused(
        forged("segments", |bytes| {
            let at = bytes.len() - 24;
            bytes[at] = 7
        }),
        "item row 7, there are 7 items",
    );
    let models = SnapshotModels { segments: Some(segments(2)), ..models() };
    let error = Snapshot::try_new(manifest(), models).err().unwrap().to_string();
    assert!(error.contains("2 factors, not 3"), "{error}");
}

#[test]
fn a_graph_of_other_items_or_with_links_to_nowhere_is_refused() {
    let of_two = |items: Array2<f32>| {
        Graph::build(&ExactIndex::try_new(Arc::new(items)).unwrap(), &GraphParams::default()).unwrap()
    };
    refused(forged("graph", |bytes| *bytes = encode_graph(&of_two(Array2::ones((2, 3))))), "2 items, not 7");
    // The last neighbour of the last node, then the item of the first node: 16 bytes of header and two sizes before it.
    refused(
        forged("graph", |bytes| {
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(&7_u32.to_le_bytes());
        }),
        "has the neighbour 7",
    );
    refused(forged("graph", |bytes| bytes[32..36].fill(0xff)), "each must have one node");
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let draft = draft();
    for (at, (_, bytes)) in draft.files.iter().enumerate() {
        for position in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
            let mut damaged = draft.clone();
            damaged.files[at].1[position] ^= 0x10;
            assert!(matches!(decode(&damaged), Err(SnapshotError::Checksum { .. })));
        }
    }
}

#[test]
fn a_part_cut_short_or_missing_is_noticed() {
    for at in 0..draft().files.len() {
        let mut short = draft();
        short.files[at].1.pop();
        assert!(matches!(decode(&short), Err(SnapshotError::Size { .. })));
        let mut missing = draft();
        missing.files.remove(at);
        refused(decode(&missing), "no such file");
    }
    let mut unnamed = draft();
    unnamed.manifest.parts.remove("als");
    refused(decode(&unnamed), "no part \"als\"");
}

#[test]
fn no_part_decodes_when_cut_anywhere_or_lengthened() {
    for part in draft().manifest.parts.keys() {
        let length = draft().manifest.parts[part].size_bytes as usize;
        for end in 0..length {
            assert!(forged(part, |bytes| bytes.truncate(end)).is_err(), "{part} cut at {end}");
        }
        refused(forged(part, |bytes| bytes.push(0)), "1 bytes follow");
    }
}

#[test]
fn a_forged_header_never_allocates_or_panics() {
    for part in draft().manifest.parts.keys() {
        refused(forged(part, |bytes| bytes[0] = b'W'), "does not begin like a part");
        refused(forged(part, |bytes| bytes[8] = b'?'), "a part of kind");
        refused(forged(part, |bytes| bytes[12] = 9), "version 9");
        // Every size and length in turn becomes enormous.
        for position in 16..draft().manifest.parts[part].size_bytes as usize {
            let outcome = forged(part, |bytes| {
                let end = bytes.len().min(position + 8);
                bytes[position..end].fill(0xff);
            });
            if let Ok(snapshot) = outcome {
                assert!(snapshot.als.item_factors().iter().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let nan = f32::NAN.to_le_bytes();
    for part in ["popularity", "als", "item_item", "sample_queries", "segments"] {
        let outcome = forged(part, |bytes| {
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(&nan);
        });
        refused(outcome, part);
    }
}

#[test]
fn a_row_out_of_range_and_falling_pointers_are_refused() {
    // Neighbours lie before the three similarities; pointers before the neighbours.
    refused(
        forged("item_item", |bytes| {
            let at = bytes.len() - 24;
            bytes[at] = 7
        }),
        "outside the 7 items",
    );
    refused(
        forged("item_item", |bytes| {
            let at = bytes.len() - 24 - 16;
            bytes[at] = 1
        }),
        "row pointers",
    );
}

#[test]
fn parts_of_different_sizes_do_not_make_a_snapshot() {
    let refused = |change: fn(&mut SnapshotModels), part: &str| {
        let mut models = models();
        change(&mut models);
        let error = Snapshot::try_new(manifest(), models).err().unwrap();
        assert!(matches!(&error, SnapshotError::Part { part: got, .. } if got == part), "{error}");
    };
    refused(|m| m.popularity = Popularity::try_new(vec![1.0]).unwrap(), "popularity");
    refused(|m| m.vocabulary = Vocabulary::default(), "vocabulary");
    refused(|m| m.sample_queries = Array2::zeros((2, 5)), "sample_queries");
    refused(|m| m.sample_queries[[0, 0]] = f32::NAN, "sample_queries");
    refused(|m| m.sessions = Some(sessions(6)), "sessions");
    refused(
        |m| m.item_item = ItemItem::try_new(vec![0], vec![], vec![], Default::default()).unwrap(),
        "item_item",
    );
}

#[test]
fn a_manifest_may_name_plain_files_only() {
    for file in ["../als.bin", "/etc/passwd", "", ".hidden", "a/b", "a\\b"] {
        let mut forged = draft();
        forged.manifest.parts.get_mut("als").unwrap().file = file.to_owned();
        refused(decode(&forged), "not a plain file name");
    }
    let mut large = draft();
    large.manifest.parts.get_mut("als").unwrap().size_bytes = MAX_PART_BYTES + 1;
    refused(decode(&large), "at most");
}

#[test]
fn another_format_version_is_refused() {
    let mut newer = draft();
    newer.manifest.format_version = FORMAT_VERSION + 1;
    assert!(matches!(decode(&newer), Err(SnapshotError::FormatVersion { .. })));
    assert!(matches!(Manifest::decode(b"{"), Err(SnapshotError::Manifest(_))));
}

#[test]
fn a_part_that_ends_while_it_is_decoded_is_refused_by_name() {
    /// Whole when it is verified, cut when it is read again.
    struct Shrinking<'a>(Cursor<&'a [u8]>, bool);
    impl Read for Shrinking<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(out)
        }
    }
    impl Seek for Shrinking<'_> {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            if self.1 {
                let bytes = *self.0.get_ref();
                *self.0.get_mut() = &bytes[..bytes.len() - 1];
            }
            self.0.seek(to)
        }
    }
    let draft = draft();
    for (part, entry) in &draft.manifest.parts {
        let shrinks = &entry.file;
        let outcome = Snapshot::decode(draft.manifest.clone(), &mut |entry| {
            let (_, bytes) = draft.files.iter().find(|(file, _)| *file == entry.file).unwrap();
            Ok(Shrinking(Cursor::new(bytes.as_slice()), entry.file == *shrinks))
        });
        refused(outcome, &format!("part \"{part}\" is damaged"));
    }
}

#[test]
fn the_former_snapshot_is_released_when_it_has_lingered() {
    let of = |version: &str| {
        let version = SnapshotVersion::try_new(version).unwrap();
        Arc::new(Snapshot::try_new(Manifest { version, ..manifest() }, models()).unwrap())
    };
    let (slot, first, second) = (SnapshotSlot::default(), of("first"), of("second"));
    slot.install(first.clone());
    slot.release_previous(Duration::ZERO);
    assert!(slot.get(&first.manifest.version).is_some(), "it is the current one");
    slot.install(second.clone());
    slot.release_previous(Duration::from_secs(3_600));
    assert!(slot.get(&first.manifest.version).is_some(), "requests in flight finish on it");
    slot.release_previous(Duration::ZERO);
    assert!(slot.get(&first.manifest.version).is_none());
    assert_eq!(slot.current().unwrap().manifest.version, second.manifest.version);
    assert_eq!(Arc::strong_count(&first), 1, "nobody keeps its memory");
}
