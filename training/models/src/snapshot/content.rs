//! A snapshot in memory: every model of one training run, checked, with its index measured and chosen.

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
    sync::Arc,
};

use ndarray::Array2;

use super::{
    FORMAT_VERSION, MAX_PART_BYTES, Manifest, PartEntry, SnapshotError,
    parts::{self, Part},
};
use crate::{
    Vocabulary,
    als::Als,
    ann::{self, AnnIndex, AnnReport, Graph, Thresholds},
    item_item::ItemItem,
    popularity::Popularity,
    ranker::Ranker,
    segments::Segments,
    sessions::Sessions,
};

/// Recall at 100 that an index must reach to be used instead of the scan.
pub const MIN_RECALL: f64 = 0.95;

/// Name and file of every part, in the order they are written.
const VOCABULARY: (&str, &str) = ("vocabulary", "vocabulary.bin");
const POPULARITY: (&str, &str) = ("popularity", "popularity.bin");
const ITEM_ITEM: (&str, &str) = ("item_item", "item_item.bin");
/// Absent where there are no sessions, and in snapshots from before there were any.
const SESSIONS: (&str, &str) = ("sessions", "sessions.bin");
const ALS: (&str, &str) = ("als", "als.bin");
const SAMPLE_QUERIES: (&str, &str) = ("sample_queries", "sample_queries.bin");
/// Only where there are items enough for one to be built.
const GRAPH: (&str, &str) = ("graph", "graph.bin");
const RANKER: (&str, &str) = ("ranker", "ranker.json");
/// Only where there are people enough for groups of them.
const SEGMENTS: (&str, &str) = ("segments", "segments.bin");
const PARTS: [(&str, &str); 9] =
    [VOCABULARY, POPULARITY, ITEM_ITEM, ALS, SAMPLE_QUERIES, SESSIONS, GRAPH, RANKER, SEGMENTS];

/// All that serving needs of one training run. Rows of every model are rows of the vocabulary.
#[derive(Clone)]
pub struct Snapshot {
    pub manifest: Manifest,
    pub vocabulary: Vocabulary,
    pub popularity: Popularity,
    pub item_item: ItemItem,
    /// `None`: sessions are judged by item-item similarities alone.
    pub sessions: Option<Sessions>,
    pub als: Als,
    /// Folded-in vectors of sampled persons, `[n, n_factors]`: what the index is measured with.
    pub sample_queries: Array2<f32>,
    /// Over `als.item_factors()`: the engine that was measured to be the fastest, here and now.
    pub ann: Arc<dyn AnnIndex>,
    pub ann_report: AnnReport,
    /// What the engine of that name walks through; stored, because building it takes long.
    pub graph: Option<Arc<Graph>>,
    /// `None`: candidates are served in the order of their sources.
    pub ranker: Option<Ranker>,
    /// `None`: too few people, or an older snapshot.
    pub segments: Option<Segments>,
}

/// The models of a snapshot before it has an index.
pub struct SnapshotModels {
    pub vocabulary: Vocabulary,
    pub popularity: Popularity,
    pub item_item: ItemItem,
    /// `None`: sessions are judged by item-item similarities alone.
    pub sessions: Option<Sessions>,
    pub als: Als,
    pub sample_queries: Array2<f32>,
    pub ranker: Option<Ranker>,
    pub segments: Option<Segments>,
}

/// A small snapshot as it is written, whole.
#[derive(Debug, Clone)]
pub struct SnapshotDraft {
    /// With an entry for every part.
    pub manifest: Manifest,
    /// (file, bytes).
    pub files: Vec<(String, Vec<u8>)>,
}

/// One part as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPart {
    /// Under which the manifest lists it.
    pub name: &'static str,
    /// In the snapshot's folder.
    pub file: &'static str,
    /// All of the file.
    pub bytes: Vec<u8>,
}

impl Snapshot {
    /// Checks that the models fit together, then measures and chooses the index. `manifest.parts` is left as it is;
    /// [`manifest_of`](Self::manifest_of) tells of parts that were written.
    ///
    /// # Errors
    /// [`SnapshotError`] names the part that does not fit.
    pub fn try_new(manifest: Manifest, models: SnapshotModels) -> Result<Self, SnapshotError> {
        Self::with_graph(manifest, models, None)
    }

    /// [`try_new`](Self::try_new) with the graph, if it is there already.
    fn with_graph(
        manifest: Manifest,
        models: SnapshotModels,
        graph: Option<Arc<Graph>>,
    ) -> Result<Self, SnapshotError> {
        let SnapshotModels {
            vocabulary,
            popularity,
            item_item,
            sessions,
            als,
            sample_queries,
            ranker,
            segments,
        } = models;
        let fits = |part: (&str, _), what: &str, expected: usize, got: usize| {
            if got == expected {
                Ok(())
            } else {
                Err(damaged(part, format!("it has {got} {what}, not {expected}")))
            }
        };
        let n_items = manifest.n_items;
        fits(VOCABULARY, "items", n_items, vocabulary.len())?;
        fits(POPULARITY, "items", n_items, popularity.n_items())?;
        fits(ITEM_ITEM, "items", n_items, item_item.n_items())?;
        if let Some(sessions) = &sessions {
            fits(SESSIONS, "items", n_items, sessions.n_items())?;
        }
        fits(ALS, "items", n_items, als.n_items())?;
        fits(SAMPLE_QUERIES, "factors", als.n_factors(), sample_queries.ncols())?;
        if sample_queries.iter().any(|x| !x.is_finite()) {
            return Err(damaged(SAMPLE_QUERIES, "a value is not finite"));
        }
        if let Some(ranker) = &ranker {
            ranker.validate().map_err(|detail| damaged(RANKER, detail.to_string()))?;
        }
        if let Some(segments) = &segments {
            fits(SEGMENTS, "factors", als.n_factors(), segments.n_factors())?;
            if segments.n_rows() > n_items {
                let (row, detail) = (segments.n_rows() - 1, "a list names item row");
                return Err(damaged(SEGMENTS, format!("{detail} {row}, there are {n_items} items")));
            }
        }
        if let Some(graph) = &graph {
            fits(GRAPH, "items", n_items, graph.n_items())?;
        }
        let (ann, ann_report, graph) = ann::choose_with(
            &Thresholds::default(),
            graph,
            als.shared_item_factors(),
            sample_queries.view(),
            MIN_RECALL,
        )
        .map_err(|e| damaged(ALS, e.to_string()))?;
        let ann = Arc::from(ann);
        Ok(Self {
            manifest,
            vocabulary,
            popularity,
            item_item,
            sessions,
            als,
            sample_queries,
            ann,
            ann_report,
            graph,
            ranker,
            segments,
        })
    }

    /// Every part, each encoded when its turn comes: all at once would be a second snapshot in memory.
    pub fn encoded(&self) -> impl Iterator<Item = EncodedPart> {
        PARTS.into_iter().filter_map(|part| {
            let (name, file) = part;
            Some(EncodedPart { name, file, bytes: self.encode(part)? })
        })
    }

    /// All of it encoded at once.
    pub fn draft(&self) -> SnapshotDraft {
        let (mut entries, mut files) = (BTreeMap::new(), Vec::new());
        for EncodedPart { name, file, bytes } in self.encoded() {
            entries.insert(name.to_owned(), PartEntry::of(file, &bytes));
            files.push((file.to_owned(), bytes));
        }
        SnapshotDraft { manifest: self.manifest_of(entries), files }
    }

    /// The manifest to publish with parts of these sizes and checksums.
    pub fn manifest_of(&self, parts: BTreeMap<String, PartEntry>) -> Manifest {
        Manifest { format_version: FORMAT_VERSION, parts, ..self.manifest.clone() }
    }

    fn encode(&self, part: (&str, &str)) -> Option<Vec<u8>> {
        match part {
            VOCABULARY => Some(parts::encode_vocabulary(&self.vocabulary)),
            POPULARITY => Some(parts::encode_popularity(&self.popularity)),
            ITEM_ITEM => Some(parts::encode_item_item(&self.item_item)),
            ALS => Some(parts::encode_als(&self.als)),
            SAMPLE_QUERIES => Some(parts::encode_queries(self.sample_queries.view())),
            SESSIONS => self.sessions.as_ref().map(parts::encode_sessions),
            GRAPH => self.graph.as_deref().map(parts::encode_graph),
            RANKER => {
                let ranker = self.ranker.as_ref()?;
                Some(serde_json::to_vec(ranker).expect("a ranker serialises into memory"))
            }
            SEGMENTS => self.segments.as_ref().map(parts::encode_segments),
            _ => unreachable!("PARTS has no other"),
        }
    }

    /// Reads a published snapshot. `open` opens the file of a part; size and SHA-256 of all parts are verified before any
    /// is decoded, and what is decoded is checked as if it came from nowhere. Beside the models, memory holds a block of
    /// one part.
    ///
    /// # Errors
    /// [`SnapshotError`] names the part that is missing, damaged or does not fit the others.
    pub fn decode<F: Read + Seek>(
        manifest: Manifest,
        open: &mut dyn FnMut(&PartEntry) -> Result<F, String>,
    ) -> Result<Self, SnapshotError> {
        let mut verified = BTreeMap::new();
        for (name, entry) in &manifest.parts {
            check_entry(name, entry)?;
            let damaged = |detail| SnapshotError::Part { part: name.clone(), detail };
            let mut file = open(entry).map_err(damaged)?;
            entry.verify(name, &mut file)?;
            file.rewind().map_err(|e| damaged(format!("it cannot be read again: {e}")))?;
            verified.insert(name.clone(), Part::new(file, entry.size_bytes));
        }
        let mut part = |part: (&str, &str)| {
            verified.remove(part.0).ok_or_else(|| SnapshotError::MissingPart(part.0.to_owned()))
        };
        let models = SnapshotModels {
            vocabulary: parts::decode_vocabulary(part(VOCABULARY)?).map_err(|e| damaged(VOCABULARY, e))?,
            popularity: parts::decode_popularity(part(POPULARITY)?).map_err(|e| damaged(POPULARITY, e))?,
            item_item: parts::decode_item_item(part(ITEM_ITEM)?).map_err(|e| damaged(ITEM_ITEM, e))?,
            sessions: match part(SESSIONS) {
                Ok(bytes) => Some(parts::decode_sessions(bytes).map_err(|e| damaged(SESSIONS, e))?),
                Err(_) => None,
            },
            als: parts::decode_als(part(ALS)?).map_err(|e| damaged(ALS, e))?,
            sample_queries: parts::decode_queries(part(SAMPLE_QUERIES)?)
                .map_err(|e| damaged(SAMPLE_QUERIES, e))?,
            ranker: match part(RANKER) {
                Ok(bytes) => {
                    let ranker: Ranker =
                        serde_json::from_reader(bytes).map_err(|e| damaged(RANKER, e.to_string()))?;
                    Some(ranker.with_newer_features())
                }
                Err(_) => None,
            },
            segments: match part(SEGMENTS) {
                Ok(bytes) => Some(parts::decode_segments(bytes).map_err(|e| damaged(SEGMENTS, e))?),
                Err(_) => None,
            },
        };
        let graph = match part(GRAPH) {
            Ok(bytes) => Some(Arc::new(parts::decode_graph(bytes).map_err(|e| damaged(GRAPH, e))?)),
            Err(_) => None,
        };
        Self::with_graph(manifest, models, graph)
    }
}

/// A manifest may name plain files only, and none too large to hold.
fn check_entry(part: &str, entry: &PartEntry) -> Result<(), SnapshotError> {
    let plain = !entry.file.is_empty()
        && !entry.file.starts_with('.')
        && entry.file.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !plain {
        return Err(SnapshotError::Manifest(format!(
            "part \"{part}\" names the file \"{}\", which is not a plain file name",
            entry.file.escape_debug()
        )));
    }
    if entry.size_bytes > MAX_PART_BYTES {
        return Err(SnapshotError::Manifest(format!(
            "part \"{part}\" has {} bytes, at most {MAX_PART_BYTES} are read",
            entry.size_bytes
        )));
    }
    Ok(())
}

fn damaged(part: (&str, &str), detail: impl Into<String>) -> SnapshotError {
    SnapshotError::Part { part: part.0.to_owned(), detail: detail.into() }
}
