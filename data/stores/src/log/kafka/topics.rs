//! The installation's topics: made if they are missing, checked if they are there.

use std::{collections::BTreeMap, sync::Arc, time::Duration, time::Instant};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    types::RDKafkaErrorCode,
};

use super::{
    client::{ANSWER_TIMEOUT, Inquiry, Reports, blocking, client_config, refused},
    config::KafkaConfig,
};
use crate::log::{LogError, Topic};

/// What the broker takes for one batch unless the topic says otherwise.
const USUAL_MAX_MESSAGE_BYTES: usize = 1_048_588;
/// How often brokers look for what they may remove, and how long the file stays after that: their defaults, rounded up.
const REMOVAL: Duration = Duration::from_secs(10 * 60);

/// Names of the topics, in the order of [`Topic::ALL`].
#[derive(Debug, Clone)]
pub(super) struct Names([Arc<str>; 4]);

impl Names {
    /// # Errors
    /// [`LogError::Storage`] if Kafka would not take `prefix` as the start of a name.
    pub(super) fn new(prefix: &str) -> Result<Self, LogError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if prefix.is_empty() || prefix.len() > 200 || !prefix.chars().all(is_name) {
            return Err(LogError::Storage(format!(
                "`{prefix}` cannot begin the names of topics: 1 to 200 of a-z, A-Z, 0-9, `.`, `_` and `-` can"
            )));
        }
        Ok(Self(Topic::ALL.map(|topic| Arc::from(format!("{prefix}.{}", topic.as_str())))))
    }

    pub(super) fn of(&self, topic: Topic) -> &Arc<str> {
        &self.0[topic as usize]
    }
}

/// Makes the topics that are missing and checks all. Gives the size in bytes of the largest record that all take.
///
/// - Another number of partitions is an error: keys would change place.
/// - Compaction of events, answers or dead letters is an error (records of one key replace each other), and so is
///   removal by age or size of the catalogue (items would be forgotten).
/// - Events or answers that are removed earlier than configured are a warning: whoever needs a removed record gets
///   [`LogError::Trimmed`], so nothing is lost silently.
pub(super) async fn prepare(
    config: &KafkaConfig,
    names: &Names,
    n_partitions: u32,
    inquiry: Arc<Inquiry>,
) -> Result<usize, LogError> {
    let client = client_config(config)?;
    let admin = client.create_with_context::<_, AdminClient<_>>(Reports::default()).map_err(refused)?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
    let mut refusals = BTreeMap::new();
    for topic in Topic::ALL {
        if partitions(&inquiry, names.of(topic)).await?.is_none()
            && let Some(refusal) =
                create(&admin, &options, config, names.of(topic), topic, n_partitions).await?
        {
            refusals.insert(topic, refusal);
        }
    }
    for topic in Topic::ALL {
        let stored = created(&inquiry, names.of(topic), refusals.get(&topic)).await?;
        if stored != n_partitions {
            return Err(LogError::PartitionCount { stored, configured: n_partitions });
        }
    }
    check_settings(&admin, &options, config, names).await
}

/// Partitions of a topic, or `None` if there is no such topic.
async fn partitions(inquiry: &Arc<Inquiry>, name: &Arc<str>) -> Result<Option<u32>, LogError> {
    let (inquiry, name) = (Arc::clone(inquiry), Arc::clone(name));
    blocking(move || {
        let metadata = inquiry.metadata(&name)?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == &*name) else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            // Just created: the leaders are being chosen.
            Some(RDKafkaErrorCode::LeaderNotAvailable) => return Ok(None),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(None),
            Some(error) => return Err(LogError::Storage(format!("topic {name}: {error}"))),
        }
        let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
        Ok((led > 0).then(|| u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX)))
    })
    .await
}

/// The topic's partitions once the brokers have agreed on its creation.
async fn created(inquiry: &Arc<Inquiry>, name: &Arc<str>, refusal: Option<&String>) -> Result<u32, LogError> {
    let began = Instant::now();
    loop {
        if let Some(n_partitions) = partitions(inquiry, name).await? {
            return Ok(n_partitions);
        }
        if refusal.is_some() || began.elapsed() > ANSWER_TIMEOUT {
            let why = refusal.map_or("it was created but did not appear", String::as_str);
            return Err(LogError::Storage(format!("topic {name} is missing: {why}")));
        }
        // There is no event for this; brokers learn of a new topic within some milliseconds.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn create(
    admin: &AdminClient<Reports>,
    options: &AdminOptions,
    config: &KafkaConfig,
    name: &str,
    topic: Topic,
    n_partitions: u32,
) -> Result<Option<String>, LogError> {
    let copies = match config.replication_factor {
        0 => -1,
        copies => i32::from(copies),
    };
    let retention_ms = retention_ms(config, topic).map_or("-1".to_owned(), |ms| ms.to_string());
    let mut new = NewTopic::new(name, n_partitions.cast_signed(), TopicReplication::Fixed(copies))
        // Removal by age counts from when a record came, by one clock, whatever a client believes the time to be.
        .set("message.timestamp.type", "LogAppendTime");
    new = match topic {
        Topic::Catalog => new.set("cleanup.policy", "compact"),
        Topic::Events | Topic::Answers | Topic::DeadLetters => new
            .set("cleanup.policy", "delete")
            .set("retention.ms", &retention_ms)
            .set("retention.bytes", "-1"),
    };
    let results = admin.create_topics([&new], options).await;
    let results =
        results.map_err(|error| LogError::Storage(format!("creating topic {name} failed: {error}")))?;
    Ok(results.into_iter().find_map(|result| match result {
        // Somebody else was quicker.
        Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => None,
        Err((_, error)) => Some(error.to_string()),
    }))
}

/// Milliseconds for which the configuration wants a topic's records kept; `None` is for ever.
fn retention_ms(config: &KafkaConfig, topic: Topic) -> Option<i64> {
    let days = match topic {
        Topic::Events => config.events_retention_days,
        Topic::Answers => config.answers_retention_days,
        Topic::DeadLetters => config.dead_letters_retention_days,
        Topic::Catalog => 0,
    };
    (days > 0).then(|| i64::from(days) * 24 * 60 * 60 * 1_000)
}

/// How long the topic's records are there at most; `None` is for ever.
///
/// A broker removes whole segments, once their newest record is older than `retention.ms`. A segment takes records for
/// `segment.ms` at most.
///
/// # Errors
/// [`LogError::Storage`] if the settings cannot be read, which may be forbidden.
pub(super) async fn longest_kept(config: &KafkaConfig, name: &str) -> Result<Option<Duration>, LogError> {
    let failed =
        |e: &dyn std::fmt::Display| LogError::Storage(format!("reading the settings of {name} failed: {e}"));
    let admin = client_config(config)?
        .create_with_context::<_, AdminClient<_>>(Reports::default())
        .map_err(refused)?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
    let described = admin.describe_configs(&[ResourceSpecifier::Topic(name)], &options).await;
    let described = described.map_err(|e| failed(&e))?.pop().ok_or_else(|| failed(&"no answer"))?;
    let settings = settings_of(described.map_err(|e| failed(&e))?);
    let setting = |key: &str| settings.get(key).and_then(|value| value.parse::<u64>().ok());
    let removes = settings.get("cleanup.policy").is_none_or(|policy| policy.contains("delete"));
    // No limit is -1, which is no `u64`.
    let Some(retention_ms) = setting("retention.ms").filter(|_| removes) else { return Ok(None) };
    let segment_ms = setting("segment.ms").unwrap_or(u64::MAX);
    Ok(Some(Duration::from_millis(retention_ms.saturating_add(segment_ms)).saturating_add(REMOVAL)))
}

fn settings_of(resource: ConfigResource) -> BTreeMap<String, String> {
    resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
}

async fn check_settings(
    admin: &AdminClient<Reports>,
    options: &AdminOptions,
    config: &KafkaConfig,
    names: &Names,
) -> Result<usize, LogError> {
    let resources = Topic::ALL.map(|topic| ResourceSpecifier::Topic(names.of(topic)));
    let described = admin.describe_configs(&resources, options).await;
    let described =
        described.map_err(|e| LogError::Storage(format!("reading topic settings failed: {e}")))?;
    let mut largest = USUAL_MAX_MESSAGE_BYTES;
    for (topic, resource) in Topic::ALL.into_iter().zip(described) {
        let name = names.of(topic);
        match resource {
            Ok(resource) => {
                let settings = settings_of(resource);
                let limit = settings.get("max.message.bytes").and_then(|bytes| bytes.parse().ok());
                largest = largest.min(limit.unwrap_or(USUAL_MAX_MESSAGE_BYTES));
                check_cleanup(config, topic, name, &settings)?;
            }
            // Reading settings can be forbidden where reading and writing records is not.
            Err(error) => {
                tracing::warn!(topic = %name, %error, "the settings of topic {name} cannot be checked")
            }
        }
    }
    Ok(largest)
}

fn check_cleanup(
    config: &KafkaConfig,
    topic: Topic,
    name: &str,
    settings: &BTreeMap<String, String>,
) -> Result<(), LogError> {
    let policy = settings.get("cleanup.policy").map_or("delete", String::as_str);
    let limit = |key: &str| settings.get(key).and_then(|v| v.parse::<i64>().ok()).filter(|&v| v >= 0);
    let (max_age_ms, max_bytes) = (limit("retention.ms"), limit("retention.bytes"));
    let removes = policy.contains("delete") && (max_age_ms.is_some() || max_bytes.is_some());
    if topic == Topic::Catalog {
        if removes {
            return Err(LogError::Storage(format!(
                "topic {name} removes old records (cleanup.policy={policy}): items would be forgotten; \
                 set cleanup.policy=compact"
            )));
        }
        return Ok(());
    }
    if policy.contains("compact") {
        return Err(LogError::Storage(format!(
            "topic {name} is compacted (cleanup.policy={policy}): records of one key would replace each other; \
             set cleanup.policy=delete"
        )));
    }
    let wanted_ms = retention_ms(config, topic).unwrap_or(i64::MAX);
    let too_short = max_age_ms.is_some_and(|ms| ms < wanted_ms) || max_bytes.is_some();
    if removes && too_short {
        tracing::warn!(
            topic = %name, retention_ms = max_age_ms, retention_bytes = max_bytes,
            "topic {name} removes records earlier than configured; state cannot be rebuilt from what is removed"
        );
    }
    Ok(())
}
