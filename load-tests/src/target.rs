//! Whom the load goes to: one HTTP server, on this machine unless the caller insists.

use std::{
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::http::{Answer, Failure};

/// A server that accepted a connection a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `host:port` as the caller wrote it, for the `Host` header.
    pub(crate) authority: String,
    pub(crate) address: SocketAddr,
    /// Longest wait for an answer.
    timeout: Duration,
}

impl Target {
    /// Resolves `http://host[:port]` and finds an address of it that answers.
    ///
    /// # Errors
    /// When the URL is of another form, names a machine other than this one without `allow_remote`, or nobody listens.
    pub(crate) fn find(url: &str, allow_remote: bool, timeout: Duration) -> Result<Self> {
        let authority = authority(url)?;
        let addresses: Vec<_> = authority
            .to_socket_addrs()
            .with_context(|| format!("the host of \"{url}\" is not known"))?
            .collect();
        if !allow_remote && let Some(remote) = addresses.iter().find(|a| !a.ip().is_loopback()) {
            bail!(
                "{authority} is {}, which is not this machine: load on other people's servers needs --allow-remote",
                remote.ip()
            );
        }
        let mut refusal = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(_) => return Ok(Self { authority, address, timeout }),
                Err(e) => refusal = Some(e),
            }
        }
        match refusal {
            Some(e) => {
                Err(e).with_context(|| format!("nobody listens on {authority}: is the server started?"))
            }
            None => bail!("the host of \"{url}\" has no address"),
        }
    }

    /// One request on a connection of its own, outside the run; gives status and body.
    pub(crate) fn ask(&self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        stream.write_all(request)?;
        let mut answer = Answer::default();
        answer.reset(true);
        let mut buffer = vec![0; 32 << 10];
        loop {
            match stream.read(&mut buffer)? {
                0 => return Err(Failure::Closed.into()),
                n if answer.read(&buffer[..n])? => return Ok((answer.status(), answer.body().to_vec())),
                _ => (),
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// `host:port` of a URL, the port being 80 when none is given.
fn authority(url: &str) -> Result<String> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("the target is \"{url}\", it must be of the form http://host:port"))?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let is_plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'@');
    ensure!(
        !authority.is_empty() && authority.bytes().all(is_plain),
        "the target is \"{url}\", it must be of the form http://host:port, without a path"
    );
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    match port {
        Some(port) => {
            port.parse::<u16>().with_context(|| format!("the port of \"{url}\" is \"{port}\""))?;
            Ok(authority.to_owned())
        }
        None => Ok(format!("{authority}:80")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_and_port() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost/", "localhost:80"),
            ("http://[::1]", "[::1]:80"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(authority(url).unwrap(), expected);
        }
    }

    #[test]
    fn other_forms_are_refused_with_the_url_in_the_sentence() {
        for url in
            ["https://localhost", "localhost:80", "http://", "http://a/b", "http://a:70000", "http://u@a"]
        {
            let error = authority(url).unwrap_err().to_string();
            assert!(error.contains(url), "{error}");
        }
    }

    #[test]
    fn another_machine_needs_to_be_allowed() {
        let error = Target::find("http://192.0.2.1:80", false, Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("--allow-remote"), "{error}");
    }
}
