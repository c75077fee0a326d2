//! One SQL text for two databases.
//!
//! [`query`] takes the text and its values; where it runs, a [`Target`], decides which database's types they become. The
//! modules of the tables know no more of SQLite and Postgres than these names. What sqlx calls `Any` is not used: it
//! cannot tell an SMALLINT from a BOOLEAN, nor NULLs of one type from another.

use std::{borrow::Cow, future::Future, time::Duration};

use futures::{StreamExt, TryStreamExt};
use sqlx::{
    Decode, PgConnection, PgPool, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqliteConnection,
    SqlitePool, Type,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use super::DatabaseError;

/// What a statement runs on.
pub(super) struct Target<'c> {
    pub(super) on: On<'c>,
    /// The database as errors name it.
    pub(super) database: &'c str,
    /// Longest wait for an answer; a server that is gone without a word would be waited for without end.
    pub(super) patience: Option<Duration>,
}

pub(super) enum On<'c> {
    SqlitePool(&'c SqlitePool),
    Sqlite(&'c mut SqliteConnection),
    PostgresPool(&'c PgPool),
    Postgres(&'c mut PgConnection),
}

/// Ends with [`commit`](Self::commit); dropped, it changes nothing.
pub(super) struct Transaction<'c> {
    pub(super) on: OpenTransaction,
    pub(super) database: &'c str,
    pub(super) patience: Option<Duration>,
}

pub(super) enum OpenTransaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction<'_> {
    pub(super) fn target(&mut self) -> Target<'_> {
        let on = match &mut self.on {
            OpenTransaction::Sqlite(transaction) => On::Sqlite(transaction),
            OpenTransaction::Postgres(transaction) => On::Postgres(transaction),
        };
        Target { on, database: self.database, patience: self.patience }
    }

    pub(super) async fn commit(self) -> Result<(), DatabaseError> {
        let commit = async {
            match self.on {
                OpenTransaction::Sqlite(transaction) => transaction.commit().await,
                OpenTransaction::Postgres(transaction) => transaction.commit().await,
            }
        };
        waited_for(self.database, self.patience, commit).await
    }

    /// Like dropping it, and waits until it is undone.
    pub(super) async fn rollback(self) -> Result<(), DatabaseError> {
        let rollback = async {
            match self.on {
                OpenTransaction::Sqlite(transaction) => transaction.rollback().await,
                OpenTransaction::Postgres(transaction) => transaction.rollback().await,
            }
        };
        waited_for(self.database, self.patience, rollback).await
    }
}

/// A statement with `$1`, `$2`, … for the values that [`bind`](Query::bind) adds.
pub(super) fn query<'q>(sql: impl SqlSafeStr) -> Query<'q> {
    Query { sql: sql.into_sql_str(), values: Vec::new() }
}

pub(super) struct Query<'q> {
    sql: SqlStr,
    values: Vec<Value<'q>>,
}

impl<'q> Query<'q> {
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Gives the number of rows inserted, changed or deleted.
    pub(super) async fn execute(self, target: Target<'_>) -> Result<u64, DatabaseError> {
        let execute = async {
            match target.on {
                On::SqlitePool(pool) => self.sqlite().execute(pool).await.map(|done| done.rows_affected()),
                On::Sqlite(connection) => {
                    self.sqlite().execute(connection).await.map(|done| done.rows_affected())
                }
                On::PostgresPool(pool) => {
                    self.postgres().execute(pool).await.map(|done| done.rows_affected())
                }
                On::Postgres(connection) => {
                    self.postgres().execute(connection).await.map(|done| done.rows_affected())
                }
            }
        };
        waited_for(target.database, target.patience, execute).await
    }

    pub(super) async fn fetch_all(self, target: Target<'_>) -> Result<Vec<Row>, DatabaseError> {
        let mut rows = Vec::new();
        let push = |row| {
            rows.push(row);
            Ok(())
        };
        self.fetch_each(target, push).await?;
        Ok(rows)
    }

    pub(super) async fn fetch_optional(self, target: Target<'_>) -> Result<Option<Row>, DatabaseError> {
        Ok(self.fetch_all(target).await?.into_iter().next())
    }

    /// For statements that always give a row, like a count.
    pub(super) async fn fetch_one(self, target: Target<'_>) -> Result<Row, DatabaseError> {
        let database = target.database;
        let row = self.fetch_optional(target).await?;
        row.ok_or_else(|| failure(database, &sqlx::Error::RowNotFound))
    }

    /// Hands over row by row, without holding them all.
    pub(super) async fn fetch_each(
        self,
        target: Target<'_>,
        mut each: impl FnMut(Row) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let Target { on, database, patience } = target;
        let mut rows = match on {
            On::SqlitePool(pool) => self.sqlite().fetch(pool).map_ok(Row::Sqlite).boxed(),
            On::Sqlite(connection) => self.sqlite().fetch(connection).map_ok(Row::Sqlite).boxed(),
            On::PostgresPool(pool) => self.postgres().fetch(pool).map_ok(Row::Postgres).boxed(),
            On::Postgres(connection) => self.postgres().fetch(connection).map_ok(Row::Postgres).boxed(),
        };
        while let Some(row) = waited_for(database, patience, rows.try_next()).await? {
            each(row)?;
        }
        Ok(())
    }

    fn sqlite(self) -> sqlx::query::Query<'static, Sqlite, SqliteArguments> {
        self.values.into_iter().fold(sqlx::query(self.sql), |query, value| match value {
            Value::Text(text) => query.bind(text.as_deref()),
            Value::I64(number) => query.bind(number),
            Value::I16(number) => query.bind(number),
            Value::F64(number) => query.bind(number),
        })
    }

    fn postgres(self) -> sqlx::query::Query<'static, Postgres, PgArguments> {
        self.values.into_iter().fold(sqlx::query(self.sql), |query, value| match value {
            Value::Text(text) => query.bind(text.as_deref()),
            Value::I64(number) => query.bind(number),
            Value::I16(number) => query.bind(number),
            Value::F64(number) => query.bind(number),
        })
    }
}

/// A value to bind; the column types are these four, and NULLs have a type too.
pub(super) enum Value<'q> {
    Text(Option<Cow<'q, str>>),
    I64(Option<i64>),
    I16(Option<i16>),
    F64(Option<f64>),
}

macro_rules! values {
    ($($variant:ident: $type:ty),*) => { $(
        impl<'q> From<$type> for Value<'q> {
            fn from(value: $type) -> Self {
                Self::$variant(Some(value.into()))
            }
        }

        impl<'q> From<Option<$type>> for Value<'q> {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(Into::into))
            }
        }
    )* };
}

values!(Text: &'q str, Text: String, Text: Cow<'q, str>, I64: i64, I16: i16, F64: f64);

/// A row of either database.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value of the column, counted from 0.
    pub(super) fn get<'r, T>(&'r self, column: usize) -> Result<T, DatabaseError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        let value = match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        };
        value.map_err(|e| DatabaseError::Storage(e.to_string()))
    }
}

/// The result of `work`, its error named, unless it takes longer than `patience`.
pub(super) async fn waited_for<T>(
    database: &str,
    patience: Option<Duration>,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, DatabaseError> {
    let done = match patience {
        None => work.await,
        Some(patience) => match tokio::time::timeout(patience, work).await {
            Ok(done) => done,
            Err(_) => {
                let detail = format!("no answer within {} ms", patience.as_millis());
                return Err(DatabaseError::Unreachable { database: database.to_owned(), detail });
            }
        },
    };
    done.map_err(|e| failure(database, &e))
}

pub(super) fn failure(database: &str, error: &sqlx::Error) -> DatabaseError {
    let (database, detail) = (database.to_owned(), error.to_string());
    match error {
        sqlx::Error::Database(refused) => {
            let code = refused.code().unwrap_or_default();
            let detail = format!("{database}: {detail}");
            match kind_of(&code) {
                _ if refused.is_unique_violation() => DatabaseError::Duplicate(detail),
                Kind::Full => DatabaseError::Full(detail),
                Kind::Conflict => DatabaseError::Conflict(detail),
                Kind::Unreachable => DatabaseError::Unreachable { database, detail: refused.to_string() },
                Kind::Other => DatabaseError::Storage(detail),
            }
        }
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_) => {
            DatabaseError::Unreachable { database, detail }
        }
        _ => DatabaseError::Storage(format!("{database}: {detail}")),
    }
}

enum Kind {
    Full,
    Conflict,
    Unreachable,
    Other,
}

/// - `code`: SQLite's extended result code in decimal digits, or Postgres' SQLSTATE of five characters.
fn kind_of(code: &str) -> Kind {
    const SQLITE_FULL: i32 = 13;
    match code {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Kind::Conflict,
        // disk_full
        "53100" => Kind::Full,
        // too_many_connections, admin_shutdown, crash_shutdown, cannot_connect_now
        "53300" | "57P01" | "57P02" | "57P03" => Kind::Unreachable,
        _ if code.len() < 5 && code.parse().is_ok_and(|code: i32| code & 0xff == SQLITE_FULL) => Kind::Full,
        _ => Kind::Other,
    }
}
