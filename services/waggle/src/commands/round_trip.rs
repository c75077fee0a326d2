//! Out of one installation and into another.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::{Map, Value};
use waggle_contracts::{Ingest as _, ingest::Origin};
use waggle_model::{Event, EventBody, Person, SessionId, Timestamp, UserId};
use waggle_models::Snapshot;
use waggle_simulator::{Market, SimulatorParams};
use waggle_stores::{ALL_SLOTS, StateKind, Topic};

use super::{export, import, replay};
use crate::{
    cli::{Cli, Command, ReplayArgs},
    config::Config,
    doctor::{Verdict, examine},
    import::{Import, import as import_market},
    progress::Steps,
    stores::Stores,
    system::System,
    training::{Training, train_and_publish, train_params},
};

const PARAMS: SimulatorParams = SimulatorParams {
    n_items: 120,
    n_users: 150,
    n_categories: 8,
    n_brands: 10,
    days: 40,
    events_per_user: 20.0,
    zipf_exponent: 0.9,
    drift: 0.8,
    new_items: 0.15,
    anonymous: 0.1,
    seed: 1,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_and_imported_elsewhere_gives_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str| Config { dir: folder.path().join(name), ..Config::default() };
    let here = start(&config("here")).await;
    let people = fill(&here.system).await;
    let snapshot = train(&here.system).await;
    let expected = here.lists(&people).await;
    here.system.stop(Some(here.server)).await.unwrap();
    let held = held(&config("here")).await;

    for what in ["items", "events", "users"] {
        let file = folder.path().join(format!("{what}.ndjson.zst"));
        run(&config("here"), &["export", what, "--output", path(&file)]).await;
        run(&config("there"), &["import", what, path(&file)]).await;
    }
    let there = start(&config("there")).await;
    there.system.gateway.snapshots.install(snapshot);
    let lists = there.lists(&people).await;
    there.system.features.archiver.flush().await.unwrap();
    there.system.stop(Some(there.server)).await.unwrap();
    let held_there = self::held(&config("there")).await;
    assert_eq!(held_there.len(), held.len());
    for (there, here) in held_there.iter().zip(&held) {
        assert_eq!(there, here);
    }
    replay::run(&config("there"), &ReplayArgs { verify: true, json: false }).await.unwrap();

    for (list, expected) in lists.iter().zip(&expected) {
        check_equal(list, expected);
    }

    // Out of the second comes what came out of the first.
    for what in ["items", "users", "events"] {
        let file = folder.path().join(format!("{what}.again.zst"));
        run(&config("there"), &["export", what, "--output", path(&file)]).await;
        let lines = |name: &str| {
            let compressed = std::fs::read(folder.path().join(name)).unwrap();
            let text = String::from_utf8(zstd::decode_all(&compressed[..]).unwrap()).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            // Those of one moment are in the order of the log's partitions, which need not be the same.
            lines.sort_unstable();
            lines
        };
        assert_eq!(lines(&format!("{what}.again.zst")), lines(&format!("{what}.ndjson.zst")));
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn run(config: &Config, arguments: &[&str]) {
    use clap::Parser as _;
    let cli = Cli::try_parse_from(["waggle"].iter().chain(arguments)).unwrap();
    match cli.command {
        Command::Export(command) => export::run(config, command).await.unwrap(),
        Command::Import(command) => import::run(config, command).await.unwrap(),
        other => panic!("{other:?}"),
    }
}

struct Running {
    system: System,
    server: crate::process::Server,
    url: String,
}

async fn start(config: &Config) -> Running {
    let listener = waggle_http::bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let system = System::start(config.clone(), &listener).await.unwrap();
    let server = system.serve(listener).unwrap();
    Running { system, server, url }
}

/// A market's past, and on top of it a merge, a repetition, and somebody who was erased. Gives people to ask for.
async fn fill(system: &System) -> Vec<String> {
    let market = Market::new(PARAMS).unwrap();
    let end = Timestamp::now().shifted_by_millis(-60_000);
    let events: Vec<Event> = market.events(end).collect();
    let session =
        events.iter().find(|event| event.person.user_id.is_none()).unwrap().person.session_id.clone();
    let past = Import {
        items: market.items(end),
        users: market.users(),
        n_events: events.len() as u64,
        events: Box::new(events.clone().into_iter()),
    };
    import_market(system, &Steps::new(), past, false).await.unwrap();

    let users: Vec<UserId> = market.users().into_iter().map(|(id, _)| id).collect();
    let event = |user: &UserId, session: Option<SessionId>, body| Event {
        event_id: None,
        timestamp: Timestamp::now(),
        person: Person { user_id: Some(user.clone()), session_id: session },
        body,
        context: Map::new(),
    };
    let merge = event(&users[0], session, EventBody::Merge);
    system.ingest.service.accept(vec![merge], Origin::System).await.unwrap();
    // The log remembers the id for longer than ingest does.
    let log = system.process.stores.log().await.unwrap();
    let repeated =
        events.iter().rev().find(|event| event.person.user_id.as_ref() == Some(&users[1])).unwrap();
    let record = waggle_stores::NewRecord {
        key: users[1].to_string().into(),
        value: waggle_model::encode_event(repeated).into(),
    };
    log.append(Topic::Events, vec![record]).await.unwrap();
    // What the erased did stays in everybody's counters, and no export can tell of it; a merge is counted nowhere.
    let gone = UserId::try_new("gone").unwrap();
    let visit = SessionId::try_new("visit of somebody gone").unwrap();
    let deeds = [event(&gone, Some(visit), EventBody::Merge), event(&gone, None, EventBody::Erasure)];
    system.ingest.service.accept(deeds.into(), Origin::System).await.unwrap();
    system.gateway.app.database.erase_user(&gone, Timestamp::now()).await.unwrap();
    system.features.folded().await.unwrap();
    users.into_iter().take(12).map(|user| user.to_string()).collect()
}

async fn train(system: &System) -> Arc<Snapshot> {
    let database = &system.gateway.app.database;
    let artifacts = system.process.stores.artifacts().await.unwrap();
    let params = train_params(&system.config, 42);
    let training =
        Training { archiver: &system.features.archiver, artifacts, database, is_first: true, params };
    let snapshot = train_and_publish(&training, &Arc::new(Steps::new()), true).await.unwrap();
    let snapshot = Arc::new(snapshot);
    system.gateway.snapshots.install(snapshot.clone());
    snapshot
}

impl Running {
    /// What each is recommended, and how much the system knows of them.
    async fn lists(&self, people: &[String]) -> Vec<List> {
        self.system.gateway.retrieval.refresh_lists(Timestamp::now()).await.unwrap();
        let client = reqwest::Client::new();
        let mut lists = Vec::new();
        for person in people {
            let get = async |path: &str| -> Value {
                let url = format!("{}/v1/{path}user_id={person}", self.url);
                client.get(url).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
            };
            // More than there are items: a cut between two scores that are nearly equal would fall here or there.
            let (answer, profile) = (get("recommendations?k=200&").await, get("profile?").await);
            let items = answer["items"].as_array().unwrap().iter();
            let scores = items.map(|item| (item["item_id"].to_string(), item["score"].as_f64().unwrap()));
            let known =
                ["n_events", "n_orders", "first_seen", "last_seen", "typical_price", "recent", "categories"];
            let known = known.map(|name| profile[name].clone()).to_vec();
            lists.push(List { rung: answer["rung"].clone(), scores: scores.collect(), known });
        }
        lists
    }
}

/// What one person gets.
struct List {
    rung: Value,
    scores: BTreeMap<String, f64>,
    /// Of their profile.
    known: Vec<Value>,
}

/// The same items with the same scores. Some seconds lie between the two questions, in which what is trending may change
/// places with its neighbour, and that moves a score by a hundredth.
#[track_caller]
fn check_equal(list: &List, expected: &List) {
    assert_eq!((&list.rung, &list.known), (&expected.rung, &expected.known));
    let items = |list: &List| list.scores.keys().cloned().collect::<Vec<_>>();
    assert_eq!(items(list), items(expected));
    assert!(list.scores.len() > 30, "a list of {} tells little", list.scores.len());
    for ((item, score), expected) in list.scores.iter().zip(expected.scores.values()) {
        assert!((score - expected).abs() <= 0.02 * expected.abs(), "{item}: {score} instead of {expected}");
    }
}

/// What the doctor counts that does not depend on who wrote it into the log when.
async fn held(config: &Config) -> Vec<(String, String)> {
    let stores = Stores::for_command(config).unwrap();
    let findings = examine(config, &stores).await;
    let blobs = blobs(&stores).await;
    stores.close().await.unwrap();
    assert!(findings.iter().all(|finding| finding.verdict != Verdict::Failed), "{findings:?}");
    let figures = findings.iter().flat_map(|finding| &finding.figures);
    let wanted = ["items", "users", "persons", "kept"];
    let figures = figures.filter(|(name, _)| wanted.contains(&name.as_str()));
    let figures = figures.map(|(name, value)| (name.clone(), value.to_string()));
    figures.chain(blobs).collect()
}

/// The state of every item and person, bit for bit.
async fn blobs(stores: &Stores) -> Vec<(String, String)> {
    let (state, log) = (stores.state().await.unwrap(), stores.log().await.unwrap());
    let mut blobs = Vec::new();
    for partition in 0..log.n_partitions(Topic::Events) {
        for kind in [StateKind::Item, StateKind::Person] {
            for (key, blob) in state.scan(partition, kind, ALL_SLOTS).await.unwrap() {
                blobs.push((format!("{partition} {kind:?} {key}"), format!("{blob:?}")));
            }
        }
    }
    blobs.sort_unstable();
    blobs
}
