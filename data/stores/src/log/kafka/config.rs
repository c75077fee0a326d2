//! What an installation says about its Kafka.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// How to reach Kafka and what to ask of the topics made there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Brokers to ask first, `host:port` separated by commas; the others are learned from them.
    pub brokers: String,
    /// Name under which this installation shows in the brokers' logs and quotas.
    pub client_id: String,
    /// Copies of each partition of a topic that is created; 0 takes the broker's default. Production wants 3.
    pub replication_factor: u16,
    /// Days after which events may be removed from a topic that is created; 0 keeps them for ever, so that state can
    /// be rebuilt from the first event.
    pub events_retention_days: u32,
    /// Days after which answers may be removed from a topic that is created; 0 keeps them for ever. The archiver must
    /// not be down for longer.
    pub answers_retention_days: u32,
    /// Days after which dead letters may be removed from a topic that is created; 0 keeps them for ever.
    pub dead_letters_retention_days: u32,
    /// Seconds, 1 to 300, after which an append that no broker acknowledged fails. A broker's restart should fit in.
    pub delivery_timeout_s: u32,
    /// Encryption and who we are.
    pub security: KafkaSecurity,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            client_id: "waggle".to_owned(),
            replication_factor: 0,
            events_retention_days: 0,
            answers_retention_days: 90,
            dead_letters_retention_days: 30,
            delivery_timeout_s: 30,
            security: KafkaSecurity::default(),
        }
    }
}

/// Encryption and authentication. All but `plaintext` needs a build with the feature `tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSecurity {
    /// How the listener is spoken to.
    pub protocol: KafkaProtocol,
    /// How name and password are proven where the protocol asks for them.
    pub mechanism: SaslMechanism,
    /// Name to authenticate with; needed by the protocols with SASL.
    pub username: String,
    /// Password to authenticate with; never printed.
    pub password: Secret,
    /// PEM file with the certificates that may vouch for the brokers; without it those of the system.
    pub ca_file: Option<PathBuf>,
}

/// How a listener is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaProtocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl KafkaProtocol {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    pub(super) fn authenticates(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How name and password are proven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// Sends the password itself: only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
