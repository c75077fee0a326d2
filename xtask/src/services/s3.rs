//! `S3Proxy`: a server of the S3 protocol over a folder, its jars from Maven.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use rand::{Rng, distributions::Alphanumeric};

use super::{folder, java::Jars, native::Place, ports::Ports};

pub(super) const VERSION: &str = "3.1.0";
/// The one bucket, which is there from the first `up` on.
pub(super) const BUCKET: &str = "waggle";
/// What its parser of XML was built with; of several versions Maven would take an older one.
const JACKSON_VERSION: &str = "2.21.2";
const JARS: Jars = Jars {
    name: "s3",
    version: VERSION,
    artifacts: &[
        ("org.gaul", "s3proxy", VERSION),
        ("com.fasterxml.jackson.core", "jackson-core", JACKSON_VERSION),
        ("com.fasterxml.jackson.core", "jackson-databind", JACKSON_VERSION),
    ],
    alone: &[],
};

pub(super) fn missing_packages(folder: &Path) -> Result<Vec<&'static str>> {
    JARS.missing_packages(folder)
}

/// Jars, keys, settings and the bucket.
pub(super) fn prepare(place: &Place<'_>) -> Result<()> {
    JARS.assemble(&place.folder)?;
    let bucket = place.data().join(BUCKET);
    fs::create_dir_all(&bucket)?;
    // What others may read in the folder, it gives to clients without a key.
    fs::set_permissions(&bucket, fs::Permissions::from_mode(0o700))?;
    folder::write(&place.folder.join("logback.xml"), LOGBACK.as_bytes())?;
    folder::write(&settings(&place.folder), properties(place)?.as_bytes())
}

pub(super) fn command(place: &Place<'_>) -> Command {
    let mut command = JARS.java(&place.folder);
    command.args(["-Xms32m", "-Xmx256m"]);
    command.arg(format!("-Dlogback.configurationFile={}", place.folder.join("logback.xml").display()));
    command.args(["org.gaul.s3proxy.Main", "--properties"]).arg(settings(&place.folder));
    command
}

/// Whether it refuses a stranger the bucket, as a server that is up does.
pub(super) fn is_ready(ports: &Ports) -> bool {
    const LIMIT: Option<Duration> = Some(Duration::from_secs(2));
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", ports.s3))?;
        stream.set_read_timeout(LIMIT)?;
        stream.set_write_timeout(LIMIT)?;
        let request =
            format!("GET /{BUCKET} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", ports.s3);
        stream.write_all(request.as_bytes())?;
        let mut reply = [0; 12];
        stream.read_exact(&mut reply)?;
        Ok(&reply == b"HTTP/1.1 403")
    };
    ask().unwrap_or(false)
}

/// Who may do everything, made at the first `up`.
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret_key: String,
}

impl Keys {
    /// - `services`: the folder of all services
    pub(super) fn in_folder(services: &Path) -> Result<Self> {
        let path = Self::path(services);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let keys = text.trim().split_once(' ').with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Self { access_key: keys.0.to_owned(), secret_key: keys.1.to_owned() })
    }

    /// Those that are there, or new ones.
    pub(super) fn make(services: &Path) -> Result<Self> {
        let path = Self::path(services);
        if !path.is_file() {
            fs::create_dir_all(services.join("s3"))?;
            let random = |n: usize| -> String {
                rand::thread_rng().sample_iter(Alphanumeric).take(n).map(char::from).collect()
            };
            folder::write(&path, format!("{} {}\n", random(20), random(40)).as_bytes())?;
        }
        Self::in_folder(services)
    }

    fn path(services: &Path) -> PathBuf {
        services.join("s3").join("keys")
    }
}

fn settings(folder: &Path) -> PathBuf {
    folder.join("s3proxy.properties")
}

fn properties(place: &Place<'_>) -> Result<String> {
    let Keys { access_key, secret_key } = Keys::make(&place.services)?;
    let (port, data) = (place.ports.s3, place.data());
    // Checksums of whole requests are among the headers it does not know; the signature holds one as well.
    Ok(format!(
        "s3proxy.endpoint=http://127.0.0.1:{port}
s3proxy.authorization=aws-v4
s3proxy.identity={access_key}
s3proxy.credential={secret_key}
s3proxy.ignore-unknown-headers=true
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={}
",
        data.display()
    ))
}

const LOGBACK: &str = "<configuration>
<appender name=\"OUT\" class=\"ch.qos.logback.core.ConsoleAppender\">
<encoder><pattern>[%d] %p %m \\(%c\\)%n</pattern></encoder>
</appender>
<root level=\"info\"><appender-ref ref=\"OUT\"/></root>
</configuration>
";
