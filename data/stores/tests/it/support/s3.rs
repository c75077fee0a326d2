//! S3 for tests: the shared server with a prefix of one's own, and a line to it that can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use waggle_stores::{Artifacts, S3Config, Secret};

/// A prefix in the shared bucket; what is in it is removed when this is dropped.
pub(crate) struct OwnPrefix {
    pub(crate) config: S3Config,
}

impl OwnPrefix {
    pub(crate) fn new() -> Self {
        let url = format!("s3://{}/test-{:016x}/in=a", variable("S3_BUCKET"), rand::random::<u64>());
        let config = S3Config {
            url: Some(url),
            endpoint: Some(variable("S3")),
            access_key: Secret::from(variable("S3_ACCESS_KEY")),
            secret_key: Secret::from(variable("S3_SECRET_KEY")),
            ..S3Config::default()
        };
        Self { config }
    }

    pub(crate) async fn connect(&self, max_bytes: u64) -> Artifacts {
        Artifacts::connect(&self.config, max_bytes).await.unwrap()
    }

    /// Host and port of the server.
    pub(crate) fn server(&self) -> String {
        self.config.endpoint.as_deref().unwrap().strip_prefix("http://").unwrap().to_owned()
    }
}

impl Drop for OwnPrefix {
    fn drop(&mut self) {
        let config = self.config.clone();
        let clear = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let artifacts = Artifacts::connect(&config, 0).await.unwrap();
                let left = artifacts.list("").await.unwrap().into_iter().map(|a| a.path).collect::<Vec<_>>();
                artifacts.delete_all(&left).await.unwrap();
            });
        });
        assert!(clear.join().is_ok() || std::thread::panicking(), "the prefix is cleared");
    }
}

fn variable(name: &str) -> String {
    let name = format!("WAGGLE_TEST_{name}");
    #[expect(clippy::disallowed_methods, reason = "tests learn from the environment where services are")]
    std::env::var(&name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `cargo xtask test`, or `cargo xtask services up` and source the file it names")
    })
}

/// A line to the server. Dropped, its port refuses connections, and those that were open are dead.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    carrying: JoinHandle<()>,
    until_cut: Arc<AtomicU64>,
}

impl Line {
    /// - `address`: where to listen; port 0 for any
    /// - `server`: host and port behind it
    pub(crate) async fn open(address: &str, server: String) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let until_cut = Arc::new(AtomicU64::new(u64::MAX));
        let budget = until_cut.clone();
        let carrying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, server.clone(), budget.clone()));
            }
        });
        Self { address, carrying, until_cut }
    }

    /// Cuts the connection that carries this many bytes more of the server's answers, once.
    pub(crate) fn cut_after(&self, n_bytes: u64) {
        self.until_cut.store(n_bytes, Ordering::SeqCst);
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.until_cut.load(Ordering::SeqCst) == u64::MAX
    }

    pub(crate) async fn close(self) {
        self.carrying.abort();
        assert!(self.carrying.await.unwrap_err().is_cancelled());
    }
}

/// Carries bytes both ways until either side ends, or the line is cut.
async fn carry(mut client: TcpStream, server: String, until_cut: Arc<AtomicU64>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let done = tokio::select! {
            sent = client.read(&mut from_client) => match sent {
                Ok(length @ 1..) => server.write_all(&from_client[..length]).await,
                _ => return,
            },
            answered = server.read(&mut from_server) => match answered {
                Ok(length @ 1..) => {
                    let left = until_cut.load(Ordering::SeqCst);
                    if left <= length as u64 {
                        until_cut.store(u64::MAX, Ordering::SeqCst);
                        return;
                    }
                    if left < u64::MAX {
                        until_cut.store(left - length as u64, Ordering::SeqCst);
                    }
                    client.write_all(&from_server[..length]).await
                }
                _ => return,
            },
        };
        if done.is_err() {
            return;
        }
    }
}
