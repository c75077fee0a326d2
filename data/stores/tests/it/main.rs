//! Every port against its contract, and what is particular to each implementation.

#[cfg(test)]
mod archive;
#[cfg(test)]
mod archive_upkeep;
#[cfg(test)]
mod artifacts;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod kafka_log;
#[cfg(test)]
mod kafka_tls;
#[cfg(test)]
mod memory_state;
#[cfg(test)]
mod moka_cache;
#[cfg(test)]
mod postgres_database;
#[cfg(test)]
mod redis_cache;
#[cfg(test)]
mod redis_crash;
#[cfg(test)]
mod redis_lost_answer;
#[cfg(test)]
mod redis_state;
#[cfg(test)]
mod s3_artifacts;
#[cfg(test)]
mod sqlite_database;
#[cfg(test)]
mod sqlite_log;
#[cfg(test)]
mod support;
