//! The public API, with retrieval, ranking, the catalogue's projector and the shop in the same process. Needs every store.

use std::{
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::Duration,
};

use actix_web::web::ServiceConfig;
use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use utoipa::{OpenApi as _, openapi::OpenApi};
use waggle_features_role::{FeaturesService, Progress, upkeep::GRACE};
use waggle_gateway_role::{
    AnswerLog, App, Flights, ForgetTimes, Held, ItemLocks, Placements, Projector, canary::measure_freshness,
};
use waggle_http::Readiness;
use waggle_model::Item;
use waggle_models::SnapshotSlot;
use waggle_ranking_role::RankingService;
use waggle_retrieval_role::RetrievalService;
use waggle_stores::Database;
use waggle_web_role::{Shop, ShopConfig};

use super::{IngestRole, placements};
use crate::{
    config::{Config, StateKind, WebConfig},
    process::Process,
    snapshots,
};

/// Items kept for the last rung before anything has been trending.
const FIRST_ITEMS: usize = 200;
/// How often it is looked whether catalogue and snapshot are there, until they are.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct GatewayRole {
    pub(crate) app: Arc<App>,
    pub(crate) retrieval: Arc<RetrievalService>,
    pub(crate) snapshots: Arc<SnapshotSlot>,
    missing: Missing,
}

impl GatewayRole {
    /// Reads the whole catalogue and the promoted snapshot. Answers and catalogue changes go to the log by `ingest`.
    pub(crate) async fn start(process: &Process, config: &Config, ingest: &IngestRole) -> Result<Self> {
        let Process { stores, tasks, working, readiness, .. } = process;
        let (log, state) = (stores.log().await?, stores.state().await?);
        let (database, artifacts) = (stores.database().await?, stores.artifacts().await?);
        // The fold may run in another process, so its progress is looked up in the state.
        let fold = Arc::new(Progress::new(log.clone(), state.clone()));
        let features = Arc::new(FeaturesService::new(state.clone(), fold));
        let projector = Arc::new(Projector::try_new(log.clone(), database.clone()).await?);
        projector.start(tasks, working);

        let in_force =
            Placements::try_new(config.placements.clone()).map_err(|detail| anyhow::anyhow!(detail))?;
        let slot = Arc::new(SnapshotSlot::default());
        match snapshots::load_best(artifacts, &database).await {
            Ok(Some(snapshot)) => snapshots::install(&slot, snapshot),
            Ok(None) => {}
            // Whoever follows the registry tries again.
            Err(e) if stores.waits() && snapshots::is_of_place(&e) => {
                warn!("no snapshot can be read yet: {e:#}");
            }
            Err(e) => return Err(e),
        }
        tasks.spawn(snapshots::follow(artifacts.clone(), database.clone(), slot.clone(), working.clone()));
        let retrieval = RetrievalService::start(
            config.retrieval.clone(),
            config.catalog.schema()?,
            slot.clone(),
            log.clone(),
            state,
            tasks,
            working,
        )
        .await?;
        let ranking = Arc::new(RankingService::new(slot.clone()));
        let first_items = database.list_items(None, None, FIRST_ITEMS).await?;
        let app = Arc::new(App {
            config: config.gateway.clone(),
            catalog: config.catalog.clone(),
            placements: Arc::new(in_force),
            ingest: ingest.service.clone(),
            features,
            retrieval: retrieval.clone(),
            ranking,
            held: Held::new(log.clone(), database.clone(), artifacts.clone(), forget_times(config)),
            database: database.clone(),
            cache: stores.cache().await?,
            flights: Flights::default(),
            answers: AnswerLog::start(ingest.service.clone(), config.gateway.answer_queue, tasks),
            projector,
            item_locks: ItemLocks::default(),
            last_good: RwLock::new(first_items.into_iter().map(Arc::<Item>::new).collect()),
        });
        let missing = Missing { readiness: readiness.clone(), database, snapshots: slot.clone() };
        missing.report().await?;
        if config.canary.every_ms > 0 {
            let every = Duration::from_millis(config.canary.every_ms.into());
            tasks.spawn(measure_freshness(app.clone(), log, every, working.clone()));
        }
        tasks.spawn(missing.clone().report_until_ready(working.clone()));
        tasks.spawn(placements::follow(config.clone(), app.clone(), working.clone()));
        Ok(Self { app, retrieval, snapshots: slot, missing })
    }

    /// Tells `/readyz` at once what is there by now.
    pub(crate) async fn report_readiness(&self) -> Result<()> {
        self.missing.report().await.map(drop)
    }

    /// Describes the API.
    pub(crate) fn document() -> OpenApi {
        waggle_gateway_role::routes::Document::openapi()
    }

    /// Routes of the API, and of the shop where it is wanted; `address` is where this process itself reaches the API.
    pub(crate) fn routes(
        &self,
        web: &WebConfig,
        address: SocketAddr,
    ) -> Result<impl FnOnce(&mut ServiceConfig) + Clone + Send + use<>> {
        let api = waggle_gateway_role::configure(self.app.clone());
        let shop = if web.enabled { Some(shop(web, address)?) } else { None };
        Ok(move |config: &mut ServiceConfig| {
            api(config);
            if let Some(shop) = shop {
                waggle_web_role::configure(shop)(config);
            }
        })
    }
}

/// How long an answer may lie in the cache.
fn kept_answers(config: &Config) -> Duration {
    let gateway = &config.gateway;
    let longest_ttl = config.placements.values().filter_map(|placement| placement.cache_ttl_s).max();
    let ttl = gateway.cache_ttl().max(Duration::from_secs(longest_ttl.unwrap_or(0)));
    gateway.answer_retention().max(ttl + gateway.cache_stale())
}

/// Services of one installation read one configuration, so what the features role does is known here.
fn forget_times(config: &Config) -> ForgetTimes {
    let seconds = |s: u32| Duration::from_secs(s.max(1).into());
    ForgetTimes {
        archived: seconds(config.archive.max_age_s),
        upkeep: seconds(config.archive.upkeep_every_s),
        grace: GRACE,
        checkpoint: match config.state.kind {
            StateKind::Memory => Some(seconds(config.features.checkpoint_every_s)),
            StateKind::Redis => None,
        },
        answers: kept_answers(config),
    }
}

fn shop(web: &WebConfig, address: SocketAddr) -> Result<Shop> {
    Ok(Shop::try_new(ShopConfig {
        api_base: format!("http://{address}"),
        name: web.name.clone(),
        ..ShopConfig::default()
    })?)
}

/// What a new installation lacks at first: it may be imported and trained by another process.
#[derive(Clone)]
struct Missing {
    readiness: Arc<Readiness>,
    database: Arc<Database>,
    snapshots: Arc<SnapshotSlot>,
}

impl Missing {
    /// Tells `/readyz` what is there by now; true if everything is.
    async fn report(&self) -> Result<bool> {
        let has_items = self.database.count_items().await? > 0;
        let has_snapshot = self.snapshots.current().is_some();
        let parts =
            [("catalogue", has_items, "no items yet"), ("snapshot", has_snapshot, "nothing is trained yet")];
        for (part, is_there, why) in parts {
            if is_there {
                self.readiness.set_ready(part);
            } else {
                self.readiness.set_missing(part, why);
            }
        }
        Ok(has_items && has_snapshot)
    }

    async fn report_until_ready(self, cancel: CancellationToken) {
        // A database that cannot be asked now is asked again.
        while !self.report().await.unwrap_or(false) && !cancel.is_cancelled() {
            cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        }
    }
}
