//! A line to a server that can be cut at the worst moments.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What happens to the next commits on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commits {
    Pass,
    /// The server gets the commit, and the line dies before its answer.
    LoseAnswers,
    /// The line dies before the server gets the commit.
    LoseRequests,
    /// As above, but what was sent arrives in the end: at [`Proxy::deliver`].
    Delay,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    commits: Mutex<Commits>,
    delayed: Mutex<Vec<(TcpStream, Vec<u8>)>>,
}

impl Proxy {
    /// - `server`: host and port behind it
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { server, commits: Mutex::new(Commits::Pass), delayed: Mutex::default() });
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(Arc::clone(&shared).carry(client));
                }
            }
        });
        Self { address, shared }
    }

    pub(crate) fn commits(&self, commits: Commits) {
        *self.shared.commits.lock().unwrap() = commits;
    }

    /// Lets delayed commits arrive, and returns after the server has answered all of them (to nobody).
    pub(crate) async fn deliver(&self) -> usize {
        let delayed = std::mem::take(&mut *self.shared.delayed.lock().unwrap());
        let n = delayed.len();
        for (mut server, request) in delayed {
            server.write_all(&request).await.unwrap();
            assert!(server.read(&mut [0; 1_000]).await.unwrap() > 0, "the server answers");
        }
        n
    }
}

impl Shared {
    /// Carries bytes both ways until either side ends, or the line is cut.
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let mut server = TcpStream::connect(&self.server).await.unwrap();
        let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut loses_answer = false;
        loop {
            tokio::select! {
                sent = client.read(&mut from_client) => {
                    let Ok(length @ 1..) = sent else { return };
                    let request = &from_client[..length];
                    let is_commit = request.windows(7).any(|word| word == b"EVALSHA");
                    let commits = *self.commits.lock().unwrap();
                    match commits {
                        Commits::LoseRequests if is_commit => return,
                        Commits::Delay if is_commit => {
                            self.delayed.lock().unwrap().push((server, request.to_vec()));
                            return;
                        }
                        Commits::LoseAnswers => loses_answer |= is_commit,
                        _ => {}
                    }
                    server.write_all(request).await.unwrap();
                }
                answered = server.read(&mut from_server) => {
                    let Ok(length @ 1..) = answered else { return };
                    if loses_answer || client.write_all(&from_server[..length]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
