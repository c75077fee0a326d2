//! Loopback ports, chosen once and remembered in a file of lines like `redis 20417`.

use std::{collections::BTreeMap, fs, net::TcpListener, ops::Range, path::Path};

use anyhow::{Context, Result};
use rand::Rng;

use super::{Name, folder};

/// Below what systems hand out to outgoing connections, so that a service which is down for a moment does not lose its
/// port to a client of another.
const RANGE: Range<u16> = 20_000..30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) kafka: u16,
    pub(super) kafka_tls: u16,
    pub(super) kafka_controller: u16,
    pub(super) postgres: u16,
    pub(super) redis: u16,
    pub(super) s3: u16,
}

/// Each port's name in the file, and whose it is.
const NAMES: [(&str, Name); 6] = [
    ("kafka", Name::Kafka),
    ("kafka-tls", Name::Kafka),
    ("kafka-controller", Name::Kafka),
    ("postgres", Name::Postgres),
    ("redis", Name::Redis),
    ("s3", Name::S3),
];

impl Ports {
    /// Reads the file, chooses what is missing or taken by others, and writes the file if that changed anything.
    ///
    /// - `is_held`: whether a service keeps its ports whoever listens there, because it is the one that does
    pub(super) fn of(file: &Path, is_held: impl Fn(Name) -> bool) -> Result<Self> {
        let remembered = fs::read_to_string(file).map(|text| parse(&text)).unwrap_or_default();
        let mut ports = BTreeMap::new();
        for (name, service) in NAMES {
            if let Some(port) = remembered.get(name).copied()
                && !ports.values().any(|p| *p == port)
                && (is_held(service) || is_free(port))
            {
                ports.insert(name, port);
            }
        }
        for (name, _) in NAMES {
            if !ports.contains_key(name) {
                let port = choose(|port| !ports.values().any(|p| *p == port) && is_free(port))?;
                if let Some(old) = remembered.get(name) {
                    eprintln!("   port {old} of {name} is taken by another program, {port} takes its place");
                }
                ports.insert(name, port);
            }
        }
        let text: String = ports.iter().map(|(name, port)| format!("{name} {port}\n")).collect();
        if ports.iter().any(|(name, port)| remembered.get(*name) != Some(port)) {
            folder::write(file, text.as_bytes())?;
        }
        let of = |name| ports[name];
        Ok(Self {
            kafka: of("kafka"),
            kafka_tls: of("kafka-tls"),
            kafka_controller: of("kafka-controller"),
            postgres: of("postgres"),
            redis: of("redis"),
            s3: of("s3"),
        })
    }

    /// Where clients find a service.
    pub(super) fn of_service(&self, name: Name) -> u16 {
        match name {
            Name::Kafka => self.kafka,
            Name::Postgres => self.postgres,
            Name::Redis => self.redis,
            Name::S3 => self.s3,
        }
    }
}

/// Lines that make no sense are left out; what they named is then chosen anew.
fn parse(text: &str) -> BTreeMap<String, u16> {
    text.lines()
        .filter_map(|line| {
            let (name, port) = line.trim().split_once(' ')?;
            Some((name.to_owned(), port.trim().parse().ok().filter(|port| *port > 0)?))
        })
        .collect()
}

fn choose(is_good: impl Fn(u16) -> bool) -> Result<u16> {
    let start = rand::thread_rng().gen_range(RANGE);
    (start..RANGE.end).chain(RANGE.start..start).find(|port| is_good(*port)).context("no port is free")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_chosen_once_and_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ports");
        let first = Ports::of(&file, |_| false).unwrap();
        assert_eq!(Ports::of(&file, |_| false).unwrap(), first);
        let distinct: std::collections::BTreeSet<_> =
            parse(&fs::read_to_string(&file).unwrap()).into_values().collect();
        assert_eq!(distinct.len(), NAMES.len());
        assert!(distinct.iter().all(|port| RANGE.contains(port)));
    }

    #[test]
    fn a_port_that_another_program_took_is_chosen_anew_but_not_that_of_a_running_service() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ports");
        let first = Ports::of(&file, |_| false).unwrap();
        let _other = TcpListener::bind(("127.0.0.1", first.redis)).unwrap();

        assert_eq!(Ports::of(&file, |name| name == Name::Redis).unwrap(), first);
        let second = Ports::of(&file, |_| false).unwrap();
        assert_ne!(second.redis, first.redis);
        assert_eq!(Ports { redis: first.redis, ..second }, first);
    }

    #[test]
    fn lines_that_make_no_sense_are_chosen_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ports");
        fs::write(&file, "kafka 70000\nredis\npostgres 0\n\u{0}\nkafka-tls 20001 20002\n").unwrap();
        assert_eq!(parse(&fs::read_to_string(&file).unwrap()), BTreeMap::new());
        let ports = Ports::of(&file, |_| false).unwrap();
        assert!(RANGE.contains(&ports.kafka) && RANGE.contains(&ports.postgres));
    }
}
