//! The server under test: this program again, in a process of its own.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use waggle_contracts::api::ItemPage;
use waggle_datasets::find;
use waggle_model::Item;

use crate::{
    cli::{DataName, Global, SimulatorArgs},
    config::Config,
    progress::say,
};

/// Import and training of a large market take their time.
const PATIENCE: Duration = Duration::from_secs(4 * 3_600);
const LOOK: Duration = Duration::from_millis(200);
const ANSWER: Duration = Duration::from_secs(5);
const ANYBODY: &str = "/v1/profile?user_id=somebody";
const CATALOGUE: &str = "/v1/items?limit=500";

/// Whose market is served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Market<'a> {
    pub(super) data: DataName,
    pub(super) simulator: &'a SimulatorArgs,
}

pub(super) struct Server {
    child: Child,
    pub(super) url: String,
    pub(super) port: u16,
}

/// Of the server's process, in MiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    /// All of it: anonymous, and pages of files that are mapped.
    pub(crate) resident_mib: f64,
    pub(crate) anonymous_mib: f64,
    pub(crate) of_files_mib: f64,
    /// The most that was resident since the start, or since [`Server::forget_peak`].
    pub(crate) peak_mib: f64,
}

impl Server {
    /// Starts `waggle demo` on `dir` and returns when it is ready.
    ///
    /// # Errors
    /// When it stops before that; its output is beside its folder.
    pub(super) fn start(config: &Config, global: &Global, market: Market<'_>, dir: &Path) -> Result<Self> {
        if market.data == DataName::OnlineRetail {
            // The demo would make do with a simulated market; a figure must not.
            find("online-retail", None, global.data_dir.as_deref(), dir)?;
        }
        fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        let port = free_port()?;
        let settings = dir.join("bench.toml");
        fs::write(&settings, toml::to_string(&config.embedded(absolute(dir)?))?)?;
        let log_path = dir.join("bench.log");
        let log = File::create(&log_path)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("demo").args(market.flags(global)).args(["--port", &port.to_string()]);
        command.arg("--config").arg(absolute(&settings)?).arg("--dir").arg(absolute(dir)?);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        say(&format!("waggle demo in {}, what it says in {}", dir.display(), log_path.display()));
        let child = command.spawn().context("the server cannot be started")?;
        let mut server = Self { child, url: format!("http://127.0.0.1:{port}"), port };
        server.wait_until_ready(&log_path)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, log_path: &Path) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                let said = fs::read_to_string(log_path).unwrap_or_default();
                bail!("the server stopped with {status}:\n{}", said.trim_end());
            }
            if get(self.port, "/readyz").is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        bail!("the server was not ready within {PATIENCE:?}")
    }

    /// As its metrics have it.
    pub(super) fn candidates_per_answer(&self) -> Result<f64> {
        let (_, metrics) = get(self.port, "/metrics")?;
        let sum = |name: &str| -> Option<f64> {
            let line = metrics.lines().find(|line| line.starts_with(name))?;
            line.rsplit_once(' ')?.1.parse().ok()
        };
        let (total, count) = (sum("waggle_answer_candidates_sum"), sum("waggle_answer_candidates_count"));
        total.zip(count).map(|(total, count)| total / count).context("the server does not count candidates")
    }

    /// Every item on offer, each as `take` makes it: a large catalogue is not kept whole.
    pub(super) fn catalogue<T>(&self, take: impl Fn(Item) -> T) -> Result<Vec<T>> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let page: ItemPage = get_json(self.port, &format!("{CATALOGUE}{after}"))?;
            let on_offer = page.items.into_iter().filter(|item| !item.hidden && item.in_stock);
            items.extend(on_offer.map(&take));
            match page.next_after {
                Some(id) => after = format!("&after={}", encoded(id.as_str())),
                None => return Ok(items),
            }
        }
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let mib = |field: &str| -> Option<f64> {
            let line = status.lines().find(|line| line.starts_with(field))?;
            Some(line.split_ascii_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
        };
        let read = |field| mib(field).with_context(|| format!("{path} has no {field}"));
        Ok(Memory {
            resident_mib: read("VmRSS:")?,
            anonymous_mib: read("RssAnon:")?,
            of_files_mib: read("RssFile:")?,
            peak_mib: read("VmHWM:")?,
        })
    }

    /// From now on the peak is that of what comes.
    pub(super) fn forget_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
    }

    /// The version that answers now.
    pub(super) fn snapshot(&self) -> Result<Option<String>> {
        let answer: Value = get_json(self.port, ANYBODY)?;
        Ok(answer["snapshot"].as_str().map(str::to_owned))
    }

    /// Asks it to stop and waits for it.
    pub(super) fn stop(mut self) -> Result<()> {
        let asked = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        ensure!(asked.success(), "the server cannot be asked to stop");
        let status = self.child.wait()?;
        ensure!(status.success(), "the server stopped with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only after a failure: `stop` has waited for it.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// `waggle evaluate` of the same market, its report in `json`.
pub(super) fn evaluate(global: &Global, market: Market<'_>, json: &Path) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["evaluate", "--protocol", "time"]).args(market.flags(global)).arg("--json").arg(json);
    let output = command.stdin(Stdio::null()).output().context("the evaluation cannot be started")?;
    ensure!(
        output.status.success(),
        "the evaluation ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}

impl Market<'_> {
    /// The name of its folder under `--dir`, which later runs use again.
    pub(super) fn folder(self) -> String {
        match self.data {
            DataName::OnlineRetail => "bench-serving-online-retail".to_owned(),
            DataName::Sim => {
                let size = |n: Option<u32>| n.map_or_else(|| "default".to_owned(), |n| n.to_string());
                let (items, users) = (size(self.simulator.items), size(self.simulator.users));
                format!("bench-serving-sim-{items}-items-{users}-users-seed-{}", self.simulator.seed)
            }
        }
    }

    /// The flags that choose it.
    fn flags(self, global: &Global) -> Vec<String> {
        let mut flags = vec!["--data".to_owned(), self.data.as_str().to_owned()];
        let simulator = self.simulator;
        flags.extend(["--seed".to_owned(), simulator.seed.to_string()]);
        for (flag, value) in [("--items", simulator.items), ("--users", simulator.users)] {
            flags.extend(value.map(|value| [flag.to_owned(), value.to_string()]).into_iter().flatten());
        }
        if let Some(data_dir) = &global.data_dir {
            flags.extend(["--data-dir".to_owned(), data_dir.display().to_string()]);
        }
        flags
    }
}

/// A path for a program that is started in another folder.
pub(super) fn absolute(path: &Path) -> Result<std::path::PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Status and body of one request.
pub(super) fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP")?;
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    let body = rest.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).context("no HTTP")?;
    Ok((status, body))
}

/// A body of JSON.
pub(super) fn get_json<T: DeserializeOwned>(port: u16, path: &str) -> Result<T> {
    let (status, body) = get(port, path)?;
    ensure!(status == 200, "{path} was answered with {status}: {body}");
    serde_json::from_str(&body).with_context(|| format!("the answer to {path} cannot be read"))
}

/// Safe as a value of a query.
pub(super) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
