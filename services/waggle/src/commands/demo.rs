//! `waggle demo`: the whole system on real data, in one process.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use waggle_model::Timestamp;

use super::{
    source::{Source, Wanted, is_absent},
    stop_requested,
};
use crate::{
    cli::{DemoArgs, Global},
    config::Config,
    import::import,
    progress::{Steps, say},
    roles::Roles,
    system::System,
    training::{Training, indented, train_and_publish, train_params},
};

/// Key of the database's note that an import began, and at which moment: all times are relative to it.
const IMPORT_BEGAN: &str = "demo.import_began";
/// Key of the note of what was asked for, and of what was then imported (files, or the simulator instead of them).
const ASKED_FOR: &str = "demo.asked_for";
const IMPORT_OF: &str = "demo.import_of";
/// Key of the note that it is complete, and of which data.
const IMPORTED: &str = "demo.imported";

pub(super) async fn run(config: Config, global: &Global, args: &DemoArgs) -> Result<()> {
    waggle_http::telemetry::metrics_handle();
    // The port first: nobody wants to wait for an import to hear that it is taken.
    let port = args.port.unwrap_or_else(|| config.port(&Roles::all()));
    let listener = waggle_http::bind(SocketAddr::new(config.server.bind, port))?;
    let url = format!("http://{}", listener.local_addr()?);
    let dir_path = config.dir.clone();
    let wanted = Wanted {
        data: args.data,
        from: args.from.as_deref(),
        simulator: &args.simulator,
        global,
        dir: &dir_path,
    };
    if config.owns_folder() {
        say(&format!("waggle demo, everything in {}", dir_path.display()));
    } else {
        say(&format!("waggle demo, in the stores of the configuration under the prefix {}", config.prefix));
    }
    let steps = Arc::new(Steps::new());
    steps.begin("open", 0);
    let system = System::start(config, &listener).await?;
    let server = system.serve(listener)?;
    steps.finish(&format!("serving on {url} from now on"));

    let outcome = tokio::select! {
        prepared = prepare(&system, &steps, &wanted) => prepared.map(|()| true),
        stop = stop_requested() => stop.map(|()| false),
    };
    if let Ok(true) = outcome {
        welcome(&system, &steps, &url).await?;
        stop_requested().await?;
        say("stopping");
    }
    let stopped = system.stop(Some(server)).await;
    outcome.and(stopped)
}

/// Imports and trains what this folder does not have yet.
async fn prepare(system: &System, steps: &Arc<Steps>, wanted: &Wanted<'_>) -> Result<()> {
    let asked_for = wanted.describe();
    let database = &system.gateway.app.database;
    if let Some(present) = database.meta(ASKED_FOR).await? {
        check_same(&present, &asked_for)?;
    }
    if database.meta(IMPORTED).await?.is_none() {
        let now = Timestamp::now();
        let source = load(steps, wanted).await?;
        database.set_meta_if_absent(ASKED_FOR, &asked_for).await?;
        let began = database.set_meta_if_absent(IMPORT_BEGAN, &now.as_millis().to_string()).await?;
        let began = began.parse().map(Timestamp::from_millis).context("the note of the import is damaged")?;
        let is_resumed = began != now;
        // Without its files a dataset is replaced by the simulator; an import goes on with what it began with.
        let kind = source.kind();
        check_same(&database.set_meta_if_absent(IMPORT_OF, kind).await?, kind)?;
        import(system, steps, source.into_parts(began), is_resumed).await?;
        database.set_meta(IMPORTED, kind).await?;
    }
    if system.gateway.snapshots.current().is_none() {
        let training = Training {
            archiver: &system.features.archiver,
            artifacts: system.process.stores.artifacts().await?,
            database,
            is_first: true,
            params: train_params(&system.config, wanted.simulator.seed),
        };
        let snapshot = train_and_publish(&training, steps, true).await?;
        system.gateway.snapshots.install(Arc::new(snapshot));
    }
    system.gateway.report_readiness().await
}

/// A folder holds one market: other data in it would be mixed with what is there.
fn check_same(present: &str, wanted: &str) -> Result<()> {
    anyhow::ensure!(
        present == wanted,
        "this folder holds {present}, not {wanted}; choose another folder with --dir, or start with what it holds"
    );
    Ok(())
}

/// Reads the data, or falls back to the simulator when the default data cannot be had.
async fn load(steps: &Arc<Steps>, wanted: &Wanted<'_>) -> Result<Source> {
    match wanted.load(steps).await {
        Ok(source) => {
            if let Some(report) = source.report() {
                say(&indented(&report.to_string()));
            }
            Ok(source)
        }
        // Who named a path wants that path.
        Err(e) if is_absent(&e) && wanted.from.is_none() => {
            say("  ! Online Retail is not on this machine, so the shop opens with a simulated market; \
                 `waggle data fetch online-retail` downloads the real one.");
            wanted.simulate(steps).await
        }
        Err(e) => Err(e).context("the data cannot be imported"),
    }
}

/// The URL, and what to try next.
async fn welcome(system: &System, steps: &Steps, url: &str) -> Result<()> {
    let user = system.gateway.app.database.list_users(None, 1).await?.pop().map(|user| user.user_id);
    let user = user.map_or_else(|| "somebody".to_owned(), |id| id.to_string());
    let snapshot = system.gateway.snapshots.current();
    let version = snapshot.map_or_else(|| "none".to_owned(), |s| s.manifest.version.to_string());
    say(&format!(
        "
  The shop is open: {url}   (ready after {:.1} s, snapshot {version})

  Try next
    open {url} and switch \"shop as\" to a customer
    curl '{url}/v1/recommendations?user_id={user}&k=10'
    curl -X POST {url}/v1/events -H 'content-type: application/json' \\
         -d '{{\"events\":[{{\"type\":\"click\",\"user_id\":\"{user}\",\"item_id\":\"…\"}}]}}'
  Stop with Ctrl-C; the next start on the same --dir takes seconds.",
        steps.elapsed_s()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_same;

    #[test]
    fn a_folder_with_other_data_is_named_with_what_it_holds() {
        check_same("sim", "sim").unwrap();
        let error = check_same("sim", "online-retail").unwrap_err().to_string();
        assert!(error.contains("holds sim, not online-retail") && error.contains("--dir"), "{error}");
    }
}
