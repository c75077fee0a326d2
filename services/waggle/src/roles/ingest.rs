//! Events to the log. Needs the log alone.

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use anyhow::Result;
use waggle_ingest_role::IngestService;

use crate::{config::Config, stores::Stores};

pub(crate) struct IngestRole {
    pub(crate) service: Arc<IngestService>,
}

impl IngestRole {
    pub(crate) async fn open(stores: &Stores, config: &Config) -> Result<Self> {
        let service = IngestService::new(stores.log().await?, config.ingest.clone());
        Ok(Self { service: Arc::new(service) })
    }

    pub(crate) fn routes(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + use<> {
        waggle_ingest_role::configure(self.service.clone())
    }
}
