//! UCI Online Retail and Online Retail II: the invoice lines of a British gift shop, December 2009 to December 2011.
//!
//! Source: Chen, Sain, Guo, "Data mining for the online retail industry", Journal of Database Marketing & Customer
//! Strategy Management 19(3), 2012; <https://archive.ics.uci.edu/dataset/502/online+retail+ii>, CC BY 4.0.
//!
//! # What is read
//! A folder or one file: `*.csv`, `*.csv.gz` (a folder's CSV files win over its workbooks) or the original `*.xlsx`, every
//! sheet of it. Columns are those of either edition: `InvoiceNo` or `Invoice`, `StockCode`, `Description`, `Quantity`,
//! `InvoiceDate`, `UnitPrice` or `Price`, `CustomerID` or `Customer ID`, `Country`. Times carry no zone and are read as UTC.
//!
//! # What is kept
//! - A line with a customer, a product's stock code (`^[0-9]{5}[A-Za-z]{0,2}$`), a positive quantity and price, and an
//!   invoice that is not cancelled becomes one `purchase`. Stock codes are upper-cased: guests' lines spell some in lower
//!   case; among the kept lines no code differs by case only, so the published counts hold either way.
//! - A cancelled line (its invoice starts with `C`) of a customer and a product that have purchases becomes one
//!   `purchase_cancelled` with a positive quantity.
//! - Where files overlap, the later one has the days it starts to cover: of each source, lines from the first day of the
//!   next source on are dropped.
//!
//! Both years give 788,187 purchases of 4,619 products by 5,852 customers.
//!
//! Items carry what their titles and prices say. Sales figures are left out on purpose: counted over all the data they
//! would tell a model about the days it is evaluated on.

mod categories;
mod source;
mod titles;
mod words;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use serde_json::{Map, Value};
use waggle_model::{
    Event, EventBody, EventId, Interaction, InteractionKind, Item, ItemId, Person, Timestamp, UserId,
};

use crate::{CleaningReport, Dataset, DatasetError, DropReason};
use source::{Line, Lines, NOBODY};

pub(crate) const NAME: &str = "online-retail";

/// Lines of an item whose median price is its price now.
const PRICE_LINES: usize = 50;
const DAY_MS: i64 = 86_400_000;

/// Reads a folder or one file, with the times as the files give them; move them with
/// [`Dataset::shift_newest_before`] or [`Dataset::shift_to`].
///
/// `progress` is called with bytes done and bytes in all, a few hundred times.
///
/// # Errors
/// [`DatasetError`] if there is no such file, a header is a different one, a file cannot be read, or nothing is kept.
/// A broken line is no error: it is counted and described in the report.
pub fn read(dir_or_file: &Path, progress: &dyn Fn(u64, u64)) -> Result<Dataset, DatasetError> {
    let mut lines = source::read_all(dir_or_file, progress)?;
    let mut report = std::mem::take(&mut lines.report);
    let kept = select(&mut lines, &mut report);
    if kept.is_empty() {
        return Err(DatasetError::Empty { name: NAME, report: report.to_string() });
    }
    let items = items(&lines, &kept)?;
    let users = users(&lines, &kept);
    let events = events(&lines, &kept, &items);
    report.users = users.len() as u64;
    report.items = items.len() as u64;
    let items = items.into_values().collect();
    Ok(Dataset::new(NAME, items, users, events, report))
}

/// Whether a file or folder holds something to read.
pub(crate) fn has_files(dir_or_file: &Path) -> bool {
    source::files_of(dir_or_file).is_ok()
}

/// Compares the raw counts with what UCI publishes: 525,461 lines for 2009–2010 and 541,909 for 2010–2011.
///
/// This is the check that matters after a download: nobody publishes a checksum of the archive.
///
/// # Errors
/// A sentence that names the file and the counts that differ.
pub fn check_published_counts(report: &CleaningReport) -> Result<(), String> {
    const PUBLISHED: [(u64, u64, u64); 2] = [(525_461, 107_927, 10_206), (541_909, 135_080, 9_288)];
    for file in &report.files {
        let got = (file.lines, file.without_customer, file.cancelled);
        if !PUBLISHED.contains(&got) {
            return Err(format!(
                "{} has {} lines, {} without customer, {} cancelled; published are {:?} and {:?}",
                file.file, got.0, got.1, got.2, PUBLISHED[0], PUBLISHED[1]
            ));
        }
    }
    if report.files.is_empty() {
        return Err("there is no file".to_owned());
    }
    if report.broken > 0 {
        return Err(format!("{} lines are broken", report.broken));
    }
    Ok(())
}

/// Decides each line's fate and gives the kept ones ascending by time, purchases and cancellations together.
fn select(lines: &mut Lines, report: &mut CleaningReport) -> Vec<Line> {
    lines.sources.retain(|source| !source.is_empty());
    lines.sources.sort_by_cached_key(|source| first_day(source));
    let next_starts: Vec<i64> =
        lines.sources.iter().skip(1).map(|next| first_day(next)).chain([i64::MAX]).collect();
    let is_product: Vec<bool> = lines.stock_codes.names.iter().map(|code| is_product_code(code)).collect();
    let mut bought = vec![false; lines.stock_codes.names.len()];
    let mut buys = vec![false; lines.customers.names.len()];

    let mut kept = Vec::with_capacity(lines.sources.iter().map(Vec::len).sum());
    for (source, &next_start) in std::mem::take(&mut lines.sources).into_iter().zip(&next_starts) {
        for line in source {
            if let Some(reason) = reason_to_drop(&line, next_start, &is_product) {
                report.drop_line(reason);
                continue;
            }
            if !line.is_cancelled {
                bought[line.stock_code as usize] = true;
                buys[line.customer as usize] = true;
            }
            kept.push(line);
        }
    }
    kept.retain(|line| {
        let takes_back = bought[line.stock_code as usize] && buys[line.customer as usize];
        match (line.is_cancelled, takes_back) {
            (false, _) => report.purchases += 1,
            (true, true) => report.cancellations += 1,
            (true, false) => report.drop_line(DropReason::CancellationOfNothing),
        }
        !line.is_cancelled || takes_back
    });
    kept.sort_by_key(|line| line.time);
    kept
}

/// Midnight before a source's earliest line.
fn first_day(source: &[Line]) -> i64 {
    source.iter().map(|line| line.time.as_millis()).min().map_or(i64::MAX, |t| t - t.rem_euclid(DAY_MS))
}

fn reason_to_drop(line: &Line, next_start: i64, is_product: &[bool]) -> Option<DropReason> {
    if line.time.as_millis() >= next_start {
        Some(DropReason::Overlap)
    } else if line.customer == NOBODY {
        Some(DropReason::WithoutCustomer)
    } else if !is_product[line.stock_code as usize] {
        Some(DropReason::NotAProduct)
    } else if line.quantity == 0 || (line.quantity < 0 && !line.is_cancelled) {
        Some(DropReason::QuantityNotPositive)
    } else if line.price <= 0.0 {
        Some(DropReason::PriceNotPositive)
    } else {
        None
    }
}

/// `^[0-9]{5}[A-Za-z]{0,2}$`
fn is_product_code(code: &str) -> bool {
    let bytes = code.as_bytes();
    (5..=7).contains(&bytes.len())
        && bytes[..5].iter().all(u8::is_ascii_digit)
        && bytes[5..].iter().all(u8::is_ascii_alphabetic)
}

/// The products by stock code; `BTreeMap` keeps them ascending by id.
fn items(lines: &Lines, kept: &[Line]) -> Result<BTreeMap<ItemId, Item>, DatasetError> {
    #[derive(Default)]
    struct Sales {
        first: Option<Timestamp>,
        descriptions: HashMap<u32, u32>,
        prices: Vec<f64>,
    }
    let mut sales: BTreeMap<u32, Sales> = BTreeMap::new();
    for line in kept.iter().filter(|line| !line.is_cancelled) {
        let sold = sales.entry(line.stock_code).or_default();
        sold.first.get_or_insert(line.time);
        *sold.descriptions.entry(line.description).or_default() += 1;
        sold.prices.push(line.price);
    }
    let mut items = BTreeMap::new();
    for (stock_code, mut sold) in sales {
        let code = &*lines.stock_codes.names[stock_code as usize];
        let description =
            commonest(&sold.descriptions, &lines.descriptions.names).unwrap_or_else(|| code.to_owned());
        let id = ItemId::try_new(code).expect("a product code is a valid id");
        let mut item = Item::new(id.clone(), titles::readable(&description));
        item.price = Some(median(sold.prices.split_off(sold.prices.len().saturating_sub(PRICE_LINES))));
        item.currency = Some("GBP".to_owned());
        item.available_from = sold.first;
        if code.len() > 5 {
            // Colours and motifs of one design share the digits.
            item.properties.insert("design".to_owned(), Value::String(code[..5].to_owned()));
        }
        items.insert(id, item);
    }
    let titles: Vec<&str> = items.values().map(|item| item.title.as_str()).collect();
    let categories = categories::derive(&titles)?;
    for (item, category) in items.values_mut().zip(categories) {
        item.category = Some(category);
    }
    Ok(items)
}

/// The description on most lines, spaces collapsed; of equals the longer, then the alphabetically first.
fn commonest(counts: &HashMap<u32, u32>, names: &[Box<str>]) -> Option<String> {
    let mut spelled: BTreeMap<String, u32> = BTreeMap::new();
    for (&description, &n) in counts {
        let text = names[description as usize].split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            *spelled.entry(text).or_default() += n;
        }
    }
    spelled
        .into_iter()
        .max_by(|(a, n), (b, m)| n.cmp(m).then(a.len().cmp(&b.len())).then(b.cmp(a)))
        .map(|(text, _)| text)
}

/// Median of a non-empty list; of an even number the lower middle, which is a price that was really asked.
fn median(mut prices: Vec<f64>) -> f64 {
    prices.sort_by(f64::total_cmp);
    prices[(prices.len() - 1) / 2]
}

/// The customers who bought something, with the country of their last purchase, ascending by id.
fn users(lines: &Lines, kept: &[Line]) -> Vec<(UserId, Map<String, Value>)> {
    let mut countries: HashMap<u32, u32> = HashMap::new();
    for line in kept.iter().filter(|line| !line.is_cancelled) {
        countries.insert(line.customer, line.country);
    }
    let mut users: Vec<_> = countries
        .into_iter()
        .map(|(customer, country)| {
            let id = UserId::try_new(&lines.customers.names[customer as usize])
                .expect("ids were checked when read");
            let mut properties = Map::new();
            if let Some(country) = country_name(&lines.countries.names[country as usize]) {
                properties.insert("country".to_owned(), Value::String(country.to_owned()));
            }
            (id, properties)
        })
        .collect();
    users.sort_by(|(a, _), (b, _)| a.cmp(b));
    users
}

/// The country's usual English name where the shop uses a short form.
fn country_name(country: &str) -> Option<&str> {
    match country {
        "" | "Unspecified" => None,
        "EIRE" => Some("Ireland"),
        "RSA" => Some("South Africa"),
        "USA" => Some("United States"),
        name => Some(name),
    }
}

fn events(lines: &Lines, kept: &[Line], items: &BTreeMap<ItemId, Item>) -> Vec<Event> {
    // One shared string per id, whatever the number of its events.
    let item_ids: Vec<Option<ItemId>> = lines
        .stock_codes
        .names
        .iter()
        .map(|code| items.get_key_value(&**code).map(|(id, _)| id.clone()))
        .collect();
    let user_ids: Vec<UserId> = lines
        .customers
        .names
        .iter()
        .map(|customer| UserId::try_new(customer).expect("ids were checked when read"))
        .collect();
    let mut event_id = String::new();
    kept.iter()
        .map(|line| {
            use std::fmt::Write as _;
            let invoice = &lines.invoices.names[line.invoice as usize];
            event_id.clear();
            write!(event_id, "or-{invoice}-{}", line.place_in_invoice)
                .expect("writing into a string succeeds");
            let kind = if line.is_cancelled {
                InteractionKind::PurchaseCancelled
            } else {
                InteractionKind::Purchase
            };
            let item_id = item_ids[line.stock_code as usize].clone().expect("kept lines have an item");
            let mut body = Interaction::new(kind, item_id);
            body.quantity = Some(f64::from(line.quantity).abs());
            body.price = Some(line.price);
            body.currency = Some("GBP".to_owned());
            body.order_id = Some(invoice.to_string());
            Event {
                event_id: Some(EventId::try_new(&event_id).expect("invoices were checked when read")),
                timestamp: line.time,
                person: Person::user(user_ids[line.customer as usize].clone()),
                body: EventBody::Interaction(body),
                context: Map::new(),
            }
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
