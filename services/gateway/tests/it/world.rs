//! A whole shop in one process: real stores in temporary folders, every role wired as in production, HTTP on port 0.

use std::{
    net::SocketAddr,
    sync::{Arc, RwLock, Weak},
    time::Duration,
};

use ndarray::Array2;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa::OpenApi as _;
use waggle_contracts::{Features, Ranking, Retrieval};
use waggle_features::FEATURES;
use waggle_features_role::{
    Archiver, ArchiverConfig, ConsumerConfig, FeaturesConsumer, FeaturesService, Progress,
};
use waggle_filter::Declaration;
use waggle_gateway_role::{AnswerLog, App, Flights, ForgetTimes, GatewayConfig, Held, ItemLocks, Projector};
use waggle_http::ServerOptions;
use waggle_ingest_role::{IngestConfig, IngestService};
use waggle_model::{Answer, Event, EventBody, ItemId, ItemIdx, SnapshotVersion, Timestamp, decode_event};
use waggle_models::{
    Als, AlsParams, ItemItem, Manifest, Popularity, Ranker, Segments, Snapshot, SnapshotModels, SnapshotSlot,
    Vocabulary,
};
use waggle_ranking_role::RankingService;
use waggle_retrieval_role::{RetrievalConfig, RetrievalService};
use waggle_stores::{
    Artifacts, Cache, Database, EventLog, MemoryState, MokaCache, SqliteLog, SqliteLogOptions, StateStore,
    Topic,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const N_PARTITIONS: u32 = 2;

pub(crate) struct World {
    catalog: Declaration,
    pub(crate) log: Arc<SqliteLog>,
    pub(crate) slot: Arc<SnapshotSlot>,
    pub(crate) ingest: Arc<IngestService>,
    pub(crate) features: Arc<dyn Features>,
    pub(crate) retrieval: Arc<RetrievalService>,
    pub(crate) ranking: Arc<dyn Ranking>,
    pub(crate) database: Arc<Database>,
    pub(crate) dir: TempDir,
    projector: Arc<Projector>,
    fold: Arc<Progress>,
    state: Arc<dyn StateStore>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// One gateway of a world, listening.
pub(crate) struct Gateway {
    pub(crate) app: Arc<App>,
    url: String,
    client: Client,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::declaring(Declaration::default()).await
    }

    /// A world whose shop declares this of its items' properties.
    pub(crate) async fn declaring(catalog: Declaration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteLogOptions { n_partitions: N_PARTITIONS, max_bytes: None };
        let log = Arc::new(SqliteLog::open(dir.path().join("log.db"), options).await.unwrap());
        let database = Arc::new(Database::open(dir.path().join("waggle.db")).await.unwrap());
        let state: Arc<dyn StateStore> = Arc::new(MemoryState::in_memory(N_PARTITIONS));
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let any_log: Arc<dyn EventLog> = log.clone();
        let ingest = Arc::new(IngestService::new(any_log.clone(), IngestConfig::default()));
        let consumer =
            FeaturesConsumer::new(any_log.clone(), state.clone(), ConsumerConfig::default(), "alone");
        let fold = consumer.progress();
        let cancelled = cancel.clone();
        tasks.spawn(async move { consumer.run(cancelled).await.unwrap() });
        let projector = Arc::new(Projector::try_new(any_log.clone(), database.clone()).await.unwrap());
        projector.start(&tasks, &cancel);
        let slot = Arc::new(SnapshotSlot::default());
        let config = RetrievalConfig::default();
        let retrieval = RetrievalService::start(
            config,
            catalog.schema().unwrap(),
            slot.clone(),
            any_log,
            state.clone(),
            &tasks,
            &cancel,
        )
        .await
        .unwrap();
        Self {
            catalog,
            log,
            ingest,
            features: Arc::new(FeaturesService::new(state.clone(), fold.clone())),
            state,
            retrieval,
            ranking: Arc::new(RankingService::new(slot.clone())),
            slot,
            database,
            dir,
            projector,
            fold,
            tasks,
            cancel,
        }
    }

    /// The same world after a restart, when the shop declares this of its items' properties.
    pub(crate) async fn redeclaring(mut self, catalog: Declaration) -> Self {
        let (config, declared) = (RetrievalConfig::default(), catalog.schema().unwrap());
        let (slot, log, state) = (self.slot.clone(), self.log.clone(), self.state.clone());
        let started = RetrievalService::start(config, declared, slot, log, state, &self.tasks, &self.cancel);
        self.retrieval = started.await.unwrap();
        self.catalog = catalog;
        self
    }

    /// A world with a catalogue, some history, and a snapshot, and a gateway before it.
    pub(crate) async fn furnished() -> (Self, Gateway) {
        let world = Self::new().await;
        let gateway = world.gateway().await;
        gateway.put_catalogue().await;
        gateway.buy("anna", &["lamp-0", "lamp-1", "sofa-0"]).await;
        gateway.buy("bert", &["lamp-2", "lamp-1"]).await;
        world.settled().await;
        world.publish("v1");
        (world, gateway)
    }

    pub(crate) async fn gateway(&self) -> Gateway {
        self.gateway_with(|_| {}).await
    }

    /// A gateway over roles of the test's choice.
    pub(crate) async fn gateway_with(&self, change: impl FnOnce(&mut App)) -> Gateway {
        let cache: Arc<dyn Cache> = Arc::new(MokaCache::new(1 << 20));
        let mut app = App {
            // Late only where a test stalls somebody: the machine may be busy.
            config: GatewayConfig { deadline_ms: 5_000, ..GatewayConfig::default() },
            catalog: self.catalog.clone(),
            placements: Arc::default(),
            ingest: self.ingest.clone(),
            features: self.features.clone(),
            retrieval: self.retrieval.clone(),
            ranking: self.ranking.clone(),
            held: self.held().await,
            database: self.database.clone(),
            cache,
            flights: Flights::default(),
            answers: AnswerLog::start(self.ingest.clone(), 1_000, &self.tasks),
            projector: self.projector.clone(),
            item_locks: ItemLocks::default(),
            last_good: RwLock::default(),
        };
        change(&mut app);
        let app = Arc::new(app);
        let listener = waggle_http::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let options = ServerOptions { workers: 2, ..ServerOptions::default() };
        let (ingest, gateway) =
            (waggle_ingest_role::configure(self.ingest.clone()), waggle_gateway_role::configure(app.clone()));
        let health = waggle_http::health::configure(Arc::default(), waggle_http::telemetry::metrics_handle());
        let docs = waggle_http::docs::configure(&waggle_http::docs::joined([
            waggle_ingest_role::routes::Document::openapi(),
            waggle_gateway_role::routes::Document::openapi(),
        ]));
        let routes = move |config: &mut actix_web::web::ServiceConfig| {
            health(config);
            docs(config);
            ingest(config);
            gateway(config);
        };
        let served = tokio::spawn(waggle_http::serve(listener, options, routes, shutdown.clone()));
        Gateway { app, url, client: Client::new(), shutdown, served }
    }

    pub(crate) async fn artifacts(&self) -> Artifacts {
        Artifacts::open_local(self.dir.path().join("artifacts"), 1 << 30).await.unwrap()
    }

    async fn held(&self) -> Held {
        let second = Duration::from_secs(1);
        let times = ForgetTimes {
            archived: 60 * second,
            upkeep: 300 * second,
            grace: 3_600 * second,
            checkpoint: Some(60 * second),
            answers: 600 * second,
        };
        Held::new(self.log.clone(), self.database.clone(), self.artifacts().await, times)
    }

    /// All that the log holds is in the archive.
    pub(crate) async fn archived(&self) {
        let archiver = Archiver::new(
            self.log.clone(),
            &self.artifacts().await,
            self.database.clone(),
            ArchiverConfig::default(),
            "alone",
        );
        archiver.flush().await.unwrap();
    }

    /// Everything that was acknowledged is in the state, the database, the live table and the lists.
    pub(crate) async fn settled(&self) {
        assert!(self.fold.wait_until_caught_up(PATIENCE).await.unwrap());
        self.projector.caught_up(PATIENCE).await.unwrap();
        let mut n_changes = 0;
        for partition in 0..N_PARTITIONS {
            n_changes += self.log.end(Topic::Catalog, partition).await.unwrap();
        }
        eventually("the live table follows", async || self.retrieval.catalog_version() >= n_changes).await;
        self.retrieval.refresh_lists(Timestamp::now()).await.unwrap();
        self.retrieval.refresh_lookalikes().unwrap();
    }

    /// A snapshot over the furnished catalogue, with a ranker that likes what goes with the person's items.
    pub(crate) fn publish(&self, version: &str) {
        self.publish_turned(version, false);
    }

    /// [`publish`](Self::publish), with rows in reverse and a ranker that likes what the other one dislikes if `is_turned`.
    pub(crate) fn publish_turned(&self, version: &str, is_turned: bool) -> Weak<Snapshot> {
        let published = Arc::new(snapshot(version, is_turned));
        self.slot.install(published.clone());
        Arc::downgrade(&published)
    }

    /// [`publish`](Self::publish), with a ranker that looks at one feature alone.
    pub(crate) fn publish_ranked_by(&self, version: &str, feature: &str) {
        let weights = FEATURES.iter().map(|known| f32::from(u8::from(known.name == feature))).collect();
        let ranker = Some(Ranker { weights, ..ranker(0.0) });
        self.slot.install(Arc::new(Snapshot { ranker, ..snapshot(version, false) }));
    }

    /// The recorded answers, oldest first.
    pub(crate) async fn answers(&self, at_least: usize) -> Vec<(Event, Answer)> {
        let mut answers = Vec::new();
        eventually("the answers are recorded", async || {
            answers = self.read_answers().await;
            answers.len() >= at_least
        })
        .await;
        answers
    }

    async fn read_answers(&self) -> Vec<(Event, Answer)> {
        let mut answers = Vec::new();
        for partition in 0..N_PARTITIONS {
            for record in self.log.read(Topic::Answers, partition, 0, 10_000).await.unwrap() {
                let event = decode_event(&record.value).unwrap();
                let EventBody::Answer(answer) = &event.body else { panic!("{event:?} is not an answer") };
                let answer = Answer::clone(answer);
                answers.push((event, answer));
            }
        }
        // Stable: answers of one millisecond stay in the order of the log.
        answers.sort_by_key(|(event, _)| event.timestamp);
        answers
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// 8 lamps, 8 sofas, 4 rugs.
pub(crate) fn catalogue() -> Vec<Value> {
    let kinds = [("lamp", 8), ("sofa", 8), ("rug", 4)];
    kinds
        .iter()
        .flat_map(|&(kind, n)| {
            (0..n).map(move |i| {
                json!({
                    "item_id": format!("{kind}-{i}"), "title": format!("{kind} model {i}"),
                    "category": kind, "price": 10.0 + f64::from(i),
                })
            })
        })
        .collect()
}

fn snapshot(version: &str, is_turned: bool) -> Snapshot {
    let mut ids: Vec<ItemId> =
        catalogue().iter().map(|item| ItemId::try_new(item["item_id"].as_str().unwrap()).unwrap()).collect();
    let n_items = ids.len();
    let at = |row: usize| if is_turned { n_items - 1 - row } else { row };
    if is_turned {
        ids.reverse();
    }
    // A category is a direction; each item goes with the next of its category.
    let direction = |item: usize| {
        if item < 8 {
            0
        } else if item < 16 {
            1
        } else {
            2
        }
    };
    let factors = Array2::from_shape_fn((n_items, 4), |(row, f)| {
        if f == direction(at(row)) { 1.0 } else { 0.05 * ((at(row) * 7 + f) as f32).sin() }
    });
    let neighbours = (0..n_items).map(|row| ItemIdx::from_row(at((at(row) + 1) % n_items))).collect();
    let params = AlsParams { n_factors: 4, ..AlsParams::default() };
    let models = SnapshotModels {
        vocabulary: Vocabulary::try_new(ids).unwrap(),
        popularity: Popularity::try_new(vec![1.0; n_items]).unwrap(),
        item_item: ItemItem::try_new(
            (0..=n_items).collect(),
            neighbours,
            vec![0.5; n_items],
            Default::default(),
        )
        .unwrap(),
        sessions: None,
        als: Als::try_new(factors.clone(), params).unwrap(),
        sample_queries: factors,
        ranker: Some(ranker(if is_turned { -0.1 } else { 0.1 })),
        segments: Some(segments(at)),
    };
    let manifest = Manifest {
        format_version: waggle_models::snapshot::FORMAT_VERSION,
        version: SnapshotVersion::try_new(version).unwrap(),
        created_at: Timestamp::now(),
        trained_until: Timestamp::now(),
        n_items,
        n_users: 2,
        n_interactions: 5,
        seed: 1,
        settings: json!({}),
        evaluation: json!({}),
        parts: Default::default(),
    };
    Snapshot::try_new(manifest, models).unwrap()
}

/// One segment per category; each wants the last items of its own most. `at` is the row of an item.
fn segments(at: impl Fn(usize) -> usize) -> Segments {
    let lists = [[7, 6], [15, 14], [19, 18]];
    let centroids = Array2::from_shape_fn((3, 4), |(segment, f)| f32::from(u8::from(segment == f)));
    let items = lists.concat().into_iter().map(|item| ItemIdx::from_row(at(item))).collect();
    Segments::try_new(centroids, vec![40; 3], vec![0, 2, 4, 6], items, [0.5, 0.25].repeat(3)).unwrap()
}

fn ranker(weight: f32) -> Ranker {
    let names: Vec<String> = FEATURES.iter().map(|f| f.name.to_owned()).collect();
    let n = names.len();
    Ranker {
        feature_names: names,
        means: vec![0.0; n],
        scales: vec![1.0; n],
        weights: vec![weight; n],
        intercept: 0.0,
    }
}

impl Gateway {
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match body {
            Some(body) => request.json(&body),
            None => request,
        }
        .send()
        .await
        .unwrap()
    }

    /// A body as it is, and headers.
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        json_of(self.send(Method::GET, path, None).await, 200).await
    }

    /// `POST /v1/recommendations`.
    pub(crate) async fn recommend(&self, body: Value) -> Value {
        json_of(self.send(Method::POST, "/v1/recommendations", Some(body)).await, 200).await
    }

    pub(crate) async fn put_catalogue(&self) {
        let answer = self.send(Method::POST, "/v1/items", Some(json!({ "items": catalogue() }))).await;
        assert_eq!(json_of(answer, 200).await, json!({ "accepted": 20, "rejected": [] }));
    }

    pub(crate) async fn put(&self, item_id: &str, body: Value) -> Value {
        json_of(self.send(Method::PUT, &format!("/v1/items/{item_id}"), Some(body)).await, 200).await
    }

    pub(crate) async fn patch(&self, item_id: &str, body: Value) -> Value {
        json_of(self.send(Method::PATCH, &format!("/v1/items/{item_id}"), Some(body)).await, 200).await
    }

    pub(crate) async fn buy(&self, user: &str, items: &[&str]) {
        self.act("user_id", user, "purchase", items).await;
    }

    pub(crate) async fn act(&self, who: &str, id: &str, kind: &str, items: &[&str]) {
        let events: Vec<Value> =
            items.iter().map(|item| json!({ "type": kind, who: id, "item_id": item })).collect();
        let report =
            json_of(self.send(Method::POST, "/v1/events", Some(json!({ "events": events }))).await, 202)
                .await;
        assert_eq!(report["accepted"], items.len(), "{report}");
    }

    /// The request is refused with this status, as a problem that says this.
    #[track_caller]
    pub(crate) fn refused<'a>(
        &'a self,
        method: Method,
        path: &'a str,
        body: Option<Value>,
        status: u16,
        says: &'a str,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let response = self.send(method, path, body).await;
            let got = response.status();
            let kind = response.headers()["content-type"].clone();
            let problem: Value = response.json().await.unwrap();
            assert_eq!(got, status, "{path} at {caller}: {problem}");
            assert_eq!(kind, "application/problem+json", "{path} at {caller}");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(says), "{path} at {caller}: {problem} does not say \"{says}\"");
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.served.await.unwrap().unwrap();
    }
}

#[track_caller]
pub(crate) fn json_of(response: Response, status: u16) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let got = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(got, status, "at {caller}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// The ids of an answer, ranks checked.
#[track_caller]
pub(crate) fn slate(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap();
    let ids: Vec<String> = items.iter().map(|item| item["item_id"].as_str().unwrap().to_owned()).collect();
    for (place, item) in items.iter().enumerate() {
        assert_eq!(item["rank"], place + 1, "{answer}");
        assert!(!ids[..place].contains(&ids[place]), "{} stands twice in {answer}", ids[place]);
    }
    ids
}

/// Waits for what another task brings about.
pub(crate) async fn eventually(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_true().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}
