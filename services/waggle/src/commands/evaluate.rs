//! `waggle evaluate`: quality on held-out data, of the models and of the system as it is served.

use std::{net::Ipv4Addr, sync::Arc};

use anyhow::{Context, Result};
use tokio::runtime::Handle;
use waggle_jobs::{
    TimeSplitReport, TrainParams, TrainingInput, evaluate_time_split, span, time_split::SplitContext,
};
use waggle_model::Timestamp;
use waggle_models::{Recommender, Snapshot};

use super::{public_data, source::Wanted};
use crate::{
    cli::{EvaluateArgs, Global, Protocol},
    config::Config,
    evaluation::{Served, html, report_text},
    import::{Import, import},
    process::Server,
    progress::{Steps, print, say, write_json, write_text},
    system::System,
    training::train_params,
};

pub(super) async fn run(config: Config, global: &Global, args: &EvaluateArgs) -> Result<()> {
    match args.protocol {
        Protocol::Time => over_time(config, global, args).await,
        Protocol::FixedSplit | Protocol::LeaveOneOut | Protocol::Strong | Protocol::ColdItems => {
            public_data::evaluate(args).await
        }
    }
}

async fn over_time(config: Config, global: &Global, args: &EvaluateArgs) -> Result<()> {
    waggle_http::telemetry::metrics_handle();
    let steps = Arc::new(Steps::new());
    let dir = config.dir.clone();
    let wanted =
        Wanted { data: args.data, from: args.from.as_deref(), simulator: &args.simulator, global, dir: &dir };
    let params = train_params(&config, args.simulator.seed);
    let parts = wanted.load(&steps).await?.into_parts(Timestamp::now());
    let users = parts.users;
    let mut input = TrainingInput { items: parts.items, events: parts.events.collect() };
    move_split_to_now(&mut input, &params)?;

    let job = {
        let (steps, runtime) = (steps.clone(), Handle::current());
        move || -> Result<TimeSplitReport> {
            let mut serving: Option<Serving> = None;
            let report = evaluate_time_split(
                &input,
                &params,
                Some(&mut |split| {
                    let started = runtime.block_on(Serving::start(&config, split, &users, &steps))?;
                    let served: Box<dyn Recommender> = Box::new(started.recommender(&runtime, split));
                    serving = Some(started);
                    Ok(vec![served])
                }),
                &*steps,
            );
            if let Some(serving) = serving {
                runtime.block_on(serving.stop())?;
            }
            Ok(report?)
        }
    };
    let report = tokio::task::spawn_blocking(job).await.context("the evaluation panicked")??;
    steps.finish("");
    print(report_text(&report).trim_end());
    if let Some(path) = &args.html {
        write_text(path, &html::of_time_split(&report))?;
    }
    if let Some(path) = &args.json {
        write_json(path, &report)?;
    }
    Ok(())
}

/// The served system lives now, so the split has to be now: the test window moves into the future.
fn move_split_to_now(input: &mut TrainingInput, params: &TrainParams) -> Result<()> {
    let (oldest, newest) = span(&input.events).context("the data holds no interactions")?;
    let split_at = newest - params.window_over(newest.since(oldest));
    let by_millis = Timestamp::now().as_millis() - split_at.as_millis();
    for event in &mut input.events {
        event.timestamp = event.timestamp.shifted_by_millis(by_millis);
    }
    for from in input.items.iter_mut().filter_map(|item| item.available_from.as_mut()) {
        *from = from.shifted_by_millis(by_millis);
    }
    Ok(())
}

/// A system of its own in a folder of its own, which has seen the past of a split and serves its snapshot over HTTP.
struct Serving {
    system: System,
    server: Server,
    url: String,
    // Removed when the system is gone.
    _folder: tempfile::TempDir,
}

impl Serving {
    async fn start(
        config: &Config,
        split: &SplitContext<'_>,
        users: &[(waggle_model::UserId, serde_json::Map<String, serde_json::Value>)],
        steps: &Steps,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("there is no place for a temporary folder")?;
        let listener = waggle_http::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let url = format!("http://{}", listener.local_addr()?);
        let system = System::start(config.embedded(folder.path().to_owned()), &listener).await?;
        let events = split.events.to_vec();
        let past = Import {
            items: split.items.to_vec(),
            users: users.to_vec(),
            n_events: events.len() as u64,
            events: Box::new(events.into_iter()),
        };
        import(&system, steps, past, false).await?;
        system.gateway.snapshots.install(Arc::new(Snapshot::clone(&split.snapshot)));
        let server = system.serve(listener)?;
        say(&format!("      the past of the split is served on {url}"));
        Ok(Self { system, server, url, _folder: folder })
    }

    fn recommender(&self, runtime: &Handle, split: &SplitContext<'_>) -> Served {
        Served {
            url: self.url.clone(),
            client: reqwest::Client::new(),
            runtime: runtime.clone(),
            vocabulary: Arc::new(split.vocabulary.clone()),
        }
    }

    async fn stop(self) -> Result<()> {
        self.system.stop(Some(self.server)).await
    }
}
