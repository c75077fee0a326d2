//! What every process has, whatever its roles: stores, tasks, a listener, and an order of starting and stopping.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::web::ServiceConfig;
use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa::openapi::OpenApi;
use waggle_http::{Readiness, ServerOptions, docs};
use waggle_stores::background;

use crate::{
    config::Config,
    roles::Roles,
    stores::{Patience, Stores},
};

/// Time that tasks have to finish after the listener closed.
const STOP: Duration = Duration::from_secs(30);
/// Time that requests have to finish when the process goes over from waiting to serving.
const HAND_OVER: Duration = Duration::from_secs(1);

/// A process under way.
pub(crate) struct Process {
    pub(crate) stores: Stores,
    pub(crate) readiness: Arc<Readiness>,
    /// Of this process among its replicas.
    pub(crate) member: String,
    /// Owns every task of the roles; they end when `working` is cancelled.
    pub(crate) tasks: TaskTracker,
    pub(crate) working: CancellationToken,
    address: SocketAddr,
    options: ServerOptions,
    serving: CancellationToken,
}

impl Process {
    /// # Errors
    /// A folder that another process works on.
    pub(crate) fn new(
        config: &Arc<Config>,
        roles: &Roles,
        listener: &TcpListener,
        patience: Patience,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        // Whatever computes in parallel here may wait for requests; a second process of a test finds it done.
        rayon::ThreadPoolBuilder::new().start_handler(|_| background::stand_back()).build_global().ok();
        let readiness = Arc::new(Readiness::new(&roles.parts()));
        let mut options = ServerOptions::default();
        if config.server.workers > 0 {
            options.workers = config.server.workers;
        }
        Ok(Self {
            stores: Stores::new(config.clone(), readiness.clone(), patience)?,
            readiness,
            member: config.member.clone().unwrap_or_else(|| default_member(roles, address.port())),
            tasks: TaskTracker::new(),
            working: CancellationToken::new(),
            address,
            options,
            serving: CancellationToken::new(),
        })
    }

    /// Where this process is reached from its own machine.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `/healthz`, `/readyz` and `/metrics`, and 503 to everything else, until the guard is handed over.
    pub(crate) fn wait_on(&self, listener: &TcpListener) -> Result<Waiting> {
        let options = ServerOptions { workers: 1, drain: HAND_OVER, ..self.options.clone() };
        let health = self.health();
        let routes = move |config: &mut ServiceConfig| {
            health(config);
            waggle_http::health::configure_waiting(config);
        };
        let until = CancellationToken::new();
        let server = waggle_http::serve(listener.try_clone()?, options, routes, until.clone());
        Ok(Waiting { server: tokio::spawn(server), until: until.clone(), _until_dropped: until.drop_guard() })
    }

    /// Serves `routes`, which `documents` describe, beside the routes for machines until the process stops.
    pub(crate) fn serve(
        &self,
        listener: TcpListener,
        routes: impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
        documents: impl IntoIterator<Item = OpenApi>,
    ) -> Server {
        let (health, docs) = (self.health(), docs::configure(&docs::joined(documents)));
        let routes = move |config: &mut ServiceConfig| {
            health(config);
            docs(config);
            routes(config);
        };
        let server = waggle_http::serve(listener, self.options.clone(), routes, self.serving.clone());
        Server(tokio::spawn(server))
    }

    fn health(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static + use<> {
        waggle_http::health::configure(self.readiness.clone(), waggle_http::telemetry::metrics_handle())
    }

    /// Stops in order: not ready, listener and requests, `roles`, consumers with their batch in hand, then the stores.
    ///
    /// # Errors
    /// What could not be saved. Whatever had been acknowledged is in the log all the same.
    pub(crate) async fn stop<R>(self, server: Option<Server>, roles: R) -> Result<()> {
        self.readiness.set_missing("process", "stopping");
        self.serving.cancel();
        let served = match server {
            Some(Server(task)) => task.await.context("the server panicked").and_then(|served| Ok(served?)),
            None => Ok(()),
        };
        // The record of served answers is written to its end once nobody can add to it.
        drop(roles);
        self.working.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "some tasks did not end within {STOP:?}; what they had acknowledged is in the log"
            );
        }
        self.stores.close().await?;
        served
    }
}

/// A running server.
pub(crate) struct Server(JoinHandle<std::io::Result<()>>);

/// A server for the time in which the stores are not reached yet.
pub(crate) struct Waiting {
    server: JoinHandle<std::io::Result<()>>,
    until: CancellationToken,
    _until_dropped: tokio_util::sync::DropGuard,
}

impl Waiting {
    /// Ends it; whoever connects meanwhile is served by the next server on the listener.
    pub(crate) async fn hand_over(self) -> Result<()> {
        self.until.cancel();
        Ok(self.server.await.context("the waiting server panicked")??)
    }
}

/// Host, roles and port: the same after a restart, and another for every replica.
fn default_member(roles: &Roles, port: u16) -> String {
    let host = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host: String = host.chars().filter(|c| is_plain(*c)).take(60).collect();
    let roles = roles.to_string().replace(' ', "-");
    format!("{}-{roles}-{port}", if host.is_empty() { "localhost" } else { &host })
}
