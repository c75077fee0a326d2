//! Reading, cleaning and describing the invoice lines.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use flate2::{Compression, write::GzEncoder};
use waggle_model::{Event, EventBody, Interaction, Timestamp};

use super::*;
use crate::{Dataset, DatasetError, DropReason};

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

fn quietly(path: &Path) -> Result<Dataset, DatasetError> {
    read(path, &|_, _| {})
}

fn csv(dir: &Path, name: &str, lines: &[&str]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, format!("{HEADER}{}\n", lines.join("\n"))).unwrap();
    path
}

fn interaction(event: &Event) -> &Interaction {
    match &event.body {
        EventBody::Interaction(interaction) => interaction,
        other => panic!("expected an interaction, got {other:?}"),
    }
}

#[test]
fn each_line_becomes_an_event_or_is_counted_under_one_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = csv(
        dir.path(),
        "lines.csv",
        &[
            "536365,85123a,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom",
            "536365,71053,\"LANTERN, WHITE METAL\",6,2010-12-01 08:26:00,3.39,17850,United Kingdom",
            "C536379,85123A,WHITE HANGING HEART T-LIGHT HOLDER,-2,2010-12-01 09:41,2.55,17850,United Kingdom",
            "C536380,22222,NEVER SOLD,-2,2010-12-01 09:41,2.55,17850,United Kingdom",
            "536370,POST,POSTAGE,3,2010-12-01 08:45:00,18,12583,France",
            "536371,71053,LANTERN,1,2010-12-01 08:45:00,3.39,,France",
            "536372,71053,LANTERN,-5,2010-12-01 08:45:00,3.39,12583,France",
            "536373,71053,LANTERN,5,2010-12-01 08:45:00,0,12583,EIRE",
            "536374,71053,LANTERN,2,2010-12-02 08:45:00,3.75,12583,EIRE",
            "536375,71053,LANTERN",
            "536376,71053,LANTERN,many,2010-12-02 08:45:00,3.75,12583,EIRE",
            "536377,71053,LANTERN,1,2010-02-30 08:45:00,3.75,12583,EIRE",
            "536378,71053,LANTERN,1,2010-12-02 08:45:00,inf,12583,EIRE",
        ],
    );
    let data = quietly(&path).unwrap();
    let report = &data.report;
    assert!(report.is_balanced());
    assert_eq!((report.lines, report.purchases, report.cancellations, report.broken), (13, 3, 1, 4));
    for reason in [
        DropReason::WithoutCustomer,
        DropReason::NotAProduct,
        DropReason::CancellationOfNothing,
        DropReason::QuantityNotPositive,
        DropReason::PriceNotPositive,
    ] {
        assert_eq!(report.dropped_for(reason), 1, "{reason:?}");
    }
    let broken: Vec<_> = report.broken_examples.iter().map(|b| (b.line, b.reason.as_str())).collect();
    assert_eq!(
        broken,
        [
            (11, "3 columns, expected 8"),
            (12, "quantity \"many\" is not a whole number"),
            (13, "date \"2010-02-30 08:45:00\" is not like 2009-12-01 07:45:00"),
            (14, "price inf is not finite"),
        ]
    );
    assert!(report.to_string().contains("lines.csv:11: 3 columns, expected 8"));

    let ids: Vec<&str> = data.events.iter().map(|e| e.event_id.as_ref().unwrap().as_str()).collect();
    assert_eq!(ids, ["or-536365-1", "or-536365-2", "or-C536379-1", "or-536374-1"]);
    let first = interaction(&data.events[0]);
    assert_eq!((first.item_id.as_str(), first.quantity, first.price), ("85123A", Some(6.0), Some(2.55)));
    assert_eq!((first.currency.as_deref(), first.order_id.as_deref()), (Some("GBP"), Some("536365")));
    assert_eq!(data.events[0].timestamp.to_rfc3339(), "2010-12-01T08:26:00.000Z");
    let cancelled = interaction(&data.events[2]);
    assert_eq!((cancelled.kind.as_str(), cancelled.quantity), ("purchase_cancelled", Some(2.0)));

    let users: Vec<_> =
        data.users.iter().map(|(id, p)| (id.as_str(), p["country"].as_str().unwrap())).collect();
    assert_eq!(users, [("12583", "Ireland"), ("17850", "United Kingdom")]);
    let items: Vec<_> = data.items.iter().map(|i| (i.item_id.as_str(), i.title.as_str(), i.price)).collect();
    assert_eq!(
        items,
        [
            ("71053", "Lantern, White Metal", Some(3.39)),
            ("85123A", "White Hanging Heart T-Light Holder", Some(2.55))
        ]
    );
}

#[test]
fn invalid_utf8_and_an_unclosed_quote_are_reported_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bytes.csv");
    let mut bytes = HEADER.as_bytes().to_vec();
    bytes.extend(b"1,10001,CAF\xe9,1,2010-12-01 08:26:00,1,5,France\n");
    bytes.extend(b"2,10001,CAFE,1,2010-12-01 08:27:00,1,5,France\n");
    bytes.extend(
        b"3,10001,\"CAFE,1,2010-12-01 08:27:00,1,5,France\n4,10001,CAFE,1,2010-12-01 08:27:00,1,5,France\n",
    );
    fs::write(&path, bytes).unwrap();
    let report = quietly(&path).unwrap().report;
    assert_eq!((report.purchases, report.broken), (1, 2));
    assert_eq!(report.broken_examples[0].reason, "invalid UTF-8");
    assert_eq!(
        report.broken_examples[1].reason,
        "3 columns, expected 8; the record spans 2 lines, a quote may be unclosed"
    );
}

#[test]
fn a_wrong_header_a_missing_path_and_an_empty_folder_are_errors_that_say_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.csv");
    fs::write(&path, "user,item,rating\n1,2,3\n").unwrap();
    let message = quietly(&path).unwrap_err().to_string();
    assert_eq!(
        message,
        "other.csv has the header \"user,item,rating\", expected \
         \"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\""
    );
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(quietly(&nowhere), Err(DatasetError::Missing { .. })));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(quietly(&empty).unwrap_err().to_string().contains("expected *.csv, *.csv.gz or *.xlsx"));
    assert!(matches!(quietly(&csv(dir.path(), "none.csv", &["x,y"])), Err(DatasetError::Empty { .. })));
}

#[test]
fn the_later_file_has_the_days_it_starts_to_cover_whatever_the_files_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let early = "9,10001,CUP,1,2010-11-30 10:00:00,1,5,France";
    let both = "10,10001,CUP,1,2010-12-01 10:00:00,1,5,France";
    let late = "11,10001,CUP,1,2010-12-03 10:00:00,1,5,France";
    csv(dir.path(), "z-first.csv", &[early, both]);
    csv(dir.path(), "a-second.csv", &["8,10001,CUP,1,2010-12-01 09:00:00,1,5,France", both, late]);
    let data = quietly(dir.path()).unwrap();
    assert_eq!(data.report.dropped_for(DropReason::Overlap), 1);
    let ids: Vec<&str> = data.events.iter().map(|e| e.event_id.as_ref().unwrap().as_str()).collect();
    assert_eq!(ids, ["or-9-1", "or-8-1", "or-10-1", "or-11-1"]);
}

#[test]
fn gzip_and_plain_text_read_alike_and_a_truncated_archive_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let lines =
        ["9,10001,CUP,1,2010-11-30 10:00:00,1,5,France", "9,10002,JUG,2,2010-11-30 10:00:00,4,5,France"];
    let plain = csv(dir.path(), "plain.csv", &lines);
    let gz = dir.path().join("packed.csv.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&fs::read(&plain).unwrap()).unwrap();
    let packed = encoder.finish().unwrap();
    fs::write(&gz, &packed).unwrap();
    assert_eq!(quietly(&plain).unwrap().events, quietly(&gz).unwrap().events);
    let cut = dir.path().join("cut.csv.gz");
    fs::write(&cut, &packed[..packed.len() / 2]).unwrap();
    assert!(matches!(quietly(&cut), Err(DatasetError::Io { .. })));
}

#[test]
fn the_publishers_workbook_reads_like_the_csv() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("online_retail_II.xlsx");
    // 40148.322916666664 is 2009-12-01 07:45.
    let first = [
        r#"<c r="A2"><v>489434</v></c><c r="B2"><v>85048</v></c><c r="C2" t="inlineStr"><is><t>GLASS BALL</t></is></c>"#,
        r#"<c r="D2"><v>12</v></c><c r="E2" s="1"><v>40148.322916666664</v></c><c r="F2"><v>6.95</v></c>"#,
        r#"<c r="G2"><v>13085</v></c><c r="H2" t="inlineStr"><is><t>France</t></is></c>"#,
    ];
    let second = [
        r#"<c r="A2" t="inlineStr"><is><t>C536365</t></is></c><c r="B2"><v>85048</v></c><c r="C2" t="inlineStr"><is><t>GLASS BALL</t></is></c>"#,
        r#"<c r="D2"><v>-1</v></c><c r="E2" s="1"><v>40513.5</v></c><c r="F2"><v>6.95</v></c>"#,
        r#"<c r="G2"><v>13085.0</v></c><c r="H2" t="inlineStr"><is><t>France</t></is></c>"#,
    ];
    let broken = r#"<c r="A3"><v>489435</v></c><c r="B3"><v>85048</v></c><c r="D3"><v>1.5</v></c><c r="E3" s="1"><v>40148.4</v></c><c r="F3"><v>1</v></c>"#;
    write_workbook(
        &path,
        &[("Year 2009-2010", &[&first.concat(), broken]), ("Year 2010-2011", &[&second.concat()])],
    );
    let data = quietly(&path).unwrap();
    assert_eq!((data.report.purchases, data.report.cancellations, data.report.broken), (1, 1, 1));
    assert_eq!(data.report.broken_examples[0].file, "online_retail_II.xlsx [Year 2009-2010]");
    assert_eq!(data.report.broken_examples[0].line, 3);
    assert_eq!(data.report.broken_examples[0].reason, "quantity \"1.5\" is not a whole number");
    let event = &data.events[0];
    assert_eq!(event.timestamp.to_rfc3339(), "2009-12-01T07:45:00.000Z");
    assert_eq!(event.event_id.as_ref().unwrap().as_str(), "or-489434-1");
    assert_eq!(event.person.user_id, data.events[1].person.user_id);
    assert_eq!((interaction(event).quantity, interaction(event).price), (Some(12.0), Some(6.95)));
}

/// A workbook in the smallest form that is valid; rows come without their header, whose cells are the second edition's.
pub(crate) fn write_workbook(path: &Path, sheets: &[(&str, &[&str])]) {
    const NAMES: [&str; 8] =
        ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"];
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let mut add = |name: &str, text: &str| {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    };
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let rels = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006";
    let (mut list, mut links, mut types) = (String::new(), String::new(), String::new());
    for ((name, rows), n) in sheets.iter().zip(1..) {
        list += &format!(r#"<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>"#);
        links += &format!(
            r#"<Relationship Id="rId{n}" Type="{rels}/worksheet" Target="worksheets/sheet{n}.xml"/>"#
        );
        types += &format!(
            r#"<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>"#
        );
        let header: String = NAMES
            .iter()
            .zip('A'..)
            .map(|(name, column)| format!(r#"<c r="{column}1" t="inlineStr"><is><t>{name}</t></is></c>"#))
            .collect();
        let body: String =
            rows.iter().zip(2..).map(|(row, n)| format!(r#"<row r="{n}">{row}</row>"#)).collect();
        add(
            &format!("xl/worksheets/sheet{n}.xml"),
            &format!(
                r#"<worksheet xmlns="{main}"><sheetData><row r="1">{header}</row>{body}</sheetData></worksheet>"#
            ),
        );
    }
    links += &format!(r#"<Relationship Id="rId99" Type="{rels}/styles" Target="styles.xml"/>"#);
    add(
        "xl/workbook.xml",
        &format!(r#"<workbook xmlns="{main}" xmlns:r="{rels}"><sheets>{list}</sheets></workbook>"#),
    );
    add(
        "xl/_rels/workbook.xml.rels",
        &format!(r#"<Relationships xmlns="{package}/relationships">{links}</Relationships>"#),
    );
    add(
        "xl/styles.xml",
        &format!(
            r#"<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>"#
        ),
    );
    add(
        "_rels/.rels",
        &format!(
            r#"<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" Type="{rels}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
        ),
    );
    add("[Content_Types].xml", &format!(r#"<Types xmlns="{package}/content-types">{types}</Types>"#));
    zip.finish().unwrap();
}

#[test]
fn a_shift_moves_events_and_items_together_and_remembers_the_original_times() {
    let dir = tempfile::tempdir().unwrap();
    let lines =
        ["9,10001,CUP,1,2010-11-30 10:00:00,1,5,France", "10,10002,JUG,2,2010-12-01 10:00:00,4,5,France"];
    let mut data = quietly(&csv(dir.path(), "a.csv", &lines)).unwrap();
    let now = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap();
    data.shift_newest_before(now);
    assert_eq!(data.events[1].timestamp.to_rfc3339(), "2026-03-01T11:59:00.000Z");
    assert_eq!(data.events[0].timestamp.to_rfc3339(), "2026-02-28T11:59:00.000Z");
    assert_eq!(data.items[0].available_from, Some(data.events[0].timestamp));
    data.shift_to(data.events[0].timestamp, now);
    assert_eq!(data.original_time(now).to_rfc3339(), "2010-11-30T10:00:00.000Z");
    let events: Vec<Event> = data.into_log_events().collect();
    assert_eq!(events[0].timestamp, now);
    assert_eq!(events[1].context["original_time"], "2010-12-01T10:00:00.000Z");
}

#[test]
fn descriptions_become_titles() {
    #[track_caller]
    fn check(description: &str, expected: &str) {
        assert_eq!(titles::readable(description), expected);
    }
    check("WHITE HANGING HEART T-LIGHT HOLDER", "White Hanging Heart T-Light Holder");
    check("BAKING SET 9 PIECE RETROSPOT ", "Baking Set 9 Piece Retrospot");
    check("SET/6 ANGEL T-LIGHTS WHITE/GOLD", "Set of 6 Angel T-Lights White/Gold");
    check("S/3 PINK SQUARE PLANTERS ROSES", "Set of 3 Pink Square Planters Roses");
    check("DIAMANTE HAIR GRIP PACK/2 PERIDOT", "Diamante Hair Grip Pack of 2 Peridot");
    check("15CM CHRISTMAS GLASS BALL 20 LIGHTS", "15cm Christmas Glass Ball 20 Lights");
    check("ENGLISH ROSE NOTEBOOK A7 SIZE", "English Rose Notebook A7 Size");
    check("PAPER CHAIN KIT 50'S CHRISTMAS ", "Paper Chain Kit 50's Christmas");
    check("RED ROSE AND LACE C/COVER", "Red Rose and Lace Cushion Cover");
    check("BROWN DOG CANNISTER W BONE", "Brown Dog Cannister with Bone");
    check("SIGN,CUPCAKE", "Sign, Cupcake");
    check("CHARLIE+LOLA  MUG.", "Charlie & Lola Mug");
    check("TV DINNER TRAY VINTAGE PAISLEY", "TV Dinner Tray Vintage Paisley");
    check("BUDDHA INCENSE HOLDER ASSTD", "Buddha Incense Holder Assorted");
    check("TRAY, BREAKFAST IN BED", "Tray, Breakfast in Bed");
    check("", "");
}

#[test]
fn times_are_checked_against_the_calendar() {
    // An independent calendar agrees over two centuries, leap days included.
    let mut day = Timestamp::parse_rfc3339("1900-01-01T00:00:00Z").unwrap();
    for _ in 0..80_000 {
        let text = day.to_rfc3339();
        assert_eq!(source::parse_time(&format!("{} 00:00:00", &text[..10])), Ok(day));
        day = day.shifted_by_millis(86_400_000);
    }
    for bad in
        ["2011-02-29 00:00", "2010-13-01 00:00", "2010-01-01 24:00", "2010-01-01", "", "2010-01-01 1:2:3:4"]
    {
        assert!(source::parse_time(bad).is_err(), "{bad}");
    }
    assert_eq!(source::parse_time("12/1/2009 7:45"), source::parse_time("2009-12-01 07:45:00"));
}

#[test]
fn a_categorys_titles_are_about_one_thing_and_the_same_titles_give_the_same_categories() {
    let mut titles = Vec::new();
    for colour in ["Red", "Blue", "Ivory", "Pink", "Green", "Black", "Silver", "Gold"] {
        for thing in
            ["Necklace with Beads", "Scented Candle", "Lunch Bag Retrospot", "Christmas Bauble", "Wall Clock"]
        {
            titles.push(format!("{colour} {thing}"));
        }
    }
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let categories = categories::derive(&titles).unwrap();
    for (i, category) in categories.iter().enumerate() {
        assert_eq!(category, &categories[i % 5], "{}", titles[i]);
    }
    assert_eq!(categories[0], "Jewellery");
    assert_eq!(categories[4], "Clocks");
    assert_eq!(categories, categories::derive(&titles).unwrap());
    assert_eq!(categories::derive(&[]).unwrap(), Vec::<String>::new());
    assert_eq!(categories::derive(&["?"]).unwrap(), ["Everything Else"]);
}

#[test]
fn both_years_give_the_published_counts_within_seconds() {
    let Some(path) = data_dir().map(|dir| dir.join(NAME)).filter(|path| path.exists()) else {
        println!("SKIPPED: WAGGLE_DATA_DIR has no {NAME}");
        return;
    };
    let (done, calls) = (AtomicU64::new(0), AtomicU64::new(0));
    let started = std::time::Instant::now();
    let mut data = read(&path, &|bytes, total| {
        assert!(bytes <= total && bytes >= done.swap(bytes, Ordering::Relaxed));
        calls.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    println!("read both years in {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 30, "a busy machine takes a few seconds");
    assert!(calls.load(Ordering::Relaxed) > 100);
    let report = &data.report;
    assert!(report.is_balanced());
    assert_eq!((report.purchases, report.users, report.items, report.broken), (788_187, 5_852, 4_619, 0));
    assert_eq!((report.lines, report.dropped_for(DropReason::Overlap)), (1_067_370, 22_523));
    assert_eq!(check_published_counts(report), Ok(()));
    assert_eq!(data.events.len() as u64, report.purchases + report.cancellations);
    assert!(data.events.is_sorted_by_key(|e| e.timestamp));
    let ids: std::collections::HashSet<_> = data.events.iter().map(|e| e.event_id.clone().unwrap()).collect();
    assert_eq!(ids.len(), data.events.len());
    assert!(data.items.iter().all(|i| i.price.is_some_and(|p| p > 0.0) && !i.title.is_empty()));

    let now = Timestamp::now();
    data.shift_newest_before(now);
    assert_eq!(data.events.last().unwrap().timestamp, now.shifted_by_millis(-60_000));

    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for item in &data.items {
        *sizes.entry(item.category.as_deref().unwrap()).or_default() += 1;
    }
    assert!((25..=48).contains(&sizes.len()), "{} categories", sizes.len());
    assert!(sizes["Everything Else"] * 7 < data.items.len(), "{sizes:?}");
    let category =
        |code: &str| data.items.iter().find(|i| i.item_id.as_str() == code).unwrap().category.as_deref();
    assert_eq!(category("85123A"), Some("Candles"), "White Hanging Heart T-Light Holder");
    assert_eq!(category("22423"), Some("Baking"), "Regency Cakestand 3 Tier");
    assert_eq!(category("22697"), category("22699"), "the Regency teacups in green and roses");
}

#[test]
fn one_year_alone_gives_its_published_counts() {
    let Some(path) =
        data_dir().map(|dir| dir.join(NAME).join("2010-2011.csv.gz")).filter(|path| path.exists())
    else {
        println!("SKIPPED: WAGGLE_DATA_DIR has no {NAME}");
        return;
    };
    let report = quietly(&path).unwrap().report;
    assert_eq!(
        (report.lines, report.purchases, report.users, report.items),
        (541_909, 396_337, 4_334, 3_659)
    );
    assert_eq!(report.dropped_for(DropReason::Overlap), 0);
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration; real data is found by this variable only"
)]
fn data_dir() -> Option<PathBuf> {
    std::env::var("WAGGLE_DATA_DIR").ok().map(PathBuf::from)
}
