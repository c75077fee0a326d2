//! The peer: Serenade (Kersbergen, Sprangers, Schelter, "Serenade: low-latency session-based recommendation in e-commerce
//! at scale", SIGMOD 2022), nearest sessions and nothing else, by the authors' own program.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use waggle_datasets::{find, online_retail};
use waggle_model::{EventBody, InteractionKind};

use crate::{
    bench::server::{absolute, free_port, get},
    cli::Global,
    progress::say,
};

/// Settings of the published experiments, and one worker per processor.
const SETTINGS: [(&str, &str); 5] = [
    ("m_most_recent_sessions", "1500"),
    ("neighborhood_size_k", "500"),
    ("max_items_in_session", "4"),
    ("num_items_to_recommend", "21"),
    ("idf_weighting", "1"),
];
/// Of its search for settings.
const SEARCH: &str = r#"[hyperparam]
training_data_path = "train.txt"
test_data_path = "train.txt"
validation_data_path = "train.txt"
num_iterations = 1
save_records = false
out_path = "results.csv"
enable_business_logic = false
n_most_recent_sessions_range = [100, 2500]
neighborhood_size_k_range = [50, 1500]
last_items_in_session_range = [1, 20]
idf_weighting_range = [0, 5]
"#;
/// Newest items of a customer that requests are about, in turn: the session grows as they come.
const ITEMS_PER_CUSTOMER: usize = 4;
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct Serenade {
    child: Child,
    pub(super) url: String,
    /// A path for each request that may be asked, one per line.
    pub(super) paths: String,
}

impl Serenade {
    /// Writes the baskets of Online Retail as its program wants them, and starts it on them.
    ///
    /// # Errors
    /// When the data is not there or the program stops.
    pub(super) fn start(program: &Path, global: &Global, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let data = find("online-retail", None, global.data_dir.as_deref(), dir)?;
        let n_baskets = write_baskets(&data, dir)?;
        let port = free_port()?;
        write_settings(dir, port)?;
        let log = File::create(dir.join("serenade.log"))?;
        let mut command = Command::new(absolute(program)?);
        command.arg("serenade.toml").current_dir(dir).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        say(&format!("serenade on {n_baskets} baskets in {}", dir.display()));
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let paths = absolute(&dir.join("paths.txt"))?.display().to_string();
        let mut peer = Self { child, url: format!("http://127.0.0.1:{port}"), paths };
        let started = Instant::now();
        while get(port, "/internal/prometheus").is_err() {
            if let Some(status) = peer.child.try_wait()? {
                bail!("serenade stopped with {status}: see {}", dir.join("serenade.log").display());
            }
            if started.elapsed() > PATIENCE {
                bail!("serenade was not ready within {PATIENCE:?}");
            }
            thread::sleep(LOOK);
        }
        Ok(peer)
    }
}

impl Drop for Serenade {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Every invoice is a session; items are numbers there.
fn write_baskets(data: &Path, dir: &Path) -> Result<usize> {
    let dataset = online_retail::read(data, &|_, _| {})?;
    let mut items = std::collections::HashMap::new();
    let mut orders = std::collections::HashMap::new();
    let mut newest: std::collections::BTreeMap<String, Vec<usize>> = std::collections::BTreeMap::new();
    let mut lines = "SessionId\tItemId\tTime\n".to_owned();
    for event in &dataset.events {
        let EventBody::Interaction(act) = &event.body else { continue };
        let (InteractionKind::Purchase, Some(order), Some(user)) =
            (&act.kind, &act.order_id, &event.person.user_id)
        else {
            continue;
        };
        let next = items.len() + 1;
        let item = *items.entry(act.item_id.clone()).or_insert(next);
        let next = orders.len() + 1;
        let order = *orders.entry(order.clone()).or_insert(next);
        writeln!(lines, "{order}\t{item}\t{}", event.timestamp.as_millis() / 1_000)?;
        newest.entry(user.to_string()).or_default().push(item);
    }
    fs::write(dir.join("train.txt"), lines)?;
    let mut paths = String::new();
    for (user, items) in &newest {
        for item in items.iter().rev().take(ITEMS_PER_CUSTOMER).rev() {
            writeln!(paths, "/v1/recommend?session_id={user}&user_consent=true&item_id={item}")?;
        }
    }
    fs::write(dir.join("paths.txt"), paths)?;
    Ok(orders.len())
}

fn write_settings(dir: &Path, port: u16) -> Result<()> {
    let workers = thread::available_parallelism()?;
    let mut settings = format!(
        "config_type = \"toml\"\n[server]\nhost = \"127.0.0.1\"\nport = {port}\nnum_workers = {workers}\n\
         [log]\nlevel = \"info\"\n[data]\ntraining_data_path = \"train.txt\"\n[logic]\nenable_business_logic = false\n[model]\n"
    );
    for (name, value) in SETTINGS {
        writeln!(settings, "{name} = {value}")?;
    }
    // Its program does not start without the section of its search for settings, which serving does not look at.
    settings += SEARCH;
    fs::write(dir.join("serenade.toml"), settings)?;
    Ok(())
}
