//! PostgreSQL: the distribution's binaries on a cluster of our own.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{native::Place, process};
use crate::tools;

/// Who runs the server when root starts it, because it refuses to be run by root. Debian's package brings this user.
const USER: &str = "postgres";
/// Owner and name of the database.
const NAME: &str = "waggle";

pub(super) fn missing_packages() -> Vec<&'static str> {
    if bin().is_some() { Vec::new() } else { vec!["postgresql"] }
}

pub(super) fn prepare(place: &Place<'_>) -> Result<()> {
    let data = place.data();
    // The last thing that is written; what `initdb` leaves when it is interrupted is no cluster.
    if data.join("initialised").is_file() {
        return end_last_run(&data);
    }
    super::folder::remove(&data)?;
    fs::create_dir(&data)?;
    let runner = Runner::for_folder(&data)?;
    let mut command = runner.command("initdb")?;
    command.arg("-D").arg(&data).args(["--username", NAME, "--auth=trust"]);
    // Whatever the machine's locale is, texts sort by bytes.
    command.args(["--encoding=UTF8", "--locale=C", "--no-instructions"]);
    let output = command.output().context("initdb cannot be started")?;
    if !output.status.success() {
        bail!("initdb ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    fs::write(data.join("initialised"), b"")?;
    Ok(())
}

/// Clears what a killed server leaves behind: children that have not noticed yet, and the file that names it, which
/// keeps the next one from starting for as long as anything has that number, be it a zombie that nobody waits for.
fn end_last_run(data: &Path) -> Result<()> {
    process::kill_all_in(data)?;
    match fs::remove_file(data.join("postmaster.pid")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

pub(super) fn command(place: &Place<'_>) -> Result<Command> {
    let data = place.data();
    let mut command = Runner::for_folder(&data)?.command("postgres")?;
    command.arg("-D").arg(&data).args(["-p", &place.ports.postgres.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        // A socket's path has a limit that a target folder may pass.
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=64MB",
        "logging_collector=off",
    ] {
        command.args(["-c", setting]);
    }
    command.current_dir("/");
    Ok(command)
}

/// Whether it answers a query.
pub(super) fn is_ready(place: &Place<'_>) -> bool {
    sql(place, "select 1").is_ok()
}

/// Our database, if it is not there yet.
pub(super) fn create_database(place: &Place<'_>) -> Result<()> {
    if sql(place, &format!("select 1 from pg_database where datname = '{NAME}'"))?.is_empty() {
        sql(place, &format!("create database {NAME}"))?;
    }
    Ok(())
}

/// From `postgres (PostgreSQL) 15.18 (…)`.
pub(super) fn version() -> Option<String> {
    let output = Command::new(bin()?.join("postgres")).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).split_whitespace().nth(2).map(ToOwned::to_owned)
}

/// What a statement prints, without decoration.
fn sql(place: &Place<'_>, statement: &str) -> Result<String> {
    let psql = bin().context("PostgreSQL is not installed")?.join("psql");
    let mut command = Command::new(psql);
    command.args(["-h", "127.0.0.1", "-p", &place.ports.postgres.to_string(), "-U", NAME, "-d", "postgres"]);
    // Nobody's settings but ours.
    command.args(["-X", "-w", "-At", "-c", statement]).env("PGCONNECT_TIMEOUT", "2").stdin(Stdio::null());
    let output = command.output().context("psql cannot be started")?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The folder of the server's programs, which distributions keep off the path: the newest version there is.
fn bin() -> Option<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("psql").is_file())
        .max_by_key(|(version, _)| *version)
        .map(|(_, bin)| bin);
    debian.or_else(|| Some(tools::find_on_path("initdb")?.parent()?.to_owned()))
}

/// As whom the server's programs run.
enum Runner {
    /// As we do.
    Ourselves,
    /// As [`USER`]. If a folder above is closed to that user (root's home is), it gets the one right it needs to pass.
    Other { may_pass: bool },
}

impl Runner {
    /// Hands the folder over where need be.
    fn for_folder(data: &Path) -> Result<Self> {
        if !tools::is_root() {
            return Ok(Self::Ourselves);
        }
        let (uid, gid) = user_ids(USER)?;
        if fs::metadata(data)?.uid() != uid {
            chown(data, Some(uid), Some(gid))?;
        }
        let can_pass = Self::Other { may_pass: false }.prefix().args(["test", "-w"]).arg(data).status();
        Ok(Self::Other { may_pass: !can_pass.context("setpriv cannot be started")?.success() })
    }

    fn command(&self, program: &str) -> Result<Command> {
        let program = bin().context("PostgreSQL is not installed")?.join(program);
        if matches!(self, Self::Ourselves) {
            return Ok(Command::new(program));
        }
        let mut command = self.prefix();
        command.arg(program).current_dir("/");
        Ok(command)
    }

    fn prefix(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
        if matches!(self, Self::Other { may_pass: true }) {
            command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]);
        }
        command
    }
}

fn user_ids(user: &str) -> Result<(u32, u32)> {
    let id = |flag: &str| -> Result<u32> {
        let output = Command::new("id").args([flag, user]).output().context("id cannot be started")?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse()
            .with_context(|| format!("there is no user {user}, who runs PostgreSQL when root starts it"))
    };
    Ok((id("-u")?, id("-g")?))
}
