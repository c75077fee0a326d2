//! Where a command's data comes from: a public dataset by name, or the simulator.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result};
use waggle_datasets::{CleaningReport, Dataset, DatasetError, find, online_retail};
use waggle_model::{Event, Timestamp};
use waggle_simulator::{Market, SimulatorParams};

use crate::{
    cli::{DataName, Global, SimulatorArgs, UsageError},
    import::Import,
    progress::Steps,
};

/// Events of a simulated market that are made before they are taken.
const EVENTS_AHEAD: usize = 10_000;

/// Data with times as their source gives them (or, simulated, ending now).
pub(super) enum Source {
    OnlineRetail(Box<Dataset>),
    Simulated(Box<Market>),
}

/// Where to look.
pub(super) struct Wanted<'a> {
    pub(super) data: DataName,
    pub(super) from: Option<&'a Path>,
    pub(super) simulator: &'a SimulatorArgs,
    pub(super) global: &'a Global,
    pub(super) dir: &'a Path,
}

impl Wanted<'_> {
    /// The data in a few words, the same for the same data.
    pub(super) fn describe(&self) -> String {
        let defaults = SimulatorParams::default();
        match (self.data, self.from) {
            (DataName::Sim, _) => format!(
                "sim of {} items, {} shoppers, seed {}",
                self.simulator.items.unwrap_or(defaults.n_items),
                self.simulator.users.unwrap_or(defaults.n_users),
                self.simulator.seed
            ),
            (DataName::OnlineRetail, None) => "online-retail".to_owned(),
            (DataName::OnlineRetail, Some(path)) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
                format!("online-retail from {}", path.display())
            }
        }
    }

    /// The files of a dataset; `None` for the simulator.
    ///
    /// # Errors
    /// [`UsageError`] for flags that do not go together, [`DatasetError`] if there are no files.
    pub(super) fn files(&self) -> Result<Option<PathBuf>> {
        match self.data {
            DataName::Sim if self.from.is_some() => {
                Err(UsageError("--from goes with a dataset, not with --data sim".to_owned()).into())
            }
            DataName::Sim => Ok(None),
            DataName::OnlineRetail => {
                if self.simulator.items.is_some() || self.simulator.users.is_some() {
                    let detail = "--items and --users size the simulated market: they go with --data sim";
                    return Err(UsageError(detail.to_owned()).into());
                }
                let found = find("online-retail", self.from, self.global.data_dir.as_deref(), self.dir);
                Ok(Some(found?))
            }
        }
    }

    /// Reads the data.
    ///
    /// # Errors
    /// Those of [`files`](Self::files), and of the reader.
    pub(super) async fn load(&self, steps: &std::sync::Arc<Steps>) -> Result<Source> {
        match self.files()? {
            Some(path) => read_online_retail(path, steps.clone()).await,
            None => self.simulate(steps).await,
        }
    }

    /// The simulated market of the size asked for.
    pub(super) async fn simulate(&self, steps: &Steps) -> Result<Source> {
        let defaults = SimulatorParams::default();
        let params = SimulatorParams {
            n_items: self.simulator.items.unwrap_or(defaults.n_items),
            n_users: self.simulator.users.unwrap_or(defaults.n_users),
            seed: self.simulator.seed,
            ..defaults
        };
        params.validate().map_err(|e| UsageError(e.to_string()))?;
        steps.begin("simulated market", 0);
        let market = tokio::task::spawn_blocking(move || Market::new(params)).await??;
        let (n_items, n_users) = (market.params().n_items, market.params().n_users);
        steps.finish(&format!("{n_items} items, {n_users} shoppers, seed {}", self.simulator.seed));
        Ok(Source::Simulated(Box::new(market)))
    }
}

/// Whether the error only says that the files are not here.
pub(super) fn is_absent(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<DatasetError>(), Some(DatasetError::NotFound { .. }))
}

impl Source {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::OnlineRetail(_) => "online-retail",
            Self::Simulated(_) => "sim",
        }
    }

    pub(super) fn report(&self) -> Option<&CleaningReport> {
        match self {
            Self::OnlineRetail(dataset) => Some(&dataset.report),
            Self::Simulated(_) => None,
        }
    }

    /// Items, people and events, with times such that the newest event is a minute old at `now`.
    pub(super) fn into_parts(self, now: Timestamp) -> Import {
        match self {
            Self::OnlineRetail(mut dataset) => {
                dataset.shift_newest_before(now);
                Import {
                    n_events: dataset.events.len() as u64,
                    items: std::mem::take(&mut dataset.items),
                    users: std::mem::take(&mut dataset.users),
                    events: Box::new(dataset.into_log_events()),
                }
            }
            Self::Simulated(market) => {
                let end = now.shifted_by_millis(-60_000);
                Import {
                    n_events: market.events(end).count() as u64,
                    items: market.items(end),
                    users: market.users(),
                    events: Box::new(made_meanwhile(market, end)),
                }
            }
        }
    }
}

/// The market's events, made by a thread that is a little ahead of whoever takes them: all of them at once would be most
/// of the memory of an import.
fn made_meanwhile(market: Box<Market>, end: Timestamp) -> impl Iterator<Item = Event> + Send {
    let (give, take) = mpsc::sync_channel(EVENTS_AHEAD);
    thread::spawn(move || {
        // Until all are made, or nobody wants more.
        market.events(end).all(|event| give.send(event).is_ok());
    });
    take.into_iter()
}

async fn read_online_retail(path: PathBuf, steps: std::sync::Arc<Steps>) -> Result<Source> {
    steps.begin("read the invoices", 0);
    let reader = steps.clone();
    let read = move || online_retail::read(&path, &|done, total| reader.at(done, total));
    let dataset = tokio::task::spawn_blocking(read).await.context("the reader panicked")??;
    steps.finish(&format!(
        "{} purchased lines, {} people, {} products",
        dataset.report.purchases,
        dataset.users.len(),
        dataset.items.len()
    ));
    Ok(Source::OnlineRetail(Box::new(dataset)))
}
