//! Events to the log. Needs the log alone, and the brokers of the topics that others fill.

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use anyhow::{Result, anyhow};
use utoipa::{OpenApi as _, openapi::OpenApi};
use waggle_ingest_role::{
    IngestService,
    follower::{Intake, follow},
    mapping::Mapping,
};

use crate::{config::Config, process::Process, stores::Stores};

pub(crate) struct IngestRole {
    pub(crate) service: Arc<IngestService>,
}

impl IngestRole {
    pub(crate) async fn open(stores: &Stores, config: &Config) -> Result<Self> {
        let service = IngestService::new(stores.log().await?, config.ingest.clone());
        Ok(Self { service: Arc::new(service) })
    }

    /// Starts to read the topics that others fill. They may be away, or not there yet: that is tried again.
    ///
    /// # Errors
    /// A mapping that cannot work.
    pub(crate) async fn follow_topics(&self, process: &Process, config: &Config) -> Result<()> {
        for mapping in mappings(config)? {
            let intake = Intake::new(self.service.clone(), process.stores.log().await?, mapping);
            process.tasks.spawn(follow(intake, config.log.kafka.clone(), process.working.clone()));
        }
        Ok(())
    }

    /// Describes [`routes`](Self::routes).
    pub(crate) fn document() -> OpenApi {
        waggle_ingest_role::routes::Document::openapi()
    }

    pub(crate) fn routes(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + use<> {
        waggle_ingest_role::configure(self.service.clone())
    }
}

/// Of `[[ingest.topics]]`.
///
/// # Errors
/// A mapping that cannot work.
pub(crate) fn mappings(config: &Config) -> Result<Vec<Mapping>> {
    let topics = config.ingest.topics.iter().cloned();
    topics.map(|topic| Mapping::try_new(topic).map_err(|detail| anyhow!(detail))).collect()
}
