//! All roles in one process, on the embedded default.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, RwLock},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use waggle_features_role::{Archiver, FeaturesConsumer, FeaturesService, Progress};
use waggle_gateway_role::{AnswerLog, App, ItemLocks, Projector};
use waggle_http::{Readiness, ServerOptions};
use waggle_ingest_role::IngestService;
use waggle_model::Item;
use waggle_models::SnapshotSlot;
use waggle_ranking_role::RankingService;
use waggle_retrieval_role::RetrievalService;
use waggle_stores::{
    Artifacts, Cache, Database, EventLog, MemoryState, MokaCache, SqliteLog, SqliteLogOptions, StateStore,
    Topic,
};
use waggle_web_role::{Shop, ShopConfig};

use crate::{config::Config, dir::DataDir, snapshots};

/// Largest artifact, in bytes.
const MAX_ARTIFACT_BYTES: u64 = 16 << 30;
/// Time that tasks have to finish after the listener closed.
const STOP: Duration = Duration::from_secs(30);
/// Time that the fold may need for what the log holds at start or after an import.
const CATCH_UP: Duration = Duration::from_secs(3_600);
/// Items kept for the last rung before anything has been trending.
const FIRST_ITEMS: usize = 200;

/// Name of the one member of every group.
const MEMBER: &str = "all";

/// Parts that must be there before the process wants requests.
const PARTS: [&str; 2] = ["catalogue", "snapshot"];

/// Every role, wired.
pub(crate) struct System {
    pub(crate) config: Config,
    pub(crate) log: Arc<SqliteLog>,
    pub(crate) database: Arc<Database>,
    pub(crate) artifacts: Artifacts,
    pub(crate) snapshots: Arc<SnapshotSlot>,
    pub(crate) ingest: Arc<IngestService>,
    pub(crate) fold: Arc<Progress>,
    pub(crate) archiver: Arc<Archiver>,
    pub(crate) retrieval: Arc<RetrievalService>,
    pub(crate) app: Arc<App>,
    pub(crate) readiness: Arc<Readiness>,
    state: Arc<MemoryState>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    // Released last: the folder is ours until everything is closed.
    _dir: DataDir,
}

impl System {
    /// Opens the folder's stores, loads the promoted snapshot, and starts every role.
    ///
    /// # Errors
    /// Names the store that cannot be opened and why.
    pub(crate) async fn start(dir: DataDir, config: Config) -> Result<Self> {
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let n_partitions = config.log.n_partitions;
        let log = SqliteLog::open(dir.log(), SqliteLogOptions { n_partitions, max_bytes: None });
        let log = Arc::new(log.await.context("the event log cannot be opened")?);
        let state = MemoryState::open(dir.state(), n_partitions).await;
        let state = Arc::new(state.context("the online state cannot be opened")?);
        let database = Database::open(dir.database()).await.context("the database cannot be opened")?;
        let database = Arc::new(database);
        let artifacts = Artifacts::open_local(dir.artifacts(), MAX_ARTIFACT_BYTES).await?;
        let cache: Arc<dyn Cache> = Arc::new(MokaCache::new(config.cache.max_bytes));
        let any_log: Arc<dyn EventLog> = log.clone();
        let any_state: Arc<dyn StateStore> = state.clone();

        let ingest = Arc::new(IngestService::new(any_log.clone(), config.ingest.clone()));
        let consumer =
            FeaturesConsumer::new(any_log.clone(), any_state.clone(), config.features.clone(), MEMBER);
        let fold = consumer.progress();
        tasks.spawn(fold_until(consumer, cancel.clone()));
        let features = Arc::new(FeaturesService::new(any_state.clone(), log.n_partitions(Topic::Events)));
        let archiver =
            Archiver::new(any_log.clone(), &artifacts, database.clone(), config.archive.clone(), MEMBER);
        tasks.spawn(archiver.clone().run(cancel.clone()));
        let projector = Arc::new(Projector::try_new(any_log.clone(), database.clone()).await?);
        projector.start(&tasks, &cancel);

        let slot = Arc::new(SnapshotSlot::default());
        if let Some(snapshot) = snapshots::load_best(&artifacts, &database).await? {
            slot.install(Arc::new(snapshot));
        }
        tasks.spawn(snapshots::follow(artifacts.clone(), database.clone(), slot.clone(), cancel.clone()));
        let retrieval = RetrievalService::start(
            config.retrieval.clone(),
            slot.clone(),
            any_log.clone(),
            any_state.clone(),
            &tasks,
            &cancel,
        )
        .await?;
        let ranking = Arc::new(RankingService::new(slot.clone(), std::collections::HashMap::new()));
        let first_items = database.list_items(None, None, FIRST_ITEMS).await?;
        let app = Arc::new(App {
            config: config.gateway.clone(),
            ingest: ingest.clone(),
            features,
            retrieval: retrieval.clone(),
            ranking,
            database: database.clone(),
            cache,
            answers: AnswerLog::start(ingest.clone(), config.gateway.answer_queue, &tasks),
            projector,
            item_locks: ItemLocks::default(),
            last_good: RwLock::new(first_items.into_iter().map(Arc::<Item>::new).collect()),
        });
        let readiness = Arc::new(Readiness::new(&PARTS));
        let system = Self {
            config,
            log,
            database,
            artifacts,
            snapshots: slot,
            ingest,
            fold,
            archiver,
            retrieval,
            app,
            readiness,
            state,
            tasks,
            cancel,
            _dir: dir,
        };
        system.folded().await?;
        system.report_readiness().await?;
        Ok(system)
    }

    /// Returns when all that the log holds now is folded into the online state.
    ///
    /// # Errors
    /// If the fold makes no end within [`CATCH_UP`].
    pub(crate) async fn folded(&self) -> Result<()> {
        let is_done = self.fold.wait_until_caught_up(CATCH_UP).await?;
        anyhow::ensure!(is_done, "the online state did not catch up with the log within {CATCH_UP:?}");
        Ok(())
    }

    /// Tells `/readyz` what is there by now.
    pub(crate) async fn report_readiness(&self) -> Result<()> {
        if self.database.count_items().await? > 0 {
            self.readiness.set_ready("catalogue");
        } else {
            self.readiness.set_missing("catalogue", "no items yet");
        }
        if self.snapshots.current().is_some() {
            self.readiness.set_ready("snapshot");
        } else {
            self.readiness.set_missing("snapshot", "nothing is trained yet");
        }
        Ok(())
    }

    /// The address that this process listens on by its configuration.
    pub(crate) fn address(config: &Config, port: Option<u16>) -> SocketAddr {
        SocketAddr::new(config.server.bind, port.unwrap_or(config.server.port))
    }

    /// Serves API and shop on `listener` until the system stops.
    pub(crate) fn serve(&self, listener: TcpListener) -> Result<JoinHandle<std::io::Result<()>>> {
        let address = listener.local_addr()?;
        let mut options = ServerOptions::default();
        if self.config.server.workers > 0 {
            options.workers = self.config.server.workers;
        }
        let health =
            waggle_http::health::configure(self.readiness.clone(), waggle_http::telemetry::metrics_handle());
        let ingest = waggle_ingest_role::configure(self.ingest.clone());
        let gateway = waggle_gateway_role::configure(self.app.clone());
        let shop = if self.config.web.enabled { Some(self.shop(address)?) } else { None };
        let routes = move |config: &mut actix_web::web::ServiceConfig| {
            health(config);
            ingest(config);
            gateway(config);
            if let Some(shop) = shop {
                waggle_web_role::configure(shop)(config);
            }
        };
        let server = waggle_http::serve(listener, options, routes, self.cancel.child_token());
        Ok(tokio::spawn(server))
    }

    fn shop(&self, address: SocketAddr) -> Result<Shop> {
        Ok(Shop::try_new(ShopConfig {
            api_base: format!("http://{address}"),
            name: self.config.web.name.clone(),
            ..ShopConfig::default()
        })?)
    }

    /// Stops in order: listener and requests, consumers with their batch in hand, then the stores.
    pub(crate) async fn stop(self, server: Option<JoinHandle<std::io::Result<()>>>) -> Result<()> {
        self.cancel.cancel();
        if let Some(server) = server {
            server.await.context("the server panicked")??;
        }
        drop(self.app);
        self.tasks.close();
        if tokio::time::timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "some tasks did not end within {STOP:?}; what they had acknowledged is in the log"
            );
        }
        self.state.checkpoint().await?;
        self.log.close().await;
        self.database.close().await;
        Ok(())
    }
}

/// Folds until cancelled. A fold that is fenced off has lost its partition to another owner and must not go on.
async fn fold_until(consumer: FeaturesConsumer, cancel: CancellationToken) {
    if let Err(e) = consumer.run(cancel).await {
        tracing::error!(error = %e, "the fold stopped; answers grow stale until a restart");
    }
}
