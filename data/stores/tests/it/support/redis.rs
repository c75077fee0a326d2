//! Redis for tests: the shared server with a prefix of one's own, or a server of one's own that may be killed.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use deadpool_redis::redis::{Client, Commands, Connection};
use waggle_stores::{RedisConfig, RedisUrl};

/// A prefix on the shared server; its keys are removed when this is dropped.
pub(crate) struct OwnPrefix {
    pub(crate) url: String,
    pub(crate) prefix: String,
}

impl OwnPrefix {
    pub(crate) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests learn from the environment where services are")]
        let url = std::env::var("WAGGLE_TEST_REDIS").unwrap_or_else(|_| {
            panic!(
                "WAGGLE_TEST_REDIS is not set: run `cargo xtask test`, or `cargo xtask services up` and source the file \
                 it names"
            )
        });
        Self { url, prefix: format!("test-{:016x}", rand::random::<u64>()) }
    }

    pub(crate) fn config(&self) -> RedisConfig {
        config(&self.url)
    }

    pub(crate) fn connection(&self) -> Connection {
        connection(&self.url).expect("the shared Redis answers")
    }

    /// Every key whose name has the prefix in it.
    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        let mut connection = self.connection();
        let keys = connection.scan_match::<_, Vec<u8>>(format!("*{}*", self.prefix)).unwrap();
        keys.map(Result::unwrap).collect()
    }
}

impl Drop for OwnPrefix {
    fn drop(&mut self) {
        for keys in self.keys().chunks(1_000) {
            let _: () = self.connection().unlink(keys).unwrap();
        }
    }
}

/// A server of one's own behind a unix socket in `dir`, where its append-only file lies as well.
pub(crate) struct OwnServer {
    pub(crate) url: String,
    process: Child,
}

impl OwnServer {
    /// Starts one over whatever lies in `dir`, and waits until it has loaded that.
    pub(crate) fn start(dir: &Path, fsync: &str) -> Self {
        let socket = dir.join("socket");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--save", "", "--appendfsync", fsync])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on the path");
        let server = Self { url: format!("redis+unix://{}", socket.display()), process };
        let deadline = Instant::now() + Duration::from_secs(30);
        while connection(&server.url)
            .and_then(|mut c| c.ping().ok())
            .is_none_or(|pong: String| pong != "PONG")
        {
            assert!(Instant::now() < deadline, "the server of this test does not answer");
            std::thread::yield_now();
        }
        server
    }

    pub(crate) fn config(&self) -> RedisConfig {
        config(&self.url)
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn config(url: &str) -> RedisConfig {
    // Tests share two cores with much else: only those about deadlines wait briefly.
    RedisConfig { url: RedisUrl::new(url), cache_timeout_ms: 5_000, ..RedisConfig::default() }
}

fn connection(url: &str) -> Option<Connection> {
    Client::open(url).ok()?.get_connection().ok()
}
