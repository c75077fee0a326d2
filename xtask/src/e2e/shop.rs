//! What the scenarios share: one shop on a folder of its own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Args, Data,
    http::Client,
    server::{Server, free_port},
};
use crate::{tools, workspace::Workspace};

/// What is sold.
pub(crate) enum Goods {
    /// The retail dataset, in this folder of datasets.
    OnlineRetail(PathBuf),
    /// A simulated market, small enough to be learned in seconds.
    Simulated,
}

pub(crate) struct Shop {
    /// The checkout, and where its builds lie.
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) binary: PathBuf,
    pub(crate) data: Goods,
    /// The shop's `--dir`.
    pub(crate) dir: PathBuf,
    pub(crate) logs: PathBuf,
    /// The browser's part of the end-to-end tests, and where it may work.
    pub(crate) browser_source: PathBuf,
    pub(crate) browser_work: PathBuf,
    pub(crate) in_ci: bool,
    pub(crate) wants_browser: bool,
    pub(crate) n_power_cuts: usize,
    /// Time to ready of the start that found an empty folder.
    pub(crate) first_start: Option<Duration>,
    server: Option<Server>,
    port: u16,
    n_runs: usize,
    scratch: Option<TempDir>,
    keep: bool,
    figures: Vec<(String, String)>,
}

impl Shop {
    pub(crate) fn try_new(workspace: &Workspace, args: &Args, binary: PathBuf, in_ci: bool) -> Result<Self> {
        let found = args.data_dir.as_ref().filter(|dir| dir.join("online-retail").is_dir());
        let data = match (args.data, found) {
            (Data::Sim, _) | (Data::Auto, None) => Goods::Simulated,
            (_, Some(dir)) => Goods::OnlineRetail(fs::canonicalize(dir)?),
            (Data::OnlineRetail, None) => {
                bail!("no folder online-retail in --data-dir (or $WAGGLE_DATA_DIR)")
            }
        };
        let work = workspace.target.join("e2e");
        let logs = work.join("logs");
        // Yesterday's logs would pass for today's.
        if logs.is_dir() {
            fs::remove_dir_all(&logs)?;
        }
        fs::create_dir_all(&logs)?;
        let scratch = tempfile::Builder::new().prefix("shop-").tempdir_in(&work)?;
        Ok(Self {
            root: workspace.root.clone(),
            target: workspace.target.clone(),
            binary,
            data,
            dir: scratch.path().join("data"),
            logs,
            browser_source: workspace.root.join("e2e"),
            browser_work: work,
            in_ci,
            wants_browser: args.wants_browser(),
            n_power_cuts: args.power_cuts,
            first_start: None,
            server: None,
            port: free_port()?,
            n_runs: 0,
            scratch: Some(scratch),
            keep: args.keep,
            figures: Vec::new(),
        })
    }

    /// The client of the running shop, which is opened first if need be.
    pub(crate) fn client(&mut self) -> Result<&Client> {
        Ok(&self.server()?.client)
    }

    pub(crate) fn server(&mut self) -> Result<&mut Server> {
        if self.server.is_none() {
            self.open()?;
        }
        self.server.as_mut().context("the shop was opened just now")
    }

    /// Starts the shop on its folder and waits until it is ready.
    pub(crate) fn open(&mut self) -> Result<Duration> {
        let (dir, port) = (self.dir.clone(), self.port);
        let mut server = self.start_on(&dir, port)?;
        let took = server.wait_ready(Self::READY_LIMIT)?;
        self.first_start.get_or_insert(took);
        self.server = Some(server);
        Ok(took)
    }

    /// Starts the shop again after its process was killed, on the same folder and port.
    pub(crate) fn reopen(&mut self) -> Result<Duration> {
        self.server = None;
        self.open()
    }

    /// Generous: the promise is a figure in the summary, this catches a start that hangs.
    pub(crate) const READY_LIMIT: Duration = Duration::from_secs(180);

    /// A server of the same goods on any folder.
    pub(crate) fn start_on(&mut self, dir: &Path, port: u16) -> Result<Server> {
        let args = self.args(dir);
        let log = self.next_log();
        Server::start(&self.binary, port, &args, &log)
    }

    /// Arguments of `waggle demo` besides the port.
    pub(crate) fn args(&self, dir: &Path) -> Vec<String> {
        let mut args: Vec<String> = match &self.data {
            Goods::OnlineRetail(from) => {
                let from = from.join("online-retail");
                ["--data", "online-retail", "--from", &from.to_string_lossy()].map(Into::into).into()
            }
            Goods::Simulated => {
                ["--data", "sim", "--items", "400", "--users", "600", "--seed", "7"].map(Into::into).into()
            }
        };
        args.extend(["--dir".to_owned(), dir.to_string_lossy().into_owned()]);
        args
    }

    /// Stops the shop the polite way, if it runs.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let status = server.stop()?;
        if !status.success() {
            bail!("a stop by SIGTERM ended with {status}; it wrote:\n{}", server.output());
        }
        Ok(())
    }

    /// A copy of the stopped shop's folder, to break.
    pub(crate) fn copy(&mut self, name: &str) -> Result<PathBuf> {
        if !self.dir.is_dir() {
            self.open()?;
        }
        self.stop()?;
        let copy = self.scratch_path().join(name);
        tools::copy_folder(&self.dir, &copy).context("copying the shop's folder")?;
        Ok(copy)
    }

    /// A file for the output of the next process.
    pub(crate) fn next_log(&mut self) -> PathBuf {
        self.n_runs += 1;
        self.logs.join(format!("{:03}.log", self.n_runs))
    }

    pub(crate) fn scratch_path(&self) -> &Path {
        self.scratch.as_ref().expect("the scratch folder lives as long as the shop").path()
    }

    pub(crate) fn figure(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        println!("   measured: {name}: {value}");
        self.figures.push((name.to_owned(), value));
    }

    pub(crate) fn take_figures(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.figures)
    }

    /// A person with a history.
    pub(crate) fn known_user(&mut self) -> Result<String> {
        if matches!(self.data, Goods::OnlineRetail(_)) {
            return Ok("17850".to_owned());
        }
        let users = self.client()?.get("/v1/users?limit=1")?;
        Ok(users["users"][0]["user_id"].as_str().context("the list of users is empty")?.to_owned())
    }

    /// The catalogue's items by category, read page by page until there are enough to choose from.
    pub(crate) fn catalogue(&mut self) -> Result<Catalogue> {
        const ENOUGH: usize = 1_000;
        let client = self.client()?;
        let (mut by_category, mut n_items, mut after) = (BTreeMap::<_, Vec<_>>::new(), 0, String::new());
        loop {
            let page = client.get(&format!("/v1/items?limit=200{after}"))?;
            for item in page["items"].as_array().context("a page without items")? {
                let id = item["item_id"].as_str().context("an item without id")?.to_owned();
                let category = item["category"].as_str().unwrap_or_default().to_owned();
                if item["hidden"] != true && item["in_stock"] != false {
                    by_category.entry(category).or_default().push((id, item.clone()));
                    n_items += 1;
                }
            }
            match page["next_after"].as_str() {
                Some(next) if n_items < ENOUGH => after = format!("&after={}", super::http::encoded(next)),
                _ => return Ok(Catalogue { by_category }),
            }
        }
    }

    /// Ends everything; the folder goes unless it is asked for.
    pub(crate) fn close(mut self, all_passed: bool) {
        self.server = None;
        let is_wanted = self.keep || (!all_passed && !self.in_ci);
        if is_wanted && let Some(scratch) = self.scratch.take() {
            println!("\n   the shop's folder stays at {}", scratch.keep().display());
        }
    }
}

impl Goods {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::OnlineRetail(dir) => format!("the retail dataset of {}", dir.display()),
            Self::Simulated => {
                "what the simulator makes up (no retail dataset in $WAGGLE_DATA_DIR)".to_owned()
            }
        }
    }
}

/// Items that may be shown, by category.
pub(crate) struct Catalogue {
    pub(crate) by_category: BTreeMap<String, Vec<(String, Value)>>,
}

impl Catalogue {
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.by_category.values().flatten().map(|(id, _)| id.as_str()).collect()
    }
}
