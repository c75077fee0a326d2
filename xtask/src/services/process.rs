//! A process that outlives us and is found again by the file that names it.

use std::{
    fs,
    io::Read,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::folder;

/// How often the end of a process is looked for.
const POLL: Duration = Duration::from_millis(10);

/// A process by number and start: a number alone is used again by whoever comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// In clock ticks since the system started.
    start: u64,
}

impl Process {
    /// The running process that a file names, if there is one.
    pub(crate) fn find(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let (pid, start) = text.trim().split_once(' ')?;
        let process = Self { pid: pid.parse().ok()?, start: start.parse().ok()? };
        process.is_alive().then_some(process)
    }

    /// Starts a command that goes on when we end and that no interrupt of our terminal reaches, its output added to
    /// `log`, and names it in `file`.
    pub(crate) fn spawn(command: &Command, log: &Path, file: &Path) -> Result<Self> {
        // A shell in between hands its child to init, so that whoever started it need not wait for it.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!"#, "sh"]).arg(log);
        shell.arg(command.get_program()).args(command.get_args()).process_group(0);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            shell.current_dir(dir);
        }
        let mut child =
            shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("sh cannot be started")?;
        let mut pid = String::new();
        child.stdout.take().context("sh has no output")?.read_to_string(&mut pid)?;
        child.wait()?;
        let pid: u32 = pid.trim().parse().with_context(|| format!("sh named no process: {pid:?}"))?;
        let start = stat(pid).map_or(0, |stat| stat.start);
        folder::write(file, format!("{pid} {start}\n").as_bytes())?;
        Ok(Self { pid, start })
    }

    pub(crate) fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start == self.start && stat.is_running)
    }

    /// Sends a signal, waits for the end, and ends it without asking when `patience` runs out. Says whether it had to.
    pub(crate) fn stop(&self, signal: &str, patience: Duration) -> Result<bool> {
        send(signal, &[self.pid])?;
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > patience {
                self.kill()?;
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        Ok(false)
    }

    /// `kill -9` for the process and all it started; returns when they are gone.
    pub(crate) fn kill(&self) -> Result<()> {
        kill(&self.tree())
    }

    /// Resident memory of the process and all it started, in bytes; a page that several share counts once.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let sizes = self.tree().into_iter().filter_map(|pid| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        });
        Some(sizes.sum::<u64>() * 1024).filter(|bytes| *bytes > 0)
    }

    /// The process, then its descendants.
    fn tree(&self) -> Vec<u32> {
        let all: Vec<(u32, u32)> =
            numbers().into_iter().filter_map(|pid| Some((pid, stat(pid)?.parent))).collect();
        let mut tree = vec![self.pid];
        let mut next = 0;
        while next < tree.len() {
            let parent = tree[next];
            tree.extend(all.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        tree
    }
}

/// `kill -9` for every process that works in a folder; returns when they are gone.
pub(super) fn kill_all_in(folder: &Path) -> Result<()> {
    let folder = fs::canonicalize(folder)?;
    let works_there = |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    let there: Vec<u32> = numbers().into_iter().filter(works_there).collect();
    if there.is_empty() { Ok(()) } else { kill(&there) }
}

fn kill(pids: &[u32]) -> Result<()> {
    send("KILL", pids)?;
    let start = Instant::now();
    while let Some(pid) = pids.iter().find(|pid| stat(**pid).is_some_and(|stat| stat.is_running)) {
        if start.elapsed() > Duration::from_secs(10) {
            bail!("process {pid} still runs 10 s after kill -9");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// All processes of the machine that we may see.
fn numbers() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

struct Stat {
    is_running: bool,
    parent: u32,
    start: u64,
}

/// What the kernel says of a process; nothing if there is none of this number.
fn stat(pid: u32) -> Option<Stat> {
    let mut stat = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    // Its first thread may be a zombie while others are still on their way out and hold its sockets.
    stat.is_running |= fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1);
    Some(stat)
}

/// `pid (name) state parent … start …`, where a name may hold anything, a bracket and a space too.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        is_running: !matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn send(signal: &str, pids: &[u32]) -> Result<()> {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    // One that has ended by itself cannot be signalled, which is what was wanted.
    Command::new("sh")
        .args([
            "-c",
            r#"signal=$1; shift; for pid; do kill -s "$signal" "$pid" 2>/dev/null; done; :"#,
            "sh",
            signal,
        ])
        .args(pids)
        .status()
        .context("sh cannot be started")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_brackets_and_spaces() {
        let fields = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 200";
        let stat = parse_stat(&format!("12 (tmux: (a) b) {fields}")).unwrap();
        assert!(stat.is_running);
        assert_eq!((stat.parent, stat.start), (7, 4242));
        assert!(!parse_stat(&format!("12 (x) {}", fields.replacen('S', "Z", 1))).unwrap().is_running);
        assert!(parse_stat("12 (x) S 7").is_none());
    }

    #[test]
    fn a_process_is_found_by_its_file_until_it_ends_and_is_not_confused_with_another() {
        let dir = tempfile::tempdir().unwrap();
        let (log, file) = (dir.path().join("log"), dir.path().join("pid"));
        let mut command = Command::new("sh");
        command.args(["-c", "echo started; exec sleep 100"]);
        let process = Process::spawn(&command, &log, &file).unwrap();
        assert_eq!(Process::find(&file), Some(process));

        // Somebody else's process of the same number: ours ended and the number came round again.
        fs::write(&file, format!("{} {}\n", process.pid, process.start + 1)).unwrap();
        assert_eq!(Process::find(&file), None);

        fs::write(&file, format!("{} {}\n", process.pid, process.start)).unwrap();
        process.kill().unwrap();
        assert_eq!(Process::find(&file), None);
    }

    #[test]
    fn a_process_that_ignores_the_polite_signal_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (log, file) = (dir.path().join("log"), dir.path().join("pid"));
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"]);
        let process = Process::spawn(&command, &log, &file).unwrap();
        while !fs::read_to_string(&log).unwrap_or_default().contains("deaf") {
            thread::sleep(POLL);
        }
        assert!(process.stop("TERM", Duration::from_millis(200)).unwrap());
        assert!(!process.is_alive());
    }
}
