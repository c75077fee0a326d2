//! Redis: Debian's `redis-server`, with an append-only file.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use anyhow::Result;

use super::{native::Place, ports::Ports};
use crate::tools;

pub(super) fn missing_packages() -> Vec<&'static str> {
    if tools::is_on_path("redis-server") { Vec::new() } else { vec!["redis-server"] }
}

pub(super) fn prepare(place: &Place<'_>) -> Result<()> {
    fs::create_dir_all(place.data())?;
    Ok(())
}

pub(super) fn command(place: &Place<'_>) -> Result<Command> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &place.ports.redis.to_string()]);
    command.arg("--dir").arg(place.data());
    // The append-only file alone is the state; a second, older copy could only confuse.
    command.args(["--appendonly", "yes", "--save", ""]);
    command.current_dir(&place.folder);
    Ok(command)
}

/// Whether it answers and has loaded its file: until then it says `-LOADING`.
pub(super) fn is_ready(ports: &Ports) -> bool {
    const LIMIT: Option<Duration> = Some(Duration::from_secs(2));
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", ports.redis))?;
        stream.set_read_timeout(LIMIT)?;
        stream.set_write_timeout(LIMIT)?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 5];
        stream.read_exact(&mut reply)?;
        Ok(&reply == b"+PONG")
    };
    ask().unwrap_or(false)
}

/// From `Redis server v=7.0.15 sha=…`.
pub(super) fn version() -> Option<String> {
    let output = Command::new("redis-server").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().find_map(|word| word.strip_prefix("v=")).map(ToOwned::to_owned)
}
