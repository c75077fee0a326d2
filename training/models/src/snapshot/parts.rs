//! The binary form of a snapshot's parts.
//!
//! Little-endian. Every part opens with the magic bytes, a four-letter tag and the version of its form; then come its
//! numbers of rows and columns as `u64`, then its arrays. A part ends where its last array ends.

use std::io::{self, BufReader, Read};

use ndarray::{Array2, ArrayView2};
use waggle_model::{ItemId, ItemIdx};

use crate::{
    Vocabulary,
    als::{Als, AlsParams},
    ann::Graph,
    item_item::{ItemItem, ItemItemScoring},
    popularity::Popularity,
    segments::Segments,
    sessions::{SessionArrays, SessionScoring, Sessions},
};

const MAGIC: &[u8; 8] = b"waggle\x00\x01";
const VERSION: u32 = 1;

pub(super) fn encode_vocabulary(vocabulary: &Vocabulary) -> Vec<u8> {
    let mut part = Writer::new(b"voca");
    part.size(vocabulary.len());
    for row in 0..vocabulary.len() {
        part.bytes(vocabulary.text(ItemIdx::from_row(row)).as_bytes());
    }
    part.0
}

pub(super) fn decode_vocabulary(part: Part<'_>) -> Result<Vocabulary, String> {
    let mut part = Reader::open(part, b"voca")?;
    // An id takes at least its length and one byte.
    let n_items = part.size_of(5)?;
    let mut id = |row| {
        let text =
            String::from_utf8(part.bytes()?).map_err(|_| format!("item_id of row {row} is not UTF-8"))?;
        ItemId::try_new(text).map_err(|e| format!("row {row}: {e}"))
    };
    let mut refused = None;
    let ids = (0..n_items).map_while(|row| id(row).map_err(|e| refused = Some(e)).ok());
    let vocabulary = Vocabulary::try_new(ids).map_err(|e| e.to_string())?;
    if let Some(refused) = refused {
        return Err(refused);
    }
    part.end()?;
    if vocabulary.len() == n_items { Ok(vocabulary) } else { Err("an item_id is repeated".to_owned()) }
}

pub(super) fn encode_popularity(popularity: &Popularity) -> Vec<u8> {
    let mut part = Writer::new(b"popu");
    part.size(popularity.n_items());
    part.floats(popularity.scores());
    part.0
}

pub(super) fn decode_popularity(part: Part<'_>) -> Result<Popularity, String> {
    let mut part = Reader::open(part, b"popu")?;
    let n_items = part.size_of(4)?;
    let scores = part.floats(n_items)?;
    part.end()?;
    Popularity::try_new(scores).map_err(|e| e.to_string())
}

pub(super) fn encode_item_item(model: &ItemItem) -> Vec<u8> {
    let mut part = Writer::new(b"itit");
    part.size(model.n_items());
    part.size(model.n_entries());
    part.json(model.scoring());
    part.pointers(model.indptr());
    for item in model.items() {
        part.0.extend_from_slice(&item.0.to_le_bytes());
    }
    part.floats(model.similarities());
    part.0
}

pub(super) fn decode_item_item(part: Part<'_>) -> Result<ItemItem, String> {
    let mut part = Reader::open(part, b"itit")?;
    let (n_items, n_entries) = (part.size_of(8)?, part.size_of(8)?);
    let scoring: ItemItemScoring = part.json()?;
    let indptr = part.pointers(n_items)?;
    let items = part.items(n_entries)?;
    let similarities = part.floats(n_entries)?;
    part.end()?;
    ItemItem::try_new(indptr, items, similarities, scoring).map_err(|e| e.to_string())
}

pub(super) fn encode_sessions(model: &Sessions) -> Vec<u8> {
    let SessionArrays { of_items, sessions, of_sessions, items, days, idf } = model.arrays();
    let mut part = Writer::new(b"sess");
    part.size(model.n_items());
    part.size(model.n_sessions());
    part.json(model.scoring());
    part.pointers(&of_items);
    part.pointers(&of_sessions);
    part.words(sessions);
    part.words(items.into_iter().map(|item| item.0));
    part.words(days);
    part.floats(&idf);
    part.0
}

pub(super) fn decode_sessions(part: Part<'_>) -> Result<Sessions, String> {
    let mut part = Reader::open(part, b"sess")?;
    let (n_items, n_sessions) = (part.size_of(8)?, part.size_of(8)?);
    let scoring: SessionScoring = part.json()?;
    let (of_items, of_sessions) = (part.pointers(n_items)?, part.pointers(n_sessions)?);
    let n_entries = |pointers: &[usize]| pointers.last().copied().unwrap_or_default();
    let arrays = SessionArrays {
        sessions: part.words(n_entries(&of_items))?,
        items: part.items(n_entries(&of_sessions))?,
        days: part.words(n_sessions)?,
        idf: part.floats(n_items)?,
        of_items,
        of_sessions,
    };
    part.end()?;
    Sessions::try_new(arrays, scoring).map_err(|e| e.to_string())
}

pub(super) fn encode_als(als: &Als) -> Vec<u8> {
    let mut part = Writer::new(b"ials");
    part.json(als.params());
    part.matrix(als.item_factors());
    part.0
}

pub(super) fn decode_als(part: Part<'_>) -> Result<Als, String> {
    let mut part = Reader::open(part, b"ials")?;
    let params: AlsParams = part.json()?;
    let item_factors = part.matrix()?;
    part.end()?;
    Als::try_new(item_factors, params).map_err(|e| e.to_string())
}

pub(super) fn encode_queries(queries: ArrayView2<'_, f32>) -> Vec<u8> {
    let mut part = Writer::new(b"qury");
    part.matrix(queries);
    part.0
}

pub(super) fn decode_queries(part: Part<'_>) -> Result<Array2<f32>, String> {
    let mut part = Reader::open(part, b"qury")?;
    let queries = part.matrix()?;
    part.end()?;
    match queries.outer_iter().position(|row| row.iter().any(|x| !x.is_finite())) {
        Some(row) => Err(format!("query {row} is not all finite")),
        None => Ok(queries),
    }
}

pub(super) fn encode_segments(segments: &Segments) -> Vec<u8> {
    let mut part = Writer::new(b"segm");
    part.matrix(segments.centroids());
    part.words(segments.n_people().iter().copied());
    part.pointers(segments.indptr());
    part.words(segments.items().iter().map(|item| item.0));
    part.floats(segments.scores());
    part.0
}

pub(super) fn decode_segments(part: Part<'_>) -> Result<Segments, String> {
    let mut part = Reader::open(part, b"segm")?;
    let centroids = part.matrix()?;
    let n_segments = centroids.nrows();
    let n_people = part.words(n_segments)?;
    let indptr = part.pointers(n_segments)?;
    let n_entries = indptr[n_segments];
    let items = part.items(n_entries)?;
    let scores = part.floats(n_entries)?;
    part.end()?;
    Segments::try_new(centroids, n_people, indptr, items, scores).map_err(|e| e.to_string())
}

/// A graph as a part of a snapshot has it: the item of every node, its number of neighbours, and the neighbours.
pub fn encode_graph(graph: &Graph) -> Vec<u8> {
    let mut part = Writer::new(b"grph");
    part.size(graph.n_items());
    part.size(graph.n_hubs());
    part.words(graph.order().iter().copied());
    let degrees = (0..graph.n_items()).map(|node| graph.neighbours(node).len());
    part.0.extend(degrees.map(|degree| u8::try_from(degree).expect("a graph keeps degrees small")));
    for node in 0..graph.n_items() {
        part.words(graph.neighbours(node).iter().copied());
    }
    part.0
}

/// # Errors
/// Says what is wrong with the bytes, in time and memory proportional to them.
pub fn decode_graph(part: Part<'_>) -> Result<Graph, String> {
    let mut part = Reader::open(part, b"grph")?;
    // A node takes its item and its number of neighbours.
    let (n, n_hubs) = (part.size_of(5)?, part.size()?);
    let order = part.words(n)?;
    let degrees = part.take(n, 1)?;
    let n_neighbours = degrees.iter().map(|&degree| usize::from(degree)).sum();
    let neighbours = part.words(n_neighbours)?;
    part.end()?;
    Graph::try_new(order, &degrees, neighbours, n_hubs).map_err(|e| e.to_string())
}

struct Writer(Vec<u8>);

impl Writer {
    fn new(tag: &[u8; 4]) -> Self {
        Self([MAGIC.as_slice(), tag, &VERSION.to_le_bytes()].concat())
    }

    fn size(&mut self, size: usize) {
        self.0.extend_from_slice(&(size as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("ids and settings are short");
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn json(&mut self, value: &impl serde::Serialize) {
        self.bytes(&serde_json::to_vec(value).expect("settings serialise into memory"));
    }

    fn floats<'a>(&mut self, values: impl IntoIterator<Item = &'a f32>) {
        self.0.extend(values.into_iter().flat_map(|value| value.to_le_bytes()));
    }

    fn words(&mut self, words: impl IntoIterator<Item = u32>) {
        self.0.extend(words.into_iter().flat_map(u32::to_le_bytes));
    }

    fn pointers(&mut self, pointers: &[usize]) {
        pointers.iter().for_each(|&pointer| self.size(pointer));
    }

    fn matrix(&mut self, matrix: ArrayView2<'_, f32>) {
        self.size(matrix.nrows());
        self.size(matrix.ncols());
        self.0.reserve_exact(matrix.len() * size_of::<f32>());
        self.floats(matrix.iter());
    }
}

/// The bytes of a part, from its first to its last.
pub struct Part<'a> {
    source: BufReader<Box<dyn Read + 'a>>,
    n_left: u64,
}

impl<'a> Part<'a> {
    /// `source` gives at least `size_bytes`.
    pub fn new(source: impl Read + 'a, size_bytes: u64) -> Self {
        Self { source: BufReader::with_capacity(BLOCK_BYTES, Box::new(source)), n_left: size_bytes }
    }
}

impl Read for Part<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.n_left).unwrap_or(usize::MAX).min(out.len());
        let n_read = self.source.read(&mut out[..n])?;
        self.n_left -= n_read as u64;
        Ok(n_read)
    }
}

/// Bytes of a part that are in memory beside what is made of them.
const BLOCK_BYTES: usize = 1 << 16;

/// Reads what [`Writer`] wrote; every length is checked against the bytes that are left before anything is allocated. A
/// part is never in memory as bytes: it may be as large as all the rest.
struct Reader<'a>(Part<'a>);

impl<'a> Reader<'a> {
    fn open(part: Part<'a>, tag: &[u8; 4]) -> Result<Self, String> {
        let mut reader = Self(part);
        if reader.take(8, 1)? != MAGIC {
            return Err("it does not begin like a part of a snapshot".to_owned());
        }
        let got = reader.take(4, 1)?;
        if got != tag {
            return Err(format!("it is a part of kind \"{}\"", got.escape_ascii()));
        }
        match u32::from_le_bytes(reader.array()?) {
            VERSION => Ok(reader),
            got => Err(format!("its form has version {got}, this build reads {VERSION}")),
        }
    }

    /// Bytes that are left.
    fn n_left(&self) -> usize {
        usize::try_from(self.0.n_left).unwrap_or(usize::MAX)
    }

    /// Checks that so many elements are left and gives their bytes.
    fn due(&self, count: usize, width: usize) -> Result<usize, String> {
        let wanted = count.checked_mul(width).ok_or("a length overflows")?;
        if wanted > self.n_left() {
            return Err(format!("it is cut short: {wanted} bytes are due where {} are left", self.n_left()));
        }
        Ok(wanted)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), String> {
        self.0.read_exact(out).map_err(|e| format!("it cannot be read: {e}"))
    }

    fn take(&mut self, count: usize, width: usize) -> Result<Vec<u8>, String> {
        let mut taken = vec![0; self.due(count, width)?];
        self.fill(&mut taken)?;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut taken = [0; N];
        self.due(N, 1)?;
        self.fill(&mut taken)?;
        Ok(taken)
    }

    fn size(&mut self) -> Result<usize, String> {
        usize::try_from(u64::from_le_bytes(self.array()?))
            .map_err(|_| "a size does not fit this machine".to_owned())
    }

    /// A count of elements that take at least `width` bytes each.
    fn size_of(&mut self, width: usize) -> Result<usize, String> {
        let count = self.size()?;
        match count.checked_mul(width) {
            Some(wanted) if wanted <= self.n_left() => Ok(count),
            _ => Err(format!("it announces {count} elements where {} bytes are left", self.n_left())),
        }
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).map_err(|_| "a length does not fit this machine".to_owned())?, 1)
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, String> {
        serde_json::from_slice(&self.bytes()?).map_err(|e| format!("its settings do not decode: {e}"))
    }

    /// `count` numbers of four bytes.
    fn numbers<T>(&mut self, count: usize, number: impl Fn([u8; 4]) -> T) -> Result<Vec<T>, String> {
        self.due(count, 4)?;
        let mut numbers = Vec::with_capacity(count);
        let mut block = vec![0; BLOCK_BYTES.min(4 * count)];
        while numbers.len() < count {
            let block = &mut block[..(4 * (count - numbers.len())).min(BLOCK_BYTES)];
            self.fill(block)?;
            numbers.extend(block.as_chunks().0.iter().map(|bytes| number(*bytes)));
        }
        Ok(numbers)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, String> {
        self.numbers(count, f32::from_le_bytes)
    }

    fn words(&mut self, count: usize) -> Result<Vec<u32>, String> {
        self.numbers(count, u32::from_le_bytes)
    }

    fn items(&mut self, count: usize) -> Result<Vec<ItemIdx>, String> {
        self.numbers(count, |bytes| ItemIdx(u32::from_le_bytes(bytes)))
    }

    /// The `n_rows + 1` pointers of compressed rows.
    fn pointers(&mut self, n_rows: usize) -> Result<Vec<usize>, String> {
        (0..=n_rows).map(|_| self.size()).collect()
    }

    fn matrix(&mut self) -> Result<Array2<f32>, String> {
        let (n_rows, n_columns) = (self.size()?, self.size()?);
        let count = n_rows.checked_mul(n_columns).ok_or("a matrix is too large")?;
        let values = self.floats(count)?;
        Array2::from_shape_vec((n_rows, n_columns), values).map_err(|e| e.to_string())
    }

    fn end(&self) -> Result<(), String> {
        match self.n_left() {
            0 => Ok(()),
            n => Err(format!("{n} bytes follow its end")),
        }
    }
}
