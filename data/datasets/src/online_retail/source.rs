//! From files to checked lines: CSV (plain or gzip) and the publisher's workbooks.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use calamine::{DataRef, Reader as _, Xlsx};
use flate2::read::MultiGzDecoder;
use waggle_model::Timestamp;

use crate::{CleaningReport, DatasetError, FileReport};

const COLUMNS: usize = 8;
const EXPECTED_HEADER: &str =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";
const EXPECTED_FILES: &str = "*.csv, *.csv.gz or *.xlsx";
/// The customer of a guest's line.
pub(super) const NOBODY: u32 = u32::MAX;
/// Longest invoice, stock code or customer; `or-{invoice}-{n}` must stay a valid id.
const MAX_ID_BYTES: usize = 200;
/// Lines between two calls of `progress`.
const PROGRESS_LINES: u64 = 4096;
/// Days from 1899-12-30, where Excel counts from, to 1970-01-01.
const EXCEL_UNIX_DAYS: f64 = 25_569.0;
const EXCEL_1904_DAYS: f64 = 1_462.0;

/// Everything read, strings interned.
#[derive(Default)]
pub(super) struct Lines {
    /// One list per file or sheet, in the order of the lines.
    pub sources: Vec<Vec<Line>>,
    pub invoices: Interner,
    pub stock_codes: Interner,
    pub descriptions: Interner,
    pub customers: Interner,
    pub countries: Interner,
    pub report: CleaningReport,
}

/// One understood line; numbers without a unit are places in the interners.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub time: Timestamp,
    /// Pounds for one piece.
    pub price: f64,
    pub quantity: i32,
    pub invoice: u32,
    /// 1-based among all lines of the invoice in its file, the dropped ones too.
    pub place_in_invoice: u32,
    pub stock_code: u32,
    pub description: u32,
    /// [`NOBODY`] for a guest.
    pub customer: u32,
    pub country: u32,
    pub is_cancelled: bool,
}

#[derive(Default)]
pub(super) struct Interner {
    places: HashMap<Box<str>, u32>,
    pub names: Vec<Box<str>>,
}

impl Interner {
    fn intern(&mut self, name: &str) -> u32 {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let place = u32::try_from(self.names.len()).expect("fewer than 2^32 distinct names fit in memory");
        self.places.insert(name.into(), place);
        self.names.push(name.into());
        place
    }
}

/// A line's fields, parsed but not yet judged.
struct Fields<'a> {
    invoice: Cow<'a, str>,
    stock_code: Cow<'a, str>,
    description: Cow<'a, str>,
    quantity: i32,
    time: Timestamp,
    price: f64,
    customer: Cow<'a, str>,
    country: Cow<'a, str>,
}

pub(super) fn read_all(dir_or_file: &Path, progress: &dyn Fn(u64, u64)) -> Result<Lines, DatasetError> {
    let files = files_of(dir_or_file)?;
    let mut sizes = Vec::with_capacity(files.len());
    for file in &files {
        sizes.push(std::fs::metadata(file).map_err(DatasetError::io(file))?.len());
    }
    let total = sizes.iter().sum();
    let mut lines = Lines::default();
    let mut done = 0;
    for (file, size) in files.iter().zip(&sizes) {
        let report_done = |bytes: u64| progress(done + bytes.min(*size), total);
        if has_suffix(file, ".xlsx") {
            read_workbook(file, *size, &mut lines, &report_done)?;
        } else {
            read_csv(file, &mut lines, &report_done)?;
        }
        done += size;
        progress(done, total);
    }
    Ok(lines)
}

/// The file itself, or a folder's CSV files, or else its workbooks; ascending by name. Of `x.csv` and `x.csv.gz`, which
/// are the same data, the plain one.
pub(crate) fn files_of(dir_or_file: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if !dir_or_file.exists() {
        return Err(DatasetError::Missing { path: dir_or_file.to_owned() });
    }
    let none = || DatasetError::NoFiles {
        path: dir_or_file.to_owned(),
        name: super::NAME,
        expected: EXPECTED_FILES,
    };
    let is_data = |path: &PathBuf| [".csv", ".csv.gz", ".xlsx"].iter().any(|suffix| has_suffix(path, suffix));
    if dir_or_file.is_file() {
        let file = dir_or_file.to_owned();
        return if is_data(&file) { Ok(vec![file]) } else { Err(none()) };
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir_or_file).map_err(DatasetError::io(dir_or_file))? {
        let path = entry.map_err(DatasetError::io(dir_or_file))?.path();
        if path.is_file() && is_data(&path) {
            files.push(path);
        }
    }
    files.sort();
    let is_workbook = |path: &PathBuf| has_suffix(path, ".xlsx");
    if !files.iter().all(is_workbook) {
        files.retain(|path| !is_workbook(path));
    }
    let plain: Vec<PathBuf> = files.iter().filter(|p| has_suffix(p, ".csv")).cloned().collect();
    files.retain(|path| !has_suffix(path, ".csv.gz") || !plain.contains(&path.with_extension("")));
    if files.is_empty() { Err(none()) } else { Ok(files) }
}

fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().ends_with(suffix))
}

fn read_csv(path: &Path, lines: &mut Lines, progress: &dyn Fn(u64)) -> Result<(), DatasetError> {
    let name = display_name(path);
    let bytes_done = Cell::new(0);
    let file = Counted { inner: File::open(path).map_err(DatasetError::io(path))?, bytes: &bytes_done };
    let file = BufReader::with_capacity(1 << 16, file);
    let text: Box<dyn Read> =
        if has_suffix(path, ".gz") { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 16)
        .from_reader(text);
    let io_error = |e: csv::Error| DatasetError::Io { path: path.to_owned(), source: io::Error::other(e) };

    let mut record = csv::ByteRecord::new();
    reader.read_byte_record(&mut record).map_err(io_error)?;
    let header: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    check_header(&name, &header)?;

    let mut source = Source::new(name);
    while reader.read_byte_record(&mut record).map_err(io_error)? {
        let first = record.position().map_or(0, csv::Position::line);
        let fields = csv_fields(&record).map_err(|reason| {
            // A stray quote swallows lines up to the next one: say how many.
            match reader.position().line().saturating_sub(first) {
                0 | 1 => reason,
                n => format!("{reason}; the record spans {n} lines, a quote may be unclosed"),
            }
        });
        source.add(first, fields, lines);
        if source.raw.lines.is_multiple_of(PROGRESS_LINES) {
            progress(bytes_done.get());
        }
    }
    source.finish(lines);
    Ok(())
}

fn csv_fields(record: &csv::ByteRecord) -> Result<Fields<'_>, String> {
    if record.len() != COLUMNS {
        return Err(format!("{} columns, expected {COLUMNS}", record.len()));
    }
    let text = std::str::from_utf8(record.as_slice()).map_err(|_| "invalid UTF-8".to_owned())?;
    // Columns are cut from the checked whole; a character cut in two was two broken columns.
    let column = |i: usize| record.range(i).and_then(|range| text.get(range)).ok_or("invalid UTF-8");
    Ok(Fields {
        invoice: column(0)?.trim().into(),
        stock_code: column(1)?.trim().into(),
        description: column(2)?.into(),
        quantity: parse_quantity(column(3)?)?,
        time: parse_time(column(4)?)?,
        price: parse_price(column(5)?)?,
        customer: customer(column(6)?.trim()).into(),
        country: column(7)?.trim().into(),
    })
}

fn read_workbook(
    path: &Path,
    size: u64,
    lines: &mut Lines,
    progress: &dyn Fn(u64),
) -> Result<(), DatasetError> {
    let workbook_error =
        |e: calamine::XlsxError| DatasetError::Workbook { path: path.to_owned(), detail: e.to_string() };
    let mut workbook: Xlsx<BufReader<File>> = calamine::open_workbook(path).map_err(workbook_error)?;
    let epoch_days = if workbook.has_1904_epoch() { EXCEL_1904_DAYS } else { 0.0 };
    let sheets = workbook.sheet_names();
    for (sheet, place) in sheets.iter().zip(0..) {
        let name = format!("{} [{sheet}]", display_name(path));
        let mut cells = workbook.worksheet_cells_reader(sheet).map_err(workbook_error)?;
        let n_rows = u64::from(cells.dimensions().end.0).max(1);
        let mut rows = Rows { name, epoch_days, source: None };
        let mut row: [DataRef<'_>; COLUMNS] = Default::default();
        let (mut extra, mut at) = (false, None);
        while let Some(cell) = cells.next_cell().map_err(workbook_error)? {
            let (line, column) = cell.get_position();
            if at.is_some_and(|at| at != line) {
                rows.add(
                    at.take().unwrap_or(0),
                    std::mem::take(&mut row),
                    std::mem::take(&mut extra),
                    lines,
                )?;
                if u64::from(line).is_multiple_of(PROGRESS_LINES) {
                    let of_sheet = u64::from(line).min(n_rows) * size / n_rows;
                    progress((place * size + of_sheet) / sheets.len() as u64);
                }
            }
            at = Some(line);
            match row.get_mut(column as usize) {
                Some(place) => *place = cell.get_value().clone(),
                None => extra |= !matches!(cell.get_value(), DataRef::Empty),
            }
        }
        if let Some(line) = at {
            rows.add(line, row, extra, lines)?;
        }
        if let Some(source) = rows.source {
            source.finish(lines);
        }
    }
    Ok(())
}

/// The rows of one sheet: a header, then lines.
struct Rows {
    name: String,
    epoch_days: f64,
    source: Option<Source>,
}

impl Rows {
    fn add(
        &mut self,
        row: u32,
        cells: [DataRef<'_>; COLUMNS],
        has_more: bool,
        lines: &mut Lines,
    ) -> Result<(), DatasetError> {
        if cells.iter().all(|cell| matches!(cell, DataRef::Empty)) && !has_more {
            return Ok(());
        }
        let Some(source) = &mut self.source else {
            check_header(&self.name, &cells.iter().map(text_of).collect::<Vec<_>>())?;
            self.source = Some(Source::new(self.name.clone()));
            return Ok(());
        };
        let fields = if has_more {
            Err(format!("more than {COLUMNS} columns"))
        } else {
            workbook_fields(&cells, self.epoch_days)
        };
        source.add(u64::from(row) + 1, fields, lines);
        Ok(())
    }
}

fn workbook_fields<'a>(cells: &'a [DataRef<'_>; COLUMNS], epoch_days: f64) -> Result<Fields<'a>, String> {
    let [invoice, stock_code, description, quantity, time, price, customer_cell, country] = cells;
    let time = match time {
        DataRef::DateTime(t) => excel_time(t.as_f64() + epoch_days)?,
        DataRef::Float(days) => excel_time(days + epoch_days)?,
        DataRef::DateTimeIso(text) => parse_time(&text.replace('T', " "))?,
        other => parse_time(&text_of(other))?,
    };
    Ok(Fields {
        invoice: text_of(invoice),
        stock_code: text_of(stock_code),
        description: text_of(description),
        quantity: parse_quantity(&text_of(quantity))?,
        time,
        price: match price {
            DataRef::Float(price) => check_price(*price)?,
            other => parse_price(&text_of(other))?,
        },
        customer: match text_of(customer_cell) {
            Cow::Borrowed(text) => customer(text).into(),
            Cow::Owned(text) => customer(&text).to_owned().into(),
        },
        country: text_of(country),
    })
}

/// A cell as the text a person would have typed; whole numbers without `.0`.
fn text_of<'a>(cell: &'a DataRef<'_>) -> Cow<'a, str> {
    match cell {
        DataRef::SharedString(text) => text.trim().into(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.trim().into(),
        DataRef::Int(n) => n.to_string().into(),
        DataRef::Float(x) => x.to_string().into(),
        DataRef::Bool(b) => b.to_string().into(),
        DataRef::DateTime(t) => t.as_f64().to_string().into(),
        DataRef::Error(e) => e.to_string().into(),
        DataRef::Empty => "".into(),
    }
}

fn check_header(file: &str, columns: &[Cow<'_, str>]) -> Result<(), DatasetError> {
    const NAMES: [&[&str]; COLUMNS] = [
        &["invoiceno", "invoice"],
        &["stockcode"],
        &["description"],
        &["quantity"],
        &["invoicedate"],
        &["unitprice", "price"],
        &["customerid"],
        &["country"],
    ];
    let plain = |name: &str| name.trim_start_matches('\u{feff}').replace([' ', '_'], "").to_lowercase();
    let is_expected = columns.len() == COLUMNS
        && columns.iter().zip(NAMES).all(|(column, names)| names.contains(&plain(column).as_str()));
    if is_expected {
        return Ok(());
    }
    let got: String = columns.join(",").chars().take(200).collect();
    Err(DatasetError::Header { file: file.to_owned(), got, expected: EXPECTED_HEADER })
}

/// One file or sheet while it is read.
struct Source {
    raw: FileReport,
    lines: Vec<Line>,
    /// Lines seen of each invoice, by its place in the interner.
    lines_of_invoice: Vec<u32>,
}

impl Source {
    fn new(file: String) -> Self {
        Self {
            raw: FileReport { file, ..FileReport::default() },
            lines: Vec::new(),
            lines_of_invoice: Vec::new(),
        }
    }

    fn add(&mut self, line: u64, fields: Result<Fields<'_>, String>, lines: &mut Lines) {
        self.raw.lines += 1;
        match fields.and_then(|fields| self.intern(&fields, lines)) {
            Ok(understood) => self.lines.push(understood),
            Err(reason) => lines.report.broken_line(&self.raw.file, line, reason),
        }
    }

    fn intern(&mut self, fields: &Fields<'_>, lines: &mut Lines) -> Result<Line, String> {
        check_id("invoice", &fields.invoice, false)?;
        check_id("stock code", &fields.stock_code, false)?;
        check_id("customer", &fields.customer, true)?;
        let is_cancelled = fields.invoice.starts_with(['C', 'c']);
        self.raw.without_customer += u64::from(fields.customer.is_empty());
        self.raw.cancelled += u64::from(is_cancelled);
        let invoice = lines.invoices.intern(&fields.invoice);
        if self.lines_of_invoice.len() <= invoice as usize {
            self.lines_of_invoice.resize(invoice as usize + 1, 0);
        }
        self.lines_of_invoice[invoice as usize] += 1;
        let has_lower_case = fields.stock_code.bytes().any(|b| b.is_ascii_lowercase());
        let stock_code = if has_lower_case {
            lines.stock_codes.intern(&fields.stock_code.to_ascii_uppercase())
        } else {
            lines.stock_codes.intern(&fields.stock_code)
        };
        Ok(Line {
            time: fields.time,
            price: fields.price,
            quantity: fields.quantity,
            invoice,
            place_in_invoice: self.lines_of_invoice[invoice as usize],
            stock_code,
            description: lines.descriptions.intern(&fields.description),
            customer: if fields.customer.is_empty() {
                NOBODY
            } else {
                lines.customers.intern(&fields.customer)
            },
            country: lines.countries.intern(&fields.country),
            is_cancelled,
        })
    }

    fn finish(self, lines: &mut Lines) {
        lines.report.lines += self.raw.lines;
        lines.report.files.push(self.raw);
        lines.sources.push(self.lines);
    }
}

fn check_id(what: &str, id: &str, may_be_empty: bool) -> Result<(), String> {
    if id.is_empty() && !may_be_empty {
        return Err(format!("{what} is empty"));
    }
    if id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(format!("{what} is longer than {MAX_ID_BYTES} bytes or has control characters"));
    }
    Ok(())
}

/// Some copies hold customers as `13085.0`.
fn customer(text: &str) -> &str {
    text.strip_suffix(".0").unwrap_or(text)
}

fn parse_quantity(text: &str) -> Result<i32, String> {
    text.trim().parse().map_err(|_| format!("quantity {} is not a whole number", quoted(text)))
}

fn parse_price(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("price {} is not a number", quoted(text))).and_then(check_price)
}

fn check_price(price: f64) -> Result<f64, String> {
    if price.is_finite() { Ok(price) } else { Err(format!("price {price} is not finite")) }
}

/// `2009-12-01 07:45`, with or without seconds, or the American `12/1/2009 7:45` of some copies.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_time_parts(text.trim())
        .ok_or_else(|| format!("date {} is not like 2009-12-01 07:45:00", quoted(text)))
}

fn parse_time_parts(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once(' ')?;
    let (year, month, day) = match three(date, '-') {
        Some(parts) => parts,
        None => three(date, '/').map(|(month, day, year)| (year, month, day))?,
    };
    let (hour, minute, second) = match clock.matches(':').count() {
        1 => clock.split_once(':').and_then(|(h, m)| Some((number(h)?, number(m)?, 0)))?,
        _ => three(clock, ':')?,
    };
    let is_clock = hour < 24 && minute < 60 && second < 60;
    let is_date = (1900..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day);
    (is_clock && is_date).then(|| {
        let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Timestamp::from_millis(seconds * 1_000)
    })
}

fn three(text: &str, separator: char) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(separator).map(number);
    let three = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(three)
}

/// One to four digits.
fn number(text: &str) -> Option<i64> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.bytes().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms",
/// `days_from_civil`): the year starts in March, so that the leap day is its last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Excel's days, rounded to the second they stand for.
fn excel_time(days: f64) -> Result<Timestamp, String> {
    if !days.is_finite() || !(1.0..3_000_000.0).contains(&days) {
        return Err(format!("date {days} is not an Excel day"));
    }
    let seconds = ((days - EXCEL_UNIX_DAYS) * 86_400.0).round();
    Ok(Timestamp::from_millis(seconds as i64 * 1_000))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.chars().take(40).collect::<String>())
}

fn display_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Counts the bytes read through it.
struct Counted<'a, R> {
    inner: R,
    bytes: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.set(self.bytes.get() + n as u64);
        Ok(n)
    }
}
