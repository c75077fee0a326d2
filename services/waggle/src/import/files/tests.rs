use std::fs;

use serde_json::json;
use waggle_ingest_role::mapping::{Field, LineRules, Path as Place};
use waggle_model::decode_event;
use waggle_stores::Topic;

use super::*;
use crate::config::LogConfig;

/// An installation in a folder of its own, and files to import into it.
struct World {
    folder: tempfile::TempDir,
    config: Config,
    stores: Stores,
    steps: Steps,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // One partition, so that the log is in the order of the file.
        let log = LogConfig { n_partitions: 1, ..LogConfig::default() };
        let config = Config { dir: folder.path().join("data"), log, ..Config::default() };
        let stores = Stores::for_command(&config).unwrap();
        Self { folder, config, stores, steps: Steps::new() }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn files(&self, path: &Path) -> Files<'_> {
        let inputs = open_all(&[path.to_owned()], Format::of_name).unwrap();
        Files { inputs, rejects: Rejects::new(None, &[path.to_owned()]), steps: &self.steps }
    }

    async fn import_events(&self, path: &Path) -> Result<Counts> {
        let fields = Field::ALL.map(|field| (field, Place::column(field.as_str())));
        let csv = Mapping::of_lines(LineRules { fields: fields.into(), ..LineRules::default() }).unwrap();
        self.files(path).events(&self.stores, &self.config, Mappings { json: None, csv }, true).await
    }

    async fn in_log(&self, topic: Topic) -> Vec<Event> {
        let log = self.stores.log().await.unwrap();
        let records = log.read(topic, 0, 0, usize::MAX >> 1).await.unwrap();
        records.iter().map(|record| decode_event(&record.value).unwrap()).collect()
    }
}

fn click(id: Option<&str>, n: usize) -> String {
    let mut event = json!({
        "type": "click", "user_id": format!("u{}", n % 7), "item_id": format!("i{n}"), "timestamp": "2019-03-01T12:00:00Z",
    });
    if let Some(id) = id {
        event["event_id"] = json!(id);
    }
    event.to_string()
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

fn counts(accepted: u64, duplicates: u64, rejected: u64) -> Counts {
    Counts { accepted, duplicates, skipped: 0, rejected }
}

fn item_of_event(event: &Event) -> &str {
    match &event.body {
        EventBody::Interaction(act) => act.item_id.as_str(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_any_age_keep_their_order_and_what_is_refused_is_kept_with_line_and_reason() {
    let world = World::new();
    let mut content: Vec<String> = (0..25_000).map(|n| click(None, n)).collect();
    content[7] = "not JSON".to_owned();
    content[11_000] = click(None, 0).replace("2019", "2919");
    content[24_999] = json!({ "type": "click", "item_id": "lamp" }).to_string();
    let path = world.file("events.ndjson", lines(content));
    assert_eq!(world.import_events(&path).await.unwrap(), counts(24_997, 0, 3));
    let in_log = world.in_log(Topic::Events).await;
    let expected = (0..25_000).filter(|n| ![7, 11_000, 24_999].contains(n)).map(|n| format!("i{n}"));
    assert!(in_log.iter().map(item_of_event).eq(expected));

    let rejected = fs::read_to_string(path.with_extension("ndjson.rejected.ndjson")).unwrap();
    let rejected: Vec<Value> = rejected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let name = path.display().to_string();
    assert!(rejected.iter().all(|line| line["file"] == name));
    let mut by_line: Vec<_> = rejected.iter().map(|line| (line["line"].as_u64().unwrap(), line)).collect();
    by_line.sort_by_key(|(line, _)| *line);
    let [(8, garbage), (11_001, future), (25_000, nobody)] = by_line[..] else { panic!("{by_line:?}") };
    assert_eq!(garbage["record"], "not JSON");
    assert!(future["reason"].as_str().unwrap().contains("is in the future"), "{future}");
    assert_eq!(future["record"]["user_id"], "u0", "what is JSON can be mended and imported");
    assert_eq!(nobody["reason"], "neither user_id nor session_id is given");
}

/// More than the positions over which consumers of the log tell repetitions.
const MANY: usize = 70_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_counts_once_however_often_it_is_imported_and_however_it_has_grown() {
    let world = World::new();
    let all: Vec<String> =
        (0..MANY).map(|n| click((n % 2 == 0).then(|| format!("e{n}")).as_deref(), n)).collect();
    let content = lines(all.clone());
    let mut cut_off = zstd::encode_all(content.as_bytes(), 3).unwrap();
    cut_off.truncate(cut_off.len() / 2);
    let path = world.file("events.ndjson", cut_off);
    let error = format!("{:#}", world.import_events(&path).await.unwrap_err());
    assert!(error.contains("the same import goes on from there"), "{error}");
    let n_before = world.in_log(Topic::Events).await.len();
    assert!(n_before > 0 && n_before < MANY, "{n_before} before the cut");

    let path = world.file("whole.ndjson", &content);
    let n_left = (MANY - n_before) as u64;
    assert_eq!(world.import_events(&path).await.unwrap(), counts(n_left, n_before as u64, 0));
    assert_eq!(world.import_events(&path).await.unwrap(), counts(0, MANY as u64, 0));
    let grown = world.file("grown.ndjson", content + &click(None, MANY) + "\n");
    assert_eq!(world.import_events(&grown).await.unwrap(), counts(1, MANY as u64, 0));
    let in_log = world.in_log(Topic::Events).await;
    assert!(in_log.iter().map(item_of_event).eq((0..=MANY).map(|n| format!("i{n}"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_stands_twice_in_a_file_counts_once_however_far_apart() {
    let world = World::new();
    let all = (0..MANY).map(|n| click(Some(&format!("e{}", n % (MANY - 1))), n));
    let path = world.file("events.ndjson", lines(all));
    assert_eq!(world.import_events(&path).await.unwrap(), counts(MANY as u64 - 1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_items_come_from_csv() {
    let world = World::new();
    let events = "user_id,item_id,type,timestamp,price\nanna,lamp,purchase,2020-01-01T00:00:00Z,9.50\nanna,lamp,purchase,soon,1\n";
    let path = world.file("events.csv", events);
    assert_eq!(world.import_events(&path).await.unwrap(), counts(1, 0, 1));
    assert_eq!(item_of_event(&world.in_log(Topic::Events).await[0]), "lamp");

    let items = "sku,title,price,in_stock,colour,available_until\nlamp,A lamp,9.50,no,red,2030-01-01T00:00:00Z\nchair,,3,,,\nvase,A vase,cheap,,,\n";
    let path = world.file("items.csv", items);
    let columns = vec![("item_id".to_owned(), "sku".to_owned())];
    let counted = world.files(&path).items(&world.stores, &world.config, columns).await.unwrap();
    assert_eq!(counted, counts(1, 0, 2));
    let database = world.stores.database().await.unwrap();
    let stored = database.all_items().await.unwrap();
    let lamp = serde_json::to_value(&stored).unwrap();
    let expected = json!([{
        "item_id": "lamp", "title": "A lamp", "price": 9.5, "hidden": false, "in_stock": false,
        "available_until": "2030-01-01T00:00:00.000Z", "properties": {"colour": "red"},
    }]);
    assert_eq!(lamp, expected);
    let rejected = fs::read_to_string(path.with_extension("csv.rejected.ndjson")).unwrap();
    assert!(
        rejected.contains("missing field `title`") && rejected.contains("invalid type: string"),
        "{rejected}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_does_not_fit_what_is_declared_is_refused_alone_and_columns_have_the_declared_types() {
    let mut world = World::new();
    let types = json!({ "weight": "number", "organic": "boolean", "sizes": "strings" });
    world.config.catalog = serde_json::from_value(json!({ "properties": types })).unwrap();
    let items = "item_id,title,weight,organic,sizes,colour\n\
        tea,Tea,1.5,yes,S | M,7\ncup,Cup,heavy,,,\nmug,Mug,,,\"[\"\"a|b\"\"]\",\n";
    let path = world.file("items.csv", items);
    let counted = world.files(&path).items(&world.stores, &world.config, Vec::new()).await.unwrap();
    assert_eq!(counted, counts(2, 0, 1));
    let stored = world.stores.database().await.unwrap().all_items().await.unwrap();
    let properties: Vec<_> = stored.iter().map(|item| Value::Object(item.properties.clone())).collect();
    let tea = json!({ "weight": 1.5, "organic": true, "sizes": ["S", "M"], "colour": "7" });
    assert_eq!(properties, [json!({ "sizes": ["a|b"] }), tea]);
    let rejected = fs::read_to_string(path.with_extension("csv.rejected.ndjson")).unwrap();
    assert!(rejected.contains("declared as a number, got the string \\\"heavy\\\""), "{rejected}");

    let lines = lines([
        json!({ "item_id": "a", "title": "x", "properties": { "weight": "1.5" } }).to_string(),
        json!({ "item_id": "b", "title": "x", "properties": { "weight": 1.5 } }).to_string(),
    ]);
    let path = world.file("items.ndjson", lines);
    let counted = world.files(&path).items(&world.stores, &world.config, Vec::new()).await.unwrap();
    assert_eq!(counted, counts(1, 0, 1), "JSON has types of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_file_does_not_bring_back_whom_somebody_asked_to_forget() {
    let world = World::new();
    let database = world.stores.database().await.unwrap();
    let user = |id: &str| UserId::try_new(id).unwrap();
    database.erase_user(&user("anna"), Timestamp::from_millis(1)).await.unwrap();
    let people = [
        json!({ "user_id": "anna", "properties": {} }),
        json!({ "user_id": "bert", "properties": { "city": "Bern" }, "sessions": [{ "session_id": "s-1" }, { "session_id": "s-2", "timestamp": "2020-01-01T00:00:00Z" }] }),
        json!({ "user_id": "cora" }),
        json!({ "user_id": "dirk", "sessions": [{ "session_id": "s-3" }] }),
    ];
    let path = world.file("users.ndjson", lines(people.map(|person| person.to_string())));
    let counted = world.files(&path).users(&world.stores, &world.config).await.unwrap();
    assert_eq!(counted, counts(2, 0, 2));
    let rejected = fs::read_to_string(path.with_extension("ndjson.rejected.ndjson")).unwrap();
    assert!(rejected.contains("user \\\"anna\\\" was erased"), "{rejected}");
    assert!(rejected.contains("neither properties nor sessions"), "{rejected}");
    assert!(database.user(&user("anna")).await.unwrap().unwrap().erased_at.is_some());
    assert_eq!(database.user(&user("bert")).await.unwrap().unwrap().properties["city"], "Bern");
    assert_eq!(database.user(&user("dirk")).await.unwrap(), None, "nothing was told about dirk");
    let in_log = world.in_log(Topic::Events).await;
    assert_eq!(in_log[2].timestamp.to_rfc3339(), "2020-01-01T00:00:00.000Z", "a merge keeps its time");
    let bodies: Vec<_> = world
        .in_log(Topic::Events)
        .await
        .into_iter()
        .map(|event| {
            (
                event.person.user_id.unwrap().to_string(),
                event.person.session_id.map(|id| id.to_string()),
                event.body,
            )
        })
        .collect();
    let merge = |user: &str, session: &str| (user.to_owned(), Some(session.to_owned()), EventBody::Merge);
    assert!(matches!(&bodies[0], (user, None, EventBody::UserChange(_)) if user == "bert"));
    assert_eq!(bodies[1..], [merge("bert", "s-1"), merge("bert", "s-2"), merge("dirk", "s-3")]);
}

#[test]
fn a_long_name_is_shown_by_its_end() {
    assert_eq!(shortened("events.ndjson"), "events.ndjson");
    assert_eq!(shortened("/var/lib/exports/events-2026-01.ndjson.zst"), "…ents-2026-01.ndjson.zst");
}
