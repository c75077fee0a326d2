//! All roles in one process, with what whoever imports, trains or measures needs of each.

use std::{net::TcpListener, sync::Arc};

use actix_web::web::ServiceConfig;
use anyhow::Result;

use crate::{
    config::Config,
    process::{Process, Server},
    roles::{FeaturesRole, GatewayRole, IngestRole, Roles},
    stores::Patience,
};

/// Every role, wired.
pub(crate) struct System {
    pub(crate) config: Arc<Config>,
    pub(crate) process: Process,
    pub(crate) ingest: IngestRole,
    pub(crate) features: FeaturesRole,
    pub(crate) gateway: GatewayRole,
}

impl System {
    /// Opens the stores, starts every role, and returns when the state has caught up with the log.
    ///
    /// # Errors
    /// Names the store that cannot be opened and why, at once.
    pub(crate) async fn start(config: Config, listener: &TcpListener) -> Result<Self> {
        let config = Arc::new(config);
        let process = Process::new(&config, &Roles::all(), listener, Patience::None)?;
        let ingest = IngestRole::open(&process.stores, &config).await?;
        ingest.follow_topics(&process, &config).await?;
        let features = FeaturesRole::start(&process, &config).await?;
        let gateway = GatewayRole::start(&process, &config, &ingest).await?;
        features.folded().await?;
        Ok(Self { config, process, ingest, features, gateway })
    }

    /// Serves API and shop on `listener` until the system stops.
    pub(crate) fn serve(&self, listener: TcpListener) -> Result<Server> {
        let ingest = self.ingest.routes();
        let gateway = self.gateway.routes(&self.config.web, self.process.address())?;
        let routes = move |config: &mut ServiceConfig| {
            ingest(config);
            gateway(config);
        };
        Ok(self.process.serve(listener, routes, [IngestRole::document(), GatewayRole::document()]))
    }

    pub(crate) async fn stop(self, server: Option<Server>) -> Result<()> {
        let Self { process, ingest, features, gateway, .. } = self;
        process.stop(server, (ingest, features, gateway)).await
    }
}
