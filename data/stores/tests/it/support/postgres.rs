//! Postgres for tests: the shared server with a schema of one's own.

use std::sync::Arc;

use sqlx::{Connection, PgConnection};
use waggle_stores::{Database, PostgresConfig, PostgresUrl};

/// The URL of the shared server.
pub(crate) fn postgres_url() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests learn from the environment where services are")]
    std::env::var("WAGGLE_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "WAGGLE_TEST_POSTGRES is not set: run `cargo xtask test`, or `cargo xtask services up` and source the file \
             it names"
        )
    })
}

pub(crate) fn config(url: &str) -> PostgresConfig {
    PostgresConfig { url: PostgresUrl::new(url), ..PostgresConfig::default() }
}

/// A schema of its own, removed at the end.
pub(crate) struct Schema {
    pub(crate) prefix: String,
    pub(crate) url: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        Self { prefix: format!("test_{:016x}", rand::random::<u64>()), url: postgres_url() }
    }

    pub(crate) async fn connect(&self) -> Database {
        Database::connect(&config(&self.url), &self.prefix).await.unwrap()
    }

    /// Two handles, as two processes have them.
    pub(crate) async fn connect_two(&self) -> [Arc<Database>; 2] {
        [Arc::new(self.connect().await), Arc::new(self.connect().await)]
    }

    pub(crate) async fn execute(&self, sql: String) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (url, sql) = (self.url.clone(), format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.prefix));
        let drop = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            });
        });
        assert!(drop.join().is_ok() || std::thread::panicking(), "the schema is removed");
    }
}
