use clap::Parser as _;
use waggle_ingest_role::mapping::Mapped;
use waggle_model::{Event, EventBody, Timestamp};

use super::*;
use crate::cli::{Cli, Command};

fn prepared(arguments: &[&str]) -> Result<Prepared, String> {
    let cli = Cli::try_parse_from(["waggle", "import"].iter().chain(arguments)).map_err(|e| e.to_string())?;
    let Command::Import(command) = cli.command else { panic!("not an import") };
    Prepared::try_new(command)
}

fn mappings_of(arguments: &[&str]) -> Mappings {
    match prepared(arguments).unwrap().what {
        What::Events { mappings, .. } => *mappings,
        _ => panic!("not an import of events"),
    }
}

#[track_caller]
fn event(mapping: &Mapping, record: &str) -> Event {
    match mapping.event(record.as_bytes(), None, Timestamp::from_millis(0), |_| false) {
        Ok(Mapped::Event(event)) => *event,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_refused(arguments: &[&str], sentence: &str) {
    let error = prepared(arguments).err().expect("it was taken");
    assert!(error.contains(sentence), "{error}");
}

#[test]
fn columns_with_the_names_of_fields_need_no_mapping() {
    let mappings = mappings_of(&["events", "a.csv", "--map", "user_id=user.id", "--time", "unix_s"]);
    let event = event(
        &mappings.csv,
        r#"{"user.id":"anna","item_id":"lamp","type":"purchase","timestamp":"1700000000","price":"9.5","other":"x"}"#,
    );
    let EventBody::Interaction(act) = &event.body else { panic!("{event:?}") };
    assert_eq!((act.kind.as_str(), act.item_id.as_str(), act.price), ("purchase", "lamp", Some(9.5)));
    assert_eq!(event.timestamp, Timestamp::from_millis(1_700_000_000_000));
    assert_eq!(event.person.user_id.unwrap().as_str(), "anna");
    assert!(event.context.is_empty());
    assert!(mappings.json.is_none(), "nothing of it is JSON");
}

#[test]
fn records_of_another_system_are_mapped_field_by_field() {
    let arguments = [
        "events",
        "a.ndjson",
        "--map",
        "user_id=user.id",
        "--map",
        "item_id=/product/sku",
        "--map",
        "type=what",
        "--type",
        "seen=view",
        "--constant",
        "currency=EUR",
    ];
    let mapping = mappings_of(&arguments).json.unwrap();
    let record = r#"{"user":{"id":7},"product":{"sku":"lamp"},"what":"seen"}"#;
    let EventBody::Interaction(act) = event(&mapping, record).body else { panic!() };
    assert_eq!((act.kind.as_str(), act.currency.as_deref()), ("view", Some("EUR")));
    let unknown = record.replace("seen", "hovered");
    let refused = mapping.event(unknown.as_bytes(), None, Timestamp::from_millis(0), |_| false);
    assert_eq!(refused, Err("type \"hovered\" is not mapped".to_owned()));
    assert!(mappings_of(&["events", "a.ndjson"]).json.is_none(), "they are events already");
}

#[test]
fn what_becomes_of_unknown_types_can_be_said() {
    let map = |more: &[&str]| {
        let arguments = ["events", "a.csv"].iter().chain(more).copied().collect::<Vec<_>>();
        let record = br#"{"user_id":"anna","item_id":"lamp","type":"hovered"}"#;
        mappings_of(&arguments).csv.event(record, None, Timestamp::from_millis(0), |_| false)
    };
    assert!(matches!(map(&[]), Ok(Mapped::Event(_))));
    assert!(map(&["--type", "seen=view"]).is_err());
    assert!(map(&["--unmapped-types", "reject"]).is_err());
    assert_eq!(map(&["--unmapped-types", "skip"]), Ok(Mapped::Skipped));
    assert!(matches!(map(&["--type", "seen=view", "--unmapped-types", "keep"]), Ok(Mapped::Event(_))));
}

#[test]
fn a_command_that_cannot_work_says_why() {
    check_refused(&["events", "a.csv", "--map", "usr=user"], "--map: \"usr\" is not a field of an event");
    check_refused(&["events", "a.csv", "--map", "user_id"], "not of the form left=right");
    check_refused(&["events", "a.csv", "--type", "seen=erasure"], "written by waggle itself");
    check_refused(&["events", "a.csv", "--constant", "price=much"], "constants: price is \"much\"");
    check_refused(&["events", "a.ndjson", "--map", "item_id=sku"], "type is neither among fields");
    check_refused(
        &["events", "a.ndjson", "--map", "user_id=@key", "--map", "type=t", "--map", "item_id=i"],
        "@key",
    );
    check_refused(&["events", "a.ndjson", "--map", "user_id=a..b"], "not a place in a record");
    check_refused(&["events", "a.csv", "--delimiter", "::"], "not one ASCII character");
    check_refused(&["items", "a.csv", "--map", "name=title"], "\"name\" is not a field of an item");
    check_refused(&["items", "a.ndjson", "--map", "title=name"], "a file is NDJSON");
    check_refused(&["events"], "required");
}

#[test]
fn a_files_form_is_what_the_flag_says_else_the_name() {
    let form = |arguments: &[&str]| {
        let Prepared { args, csv, wanted, .. } = prepared(arguments).unwrap();
        format_of(&args.files[0], csv.as_ref(), &wanted)
    };
    let csv = |delimiter, wanted: &[&str]| {
        let wanted = wanted.iter().map(|&name| name.to_owned()).collect();
        Format::Csv { delimiter, wanted }
    };
    assert_eq!(form(&["events", "a.tsv"]), csv(b'\t', &[]));
    assert_eq!(form(&["events", "a.tsv", "--delimiter", ";", "--map", "item_id=sku"]), csv(b';', &["sku"]));
    assert_eq!(form(&["items", "-", "--format", "csv", "--delimiter", r"\t"]), csv(b'\t', &[]));
    assert_eq!(form(&["items", "a.csv", "--format", "ndjson"]), Format::Ndjson);
    assert_eq!(form(&["users", "a.csv"]), Format::Ndjson);
}
