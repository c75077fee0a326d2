//! Rows of the archive and their columns.
//!
//! An interaction is spread over the columns, so that any tool can read it. Every other event keeps its encoded bytes
//! in `body`, as does an interaction that carries a signal or whose context JSON would not read back exactly. A record
//! that is not an event is kept too, as type `undecodable`.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::reader::get_typed_column_reader,
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::{ParquetError, Result},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        reader::{FileReader, RowGroupReader},
        serialized_reader::SerializedFileReader,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath, types::TypePtr},
};
use serde_json::{Map, Value};
use waggle_model::{
    Event, EventBody, Interaction, InteractionKind, Person, Placement, Timestamp, decode_event, encode_event,
};

use crate::log::LogRecord;

pub(super) const VERSION: &str = "1";
const VERSION_KEY: &str = "waggle.archive";
/// Rows, and bytes of theirs beside the columns, that are decoded at once; bounds the memory of a reader of many files.
const ROWS_PER_GROUP: usize = 16_384;
const BYTES_PER_GROUP: usize = 8 << 20;
const UNDECODABLE: &str = "undecodable";

const SCHEMA: &str = "message record {
    required int64 offset;
    required int64 timestamp;
    optional binary event_id (UTF8);
    optional binary user_id (UTF8);
    optional binary session_id (UTF8);
    required binary type (UTF8);
    optional binary item_id (UTF8);
    optional double value;
    optional double quantity;
    optional double price;
    optional binary currency (UTF8);
    optional binary order_id (UTF8);
    optional binary answer_id (UTF8);
    optional int32 position;
    optional binary placement (UTF8);
    optional binary context (JSON);
    optional binary body;
}";

/// A record about to be written, or as it was read.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) offset: u64,
    /// Event time; the record's own where there is no event.
    pub(super) time: Timestamp,
    /// What the columns hold; `None` for what is not an event.
    pub(super) event: Option<Event>,
    /// The event's context as JSON, if it has one.
    context: Option<String>,
    /// The record's own bytes, where the columns do not hold all of it.
    body: Option<ByteArray>,
}

impl Row {
    pub(super) fn new(record: &LogRecord) -> Self {
        let (offset, value) = (record.offset, &record.value);
        let Ok(event) = decode_event(value) else {
            return Self {
                offset,
                time: record.timestamp,
                event: None,
                context: None,
                body: Some(value.clone().into()),
            };
        };
        let context = (!event.context.is_empty()).then(|| Value::Object(event.context.clone()).to_string());
        // JSON digits do not always read back to the same bits.
        let reads_back = context.as_deref().is_none_or(|json| {
            serde_json::from_str::<Map<String, Value>>(json).is_ok_and(|read| read == event.context)
        });
        let fits = matches!(&event.body, EventBody::Interaction(interaction) if interaction.signal.is_none());
        let is_columnar = fits && reads_back;
        let body = (!is_columnar).then(|| value.clone().into());
        Self { offset, time: event.timestamp, event: Some(event), context, body }
    }

    /// The record that the row was made of, without its key and with its event's time.
    pub(super) fn into_record(self, partition: u32) -> LogRecord {
        let value = match (self.body, &self.event) {
            (Some(body), _) => Bytes::copy_from_slice(body.data()),
            (None, Some(event)) => encode_event(event).into(),
            (None, None) => Bytes::new(),
        };
        LogRecord { partition, offset: self.offset, key: Bytes::new(), value, timestamp: self.time }
    }

    fn interaction(&self) -> Option<&Interaction> {
        match &self.event.as_ref()?.body {
            EventBody::Interaction(interaction) => Some(interaction),
            _ => None,
        }
    }

    fn person(&self) -> Option<&Person> {
        Some(&self.event.as_ref()?.person)
    }

    fn type_name(&self) -> &str {
        match self.event.as_ref().map(|e| &e.body) {
            None => UNDECODABLE,
            Some(EventBody::Interaction(interaction)) => interaction.kind.as_str(),
            Some(EventBody::Answer(_)) => "answer",
            Some(EventBody::Impression(_)) => "impression",
            Some(EventBody::CatalogChange(_)) => "catalog_change",
            Some(EventBody::UserChange(_)) => "user_change",
            Some(EventBody::Merge) => "merge",
            Some(EventBody::Erasure) => "erasure",
        }
    }

    fn answer_id(&self) -> Option<&str> {
        match &self.event.as_ref()?.body {
            EventBody::Interaction(interaction) => interaction.answer_id.as_ref().map(|id| id.as_str()),
            EventBody::Answer(answer) => Some(answer.answer_id.as_str()),
            EventBody::Impression(impression) => Some(impression.answer_id.as_str()),
            _ => None,
        }
    }
}

/// A file being written, row by row in the order of (time, offset).
pub(super) struct Encoder {
    file: SerializedFileWriter<Vec<u8>>,
    /// Rows of the group that is not written yet, and their bytes beside the columns.
    pending: Vec<Row>,
    pending_bytes: usize,
    n_rows: u64,
    times: Option<(Timestamp, Timestamp)>,
}

/// A file written, in memory.
pub(super) struct Encoded {
    pub(super) content: Bytes,
    pub(super) n_rows: u64,
    /// Earliest and latest time; `None` without rows.
    pub(super) times: Option<(Timestamp, Timestamp)>,
}

impl Encoder {
    pub(super) fn try_new() -> Result<Self> {
        let file = SerializedFileWriter::new(Vec::new(), schema()?, Arc::new(properties()?))?;
        Ok(Self { file, pending: Vec::new(), pending_bytes: 0, n_rows: 0, times: None })
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Time of the last row.
    pub(super) fn last_time(&self) -> Option<Timestamp> {
        self.times.map(|(_, last)| last)
    }

    pub(super) fn push(&mut self, row: Row) -> Result<()> {
        self.times = Some(self.times.map_or((row.time, row.time), |(first, _)| (first, row.time)));
        self.n_rows += 1;
        let context_bytes = row.context.as_ref().map_or(0, String::len);
        self.pending_bytes += context_bytes + row.body.as_ref().map_or(0, ByteArray::len);
        self.pending.push(row);
        if self.pending.len() >= ROWS_PER_GROUP || self.pending_bytes >= BYTES_PER_GROUP {
            self.write_pending()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Encoded> {
        if !self.pending.is_empty() {
            self.write_pending()?;
        }
        let content = Bytes::from(self.file.into_inner()?);
        Ok(Encoded { content, n_rows: self.n_rows, times: self.times })
    }

    fn write_pending(&mut self) -> Result<()> {
        let mut group = self.file.next_row_group()?;
        write_group(&mut group, &self.pending)?;
        group.close()?;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }
}

fn write_group<W: Write + Send>(group: &mut SerializedRowGroupWriter<'_, W>, rows: &[Row]) -> Result<()> {
    let number = |group: &mut SerializedRowGroupWriter<'_, W>, f: fn(&Row) -> Option<f64>| {
        write_optional::<DoubleType, W>(group, rows, f)
    };
    let offsets = rows.iter().map(|row| row.offset.cast_signed()).collect::<Vec<_>>();
    write_column::<Int64Type, W>(group, &offsets, None)?;
    let times = rows.iter().map(|row| row.time.as_millis()).collect::<Vec<_>>();
    write_column::<Int64Type, W>(group, &times, None)?;
    write_text(group, rows, |row| Some(row.event.as_ref()?.event_id.as_ref()?.as_str()))?;
    write_text(group, rows, |row| Some(row.person()?.user_id.as_ref()?.as_str()))?;
    write_text(group, rows, |row| Some(row.person()?.session_id.as_ref()?.as_str()))?;
    let types = rows.iter().map(|row| ByteArray::from(row.type_name())).collect::<Vec<_>>();
    write_column::<ByteArrayType, W>(group, &types, None)?;
    write_text(group, rows, |row| Some(row.interaction()?.item_id.as_str()))?;
    number(group, |row| row.interaction()?.value)?;
    number(group, |row| row.interaction()?.quantity)?;
    number(group, |row| row.interaction()?.price)?;
    write_text(group, rows, |row| row.interaction()?.currency.as_deref())?;
    write_text(group, rows, |row| row.interaction()?.order_id.as_deref())?;
    write_text(group, rows, Row::answer_id)?;
    write_optional::<Int32Type, W>(group, rows, |row| Some(row.interaction()?.position?.cast_signed()))?;
    write_text(group, rows, |row| Some(row.interaction()?.placement.as_ref()?.as_str()))?;
    write_text(group, rows, |row| row.context.as_deref())?;
    write_optional::<ByteArrayType, W>(group, rows, |row| row.body.clone())
}

fn write_text<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Row],
    value: for<'a> fn(&'a Row) -> Option<&'a str>,
) -> Result<()> {
    write_optional::<ByteArrayType, W>(group, rows, |row| value(row).map(ByteArray::from))
}

fn write_optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Row],
    value: impl Fn(&Row) -> Option<T::T>,
) -> Result<()> {
    let mut values = Vec::new();
    let mut levels = Vec::with_capacity(rows.len());
    for row in rows {
        let value = value(row);
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    write_column::<T, W>(group, &values, Some(&levels))
}

/// - `levels`: per row, whether it has a value; `None` if all have.
fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let mut column =
        group.next_column()?.ok_or_else(|| ParquetError::General("no column is left".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn schema() -> Result<TypePtr> {
    parse_message_type(SCHEMA).map(Arc::new)
}

fn properties() -> Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by("waggle".to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(VERSION_KEY.to_owned(), VERSION.to_owned())]));
    for column in ["offset", "timestamp"] {
        let column = ColumnPath::from(column);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    for column in ["event_id", "body"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    Ok(properties.build())
}

/// A file being read.
pub(super) struct File {
    reader: SerializedFileReader<Bytes>,
    next_group: usize,
}

/// Why a file cannot be opened.
pub(super) enum OpenError {
    Version(String),
    Damaged(String),
}

impl From<ParquetError> for OpenError {
    fn from(error: ParquetError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl File {
    pub(super) fn open(content: Bytes) -> std::result::Result<Self, OpenError> {
        let reader = SerializedFileReader::new(content)?;
        let metadata = reader.metadata().file_metadata();
        let version =
            metadata.key_value_metadata().and_then(|all| all.iter().find(|kv| kv.key == VERSION_KEY));
        match version.and_then(|kv| kv.value.as_deref()) {
            Some(VERSION) => {}
            Some(other) => return Err(OpenError::Version(other.to_owned())),
            None => return Err(OpenError::Damaged("it was not written by waggle".to_owned())),
        }
        // The typed readers below rely on it.
        if metadata.schema() != &*schema()? {
            return Err(OpenError::Damaged("its columns are not those of its version".to_owned()));
        }
        Ok(Self { reader, next_group: 0 })
    }

    /// The next rows, by (time, offset); `None` at the end.
    pub(super) fn next_rows(&mut self) -> Result<Option<Vec<Row>>> {
        if self.next_group >= self.reader.num_row_groups() {
            return Ok(None);
        }
        let group = self.reader.get_row_group(self.next_group)?;
        self.next_group += 1;
        read_group(&*group).map(Some)
    }

    /// Hands over who each record is of, and nothing else of it.
    pub(super) fn for_each_head(&self, mut each: impl FnMut(Head)) -> Result<()> {
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group)?;
            let n = usize::try_from(group.metadata().num_rows()).map_err(|e| damaged(&e))?;
            let mut offsets = read_column::<Int64Type>(&*group, 0, n)?;
            let mut times = read_column::<Int64Type>(&*group, 1, n)?;
            let mut user_ids = read_column::<ByteArrayType>(&*group, 3, n)?;
            let mut session_ids = read_column::<ByteArrayType>(&*group, 4, n)?;
            let mut types = read_column::<ByteArrayType>(&*group, 5, n)?;
            let mut item_ids = read_column::<ByteArrayType>(&*group, 6, n)?;
            for _ in 0..n {
                each(Head {
                    offset: offsets.required()?.cast_unsigned(),
                    time: Timestamp::from_millis(times.required()?),
                    person: Person { user_id: user_ids.id()?, session_id: session_ids.id()? },
                    kind: HeadKind::of(types.required()?.data(), item_ids.next().is_some()),
                });
            }
        }
        Ok(())
    }
}

/// Where a record stands, and whose it is.
pub(super) struct Head {
    pub(super) offset: u64,
    pub(super) time: Timestamp,
    pub(super) person: Person,
    pub(super) kind: HeadKind,
}

/// What an erasure asks about a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadKind {
    Erasure,
    Merge,
    Other,
}

impl HeadKind {
    /// - `has_item`: only an interaction has one, and an interaction may be called anything.
    fn of(kind: &[u8], has_item: bool) -> Self {
        match kind {
            b"erasure" if !has_item => Self::Erasure,
            b"merge" if !has_item => Self::Merge,
            _ => Self::Other,
        }
    }
}

impl Row {
    /// `None` for what is not an event.
    pub(super) fn head(&self) -> Option<Head> {
        let event = self.event.as_ref()?;
        let kind = match event.body {
            EventBody::Erasure => HeadKind::Erasure,
            EventBody::Merge => HeadKind::Merge,
            _ => HeadKind::Other,
        };
        Some(Head { offset: self.offset, time: self.time, person: event.person.clone(), kind })
    }
}

fn read_group(group: &dyn RowGroupReader) -> Result<Vec<Row>> {
    let n = usize::try_from(group.metadata().num_rows()).map_err(|e| damaged(&e))?;
    let mut offsets = read_column::<Int64Type>(group, 0, n)?;
    let mut times = read_column::<Int64Type>(group, 1, n)?;
    let [mut event_ids, mut user_ids, mut session_ids, mut types, mut item_ids] =
        [2, 3, 4, 5, 6].map(|column| read_column::<ByteArrayType>(group, column, n));
    let [mut values, mut quantities, mut prices] =
        [7, 8, 9].map(|column| read_column::<DoubleType>(group, column, n));
    let [mut currencies, mut order_ids, mut answer_ids, mut placements, mut contexts, mut bodies] =
        [10, 11, 12, 14, 15, 16].map(|column| read_column::<ByteArrayType>(group, column, n));
    let mut positions = read_column::<Int32Type>(group, 13, n)?;
    // Arrays of results: each is opened once, here, so that the loop below reads like the schema.
    macro_rules! open {
        ($($column:ident),*) => { $(let $column = $column.as_mut().map_err(|e| damaged(e))?;)* };
    }
    open!(event_ids, user_ids, session_ids, types, item_ids, values, quantities, prices);
    open!(currencies, order_ids, answer_ids, placements, contexts, bodies);
    let mut rows = Vec::with_capacity(n);
    for _ in 0..n {
        let offset = offsets.required()?.cast_unsigned();
        let time = Timestamp::from_millis(times.required()?);
        let event_id = event_ids.id()?;
        let person = Person { user_id: user_ids.id()?, session_id: session_ids.id()? };
        let kind = text(types.required()?)?;
        let item_id = item_ids.id()?;
        let (value, quantity, price) = (values.next(), quantities.next(), prices.next());
        let (currency, order_id) = (currencies.text()?, order_ids.text()?);
        let answer_id = answer_ids.id()?;
        let position = positions.next().map(i32::cast_unsigned);
        let placement = placements.text()?.map(Placement::from);
        let (context, body) = (contexts.text()?, bodies.next());
        if let Some(body) = body {
            let event = decode_body(&kind, &body)?;
            rows.push(Row { offset, time, event, context, body: Some(body) });
            continue;
        }
        let item_id = item_id.ok_or_else(|| damaged(&"an interaction has no item"))?;
        let kind = InteractionKind::from(kind);
        let interaction = Interaction {
            kind,
            item_id,
            value,
            quantity,
            price,
            currency,
            order_id,
            answer_id,
            position,
            signal: None,
            placement,
        };
        let facts = match &context {
            Some(json) => serde_json::from_str(json).map_err(|e| damaged(&e))?,
            None => Map::new(),
        };
        let body = EventBody::Interaction(interaction);
        let event = Event { event_id, timestamp: time, person, body, context: facts };
        rows.push(Row { offset, time, event: Some(event), context, body: None });
    }
    Ok(rows)
}

fn decode_body(kind: &str, body: &ByteArray) -> Result<Option<Event>> {
    match decode_event(body.data()) {
        Ok(event) => Ok(Some(event)),
        Err(_) if kind == UNDECODABLE => Ok(None),
        Err(error) => Err(damaged(&error)),
    }
}

/// The values of one column of one row group, taken row by row.
struct Column<T> {
    values: std::vec::IntoIter<T>,
    /// Per row, whether it has a value; empty if all have.
    levels: std::vec::IntoIter<i16>,
    is_optional: bool,
}

impl<T> Column<T> {
    fn next(&mut self) -> Option<T> {
        if !self.is_optional || self.levels.next() == Some(1) { self.values.next() } else { None }
    }

    fn required(&mut self) -> Result<T> {
        self.next().ok_or_else(|| damaged(&"a column is too short"))
    }
}

impl Column<ByteArray> {
    fn text(&mut self) -> Result<Option<String>> {
        self.next().map(text).transpose()
    }

    fn id<I: std::str::FromStr<Err = waggle_model::IdError>>(&mut self) -> Result<Option<I>> {
        let Some(bytes) = self.next() else { return Ok(None) };
        let id = std::str::from_utf8(bytes.data()).map_err(|e| damaged(&e))?;
        id.parse().map(Some).map_err(|e| damaged(&e))
    }
}

fn text(bytes: ByteArray) -> Result<String> {
    std::str::from_utf8(bytes.data()).map(str::to_owned).map_err(|e| damaged(&e))
}

fn read_column<T: DataType>(group: &dyn RowGroupReader, column: usize, n: usize) -> Result<Column<T::T>>
where
    T::T: Clone,
{
    let descriptor = group.metadata().column(column).column_descr_ptr();
    let is_optional = descriptor.max_def_level() > 0;
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(column)?);
    let (mut values, mut levels) =
        (Vec::with_capacity(n), Vec::with_capacity(if is_optional { n } else { 0 }));
    let mut n_read = 0;
    while n_read < n {
        let into_levels = is_optional.then_some(&mut levels);
        let (n_records, _, _) = reader.read_records(n - n_read, into_levels, None, &mut values)?;
        if n_records == 0 {
            return Err(damaged(&format!("column {} ends after {n_read} of {n} rows", descriptor.name())));
        }
        n_read += n_records;
    }
    Ok(Column { values: values.into_iter(), levels: levels.into_iter(), is_optional })
}

fn damaged(error: &dyn std::fmt::Display) -> ParquetError {
    ParquetError::General(error.to_string())
}
