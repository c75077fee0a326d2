//! Apache Kafka: its jars from Maven, one process as broker and controller (`KRaft`).

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rand::{Rng, seq::SliceRandom};

use super::{folder, java::Jars, native::Place, ports::Ports, tls, variables::quoted};

pub(super) const VERSION: &str = "4.4.0";
/// The newest that speaks the logging interface Kafka's own jars pull in (slf4j 1.7).
const LOG4J_VERSION: &str = "2.25.1";
const JARS: Jars = Jars {
    name: "kafka",
    version: VERSION,
    artifacts: &[
        ("org.apache.kafka", "kafka_2.13", VERSION),
        ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
    ],
    // The one tool that is used needs nothing more, and the others want a web server.
    alone: &[("org.apache.kafka", "kafka-tools", VERSION)],
};

pub(super) fn missing_packages(folder: &Path) -> Result<Vec<&'static str>> {
    JARS.missing_packages(folder)
}

/// Jars, their perf test, certificates, settings, and a formatted data folder.
pub(super) fn prepare(place: &Place<'_>) -> Result<()> {
    JARS.assemble(&place.folder)?;
    perf_test(&place.folder)?;
    place.tls.make(false)?;
    fs::write(place.folder.join("log4j2.properties"), LOG4J)?;
    let settings = place.folder.join("server.properties");
    folder::write(&settings, server_properties(place)?.as_bytes())?;
    // The last thing that formatting writes; what it leaves when it is interrupted is no log.
    let data = place.data();
    if data.join("formatted").is_file() {
        return Ok(());
    }
    folder::remove(&data)?;
    let mut command = java(place);
    command.args(["kafka.tools.StorageTool", "format", "-t", &cluster_id(&mut rand::thread_rng()), "-c"]);
    let output = command.arg(&settings).output().context("java cannot be started")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("formatting the log ended with {}: {}", output.status, String::from_utf8_lossy(&said).trim());
    }
    fs::write(data.join("formatted"), b"")?;
    Ok(())
}

pub(super) fn command(place: &Place<'_>) -> Command {
    let mut command = java(place);
    command.arg("kafka.Kafka").arg(place.folder.join("server.properties"));
    command
}

/// Whether it answers a metadata request with a broker in it, which it does once it takes part in its cluster.
pub(super) fn is_ready(ports: &Ports) -> bool {
    n_brokers(ports.kafka).is_ok_and(|n_brokers| n_brokers > 0)
}

pub(super) fn version() -> Option<String> {
    Some(VERSION.to_owned())
}

/// A program that is Kafka's own measure of a producer, for `waggle bench ingest --perf-test`.
fn perf_test(folder: &Path) -> Result<()> {
    let path = folder.join("kafka-producer-perf-test");
    let libs = quoted(&JARS.class_path(folder));
    let script = format!(
        "#!/bin/sh\nexec java -Xmx512m -cp {libs} org.apache.kafka.tools.ProducerPerformance \"$@\"\n"
    );
    folder::write(&path, script.as_bytes())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The virtual machine with Kafka's classes, 512 MB of heap at most.
fn java(place: &Place<'_>) -> Command {
    let mut command = JARS.java(&place.folder);
    command.args(["-Xms128m", "-Xmx512m"]);
    let log4j = place.folder.join("log4j2.properties");
    command.arg(format!("-Dlog4j2.configurationFile={}", log4j.display()));
    command
}

fn server_properties(place: &Place<'_>) -> Result<String> {
    let Ports { kafka, kafka_tls, kafka_controller, .. } = place.ports;
    let (data, keys) = (place.data(), place.tls.keystore());
    let (data, keys, user, password) = (data.display(), keys.display(), tls::USER, place.tls.password()?);
    let listeners = format!("PLAINTEXT://127.0.0.1:{kafka},SECURE://127.0.0.1:{kafka_tls}");
    // The session is short, because a killed broker is let in again only when its last session is over.
    Ok(format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{kafka_controller}
listeners={listeners},CONTROLLER://127.0.0.1:{kafka_controller}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={keys}
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}=\"{password}\";
log.dirs={data}
num.partitions=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
"
    ))
}

const LOG4J: &str = "rootLogger.level = INFO
rootLogger.appenderRef.stdout.ref = STDOUT
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = [%d] %p %m (%c)%n
";

/// 128 random bits in URL-safe base 64 without padding, as Kafka writes them.
fn cluster_id(rng: &mut impl Rng) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut pick = |from: &[u8]| char::from(*from.choose(rng).expect("the alphabet is not empty"));
    // A leading dash would be read as a flag; the last digit holds two bits.
    let first = pick(&ALPHABET[..62]);
    let middle: String = (0..20).map(|_| pick(ALPHABET)).collect();
    format!("{first}{middle}{}", pick(b"AQgw"))
}

/// Sends one `Metadata` request (version 7, no topics) and reads how many brokers the reply lists.
fn n_brokers(port: u16) -> Result<i32> {
    const METADATA: (i16, i16) = (3, 7);
    // No topics, none to be created.
    let reply = ask(port, METADATA, &[0, 0, 0, 0, 0])?;
    // Throttle time, number of brokers.
    Ok(i32::from_be_bytes(at(&reply, 4)?))
}

/// Records of a topic that retention has not touched: the sum of its partitions' ends.
pub(super) fn n_records(port: u16, topic: &str, n_partitions: u32) -> Result<u64> {
    (0..n_partitions).map(|partition| end_offset(port, topic, partition)).sum()
}

/// Sends one `ListOffsets` request (version 1) for the end of a partition.
fn end_offset(port: u16, topic: &str, partition: u32) -> Result<u64> {
    const LIST_OFFSETS: (i16, i16) = (2, 1);
    const CLIENT: i32 = -1;
    const END: i64 = -1;
    let mut body = Vec::new();
    body.extend(CLIENT.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(u16::try_from(topic.len())?.to_be_bytes());
    body.extend(topic.as_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend(END.to_be_bytes());
    let reply = ask(port, LIST_OFFSETS, &body)?;
    // One topic by its name, one partition: its number, error, time and offset.
    let partition_at = 4 + 2 + topic.len() + 4;
    let error = i16::from_be_bytes(at(&reply, partition_at + 4)?);
    if error != 0 {
        bail!("the end of partition {partition} of {topic}: Kafka's error {error}");
    }
    Ok(u64::from_be_bytes(at(&reply, partition_at + 14)?))
}

/// Sends a request of an API and version, and gives the reply without its head.
fn ask(port: u16, (api, version): (i16, i16), body: &[u8]) -> Result<Vec<u8>> {
    const LIMIT: Option<Duration> = Some(Duration::from_secs(2));
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(LIMIT)?;
    stream.set_write_timeout(LIMIT)?;
    stream.write_all(&request(api, version, body)?)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut reply = vec![0; usize::try_from(i32::from_be_bytes(size))?.min(MAX_REPLY)];
    stream.read_exact(&mut reply)?;
    if i32::from_be_bytes(at(&reply, 0)?) != CORRELATION {
        bail!("the reply is not to our request");
    }
    Ok(reply.split_off(4))
}

const CORRELATION: i32 = 7;
/// Whoever answers with more is no broker.
const MAX_REPLY: usize = 1 << 20;

fn request(api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
    const CLIENT: &[u8; 5] = b"xtask";
    let head = [&api.to_be_bytes()[..], &version.to_be_bytes(), &CORRELATION.to_be_bytes(), &[0, 5], CLIENT]
        .concat();
    let size = i32::try_from(head.len() + body.len())?;
    Ok([&size.to_be_bytes()[..], &head, body].concat())
}

/// The bytes of a number in a reply.
fn at<const N: usize>(reply: &[u8], place: usize) -> Result<[u8; N]> {
    let bytes = reply.get(place..place + N).context("the reply is too short")?;
    Ok(bytes.try_into()?)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_cluster_id_is_22_characters_and_no_flag() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let id = cluster_id(&mut rng);
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with('-'), "{id}");
            assert!(id.ends_with(['A', 'Q', 'g', 'w']), "{id}");
        }
    }

    #[test]
    fn a_request_says_its_own_size() {
        let request = request(3, 7, &[0; 5]).unwrap();
        let size = i32::from_be_bytes([request[0], request[1], request[2], request[3]]);
        assert_eq!(size as usize, request.len() - 4);
    }
}
