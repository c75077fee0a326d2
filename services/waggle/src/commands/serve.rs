//! `waggle serve`: roles as a service, alone or together.

use std::{net::SocketAddr, sync::Arc};

use actix_web::web::ServiceConfig;
use anyhow::Result;

use super::stop_requested;
use crate::{
    cli::{RoleName, ServeArgs},
    config::{Config, StateKind},
    process::{Process, Server},
    progress::say,
    roles::{FeaturesRole, GatewayRole, IngestRole, Roles},
    stores::Patience,
};

pub(super) async fn run(config: Config, args: &ServeArgs) -> Result<()> {
    waggle_http::telemetry::metrics_handle();
    let roles = Roles::of(&args.roles);
    config.check_roles(&roles)?;
    let config = Arc::new(config);
    let address = SocketAddr::new(config.server.bind, args.port.unwrap_or_else(|| config.port(&roles)));
    let listener = waggle_http::bind(address)?;
    let process = Process::new(&config, &roles, &listener, Patience::Unbounded)?;

    // Whoever looks after services wants an answer from one that still waits for others.
    let waiting = if config.is_networked() { Some(process.wait_on(&listener)?) } else { None };
    let started = tokio::select! {
        started = Started::start(&process, &config, &roles) => Some(started?),
        stop = stop_requested() => { stop?; None }
    };
    if let Some(waiting) = waiting {
        waiting.hand_over().await?;
    }
    let Some(started) = started else { return process.stop(None, ()).await };

    let server = started.serve(&process, &config, listener)?;
    say(&format!("waggle {roles} answers on http://{}", process.address()));
    if !process.readiness.is_ready() {
        say(&format!("  still missing: {}", process.readiness.missing().join("; ")));
    }
    stop_requested().await?;
    process.stop(Some(server), started).await
}

/// The roles of this process.
struct Started {
    /// The gateway's way to the log, too.
    ingest: Option<IngestRole>,
    gateway: Option<GatewayRole>,
}

impl Started {
    async fn start(process: &Process, config: &Config, roles: &Roles) -> Result<Self> {
        let needs_ingest = roles.has(RoleName::Ingest) || roles.has(RoleName::Gateway);
        let ingest = if needs_ingest { Some(IngestRole::open(&process.stores, config).await?) } else { None };
        if let Some(ingest) = ingest.as_ref().filter(|_| roles.has(RoleName::Ingest)) {
            ingest.follow_topics(process, config).await?;
        }
        let features = match roles.has(RoleName::Features) {
            true => Some(FeaturesRole::start(process, config).await?),
            false => None,
        };
        let gateway = match &ingest {
            Some(ingest) if roles.has(RoleName::Gateway) => {
                Some(GatewayRole::start(process, config, ingest).await?)
            }
            _ => None,
        };
        // State in memory is as old as its checkpoint; in Redis it is as fresh as the others made it.
        if let Some(features) = features.filter(|_| config.state.kind == StateKind::Memory) {
            features.folded().await?;
        }
        Ok(Self { ingest, gateway })
    }

    fn serve(&self, process: &Process, config: &Config, listener: std::net::TcpListener) -> Result<Server> {
        let ingest = self.ingest.as_ref().map(IngestRole::routes);
        let gateway = match &self.gateway {
            Some(gateway) => Some(gateway.routes(&config.web, process.address())?),
            None => None,
        };
        let documents = [
            self.ingest.as_ref().map(|_| IngestRole::document()),
            self.gateway.as_ref().map(|_| GatewayRole::document()),
        ];
        let routes = move |config: &mut ServiceConfig| {
            if let Some(ingest) = ingest {
                ingest(config);
            }
            if let Some(gateway) = gateway {
                gateway(config);
            }
        };
        Ok(process.serve(listener, routes, documents.into_iter().flatten()))
    }
}
