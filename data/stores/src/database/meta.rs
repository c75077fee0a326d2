//! Table `meta`: facts about the installation, by name.

use super::{Database, DatabaseError};

impl Database {
    pub async fn meta(&self, name: &str) -> Result<Option<String>, DatabaseError> {
        let content = sqlx::query_scalar("SELECT content FROM meta WHERE name = $1").bind(name);
        Ok(content.fetch_optional(&self.readers).await?)
    }

    pub async fn set_meta(&self, name: &str, content: &str) -> Result<(), DatabaseError> {
        sqlx::query(
            "INSERT INTO meta (name, content) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET content = excluded.content",
        )
        .bind(name)
        .bind(content)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Sets the fact unless it is known, and gives what is stored now: of two that try, both learn the same.
    pub async fn set_meta_if_absent(&self, name: &str, content: &str) -> Result<String, DatabaseError> {
        let mut transaction = self.begin().await?;
        sqlx::query("INSERT INTO meta (name, content) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(content)
            .execute(&mut *transaction)
            .await?;
        let stored = sqlx::query_scalar("SELECT content FROM meta WHERE name = $1").bind(name);
        let stored = stored.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(stored)
    }

    pub async fn remove_meta(&self, name: &str) -> Result<(), DatabaseError> {
        sqlx::query("DELETE FROM meta WHERE name = $1").bind(name).execute(&self.writer).await?;
        Ok(())
    }
}
