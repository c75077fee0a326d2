//! One run of the binary.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::Method;

use super::http::Client;

/// How often the child and its readiness are looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long a clean stop may take.
const STOP: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) client: Client,
    pub(crate) url: String,
    log: PathBuf,
    started: Instant,
}

impl Server {
    /// Starts `binary demo --port … args`, its output going to `log`.
    pub(crate) fn start(binary: &Path, port: u16, args: &[String], log: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("demo").args(["--port", &port.to_string()]).args(args);
        Self::run(&mut command, port, log)
    }

    /// Starts a command that listens on `port`.
    pub(crate) fn run(command: &mut Command, port: u16, log: &Path) -> Result<Self> {
        let child = spawn(command, log)?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self { child, client: Client::try_new(&url)?, url, log: log.to_owned(), started: Instant::now() })
    }

    /// Waits until `/readyz` answers 200 and gives the time since the start.
    ///
    /// # Errors
    /// At once if the process ends, with what it wrote.
    pub(crate) fn wait_ready(&mut self, limit: Duration) -> Result<Duration> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status} before it was ready; it wrote:\n{}", self.output());
            }
            if self.client.send(Method::GET, "/readyz", None).is_ok_and(|reply| reply.status == 200) {
                return Ok(self.started.elapsed());
            }
            if self.started.elapsed() > limit {
                bail!("the server was not ready after {limit:?}; it wrote:\n{}", self.output());
            }
            thread::sleep(POLL);
        }
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// `kill -9`: no destructor runs, nothing is flushed.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("the server had ended by itself")?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop as a service manager does, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().context("kill cannot be started")?;
        if !sent.success() {
            bail!("the server had ended by itself; it wrote:\n{}", self.output());
        }
        wait(&mut self.child, STOP).with_context(|| format!("stopping the server:\n{}", self.output()))
    }

    /// The end of what it wrote.
    pub(crate) fn output(&self) -> String {
        tail(&self.log)
    }

    /// All it wrote.
    pub(crate) fn whole_output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; nothing is left to do about it either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that is expected to end by itself; gives its status and everything it wrote.
pub(crate) fn run_to_end(command: &mut Command, log: &Path, limit: Duration) -> Result<(ExitStatus, String)> {
    let mut child = spawn(command, log)?;
    let status = match wait(&mut child, limit) {
        Ok(status) => status,
        Err(error) => {
            child.kill()?;
            child.wait()?;
            return Err(error.context(format!("it wrote:\n{}", tail(log))));
        }
    };
    Ok((status, fs::read_to_string(log)?))
}

/// A port nobody listens on right now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.spawn().with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() > limit {
            bail!("the process still ran after {limit:?}");
        }
        thread::sleep(POLL);
    }
}

fn tail(log: &Path) -> String {
    const LINES: usize = 40;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("     | {line}\n")).collect()
}
