//! Table `meta`: facts about the installation, by name.

use super::{Database, DatabaseError, sql::query};

impl Database {
    pub async fn meta(&self, name: &str) -> Result<Option<String>, DatabaseError> {
        let row = query("SELECT content FROM meta WHERE name = $1").bind(storable(name)?);
        row.fetch_optional(self.read()).await?.map(|row| row.get(0)).transpose()
    }

    /// # Errors
    /// [`DatabaseError::Nul`].
    pub async fn set_meta(&self, name: &str, content: &str) -> Result<(), DatabaseError> {
        query(
            "INSERT INTO meta (name, content) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET content = excluded.content",
        )
        .bind(storable(name)?)
        .bind(storable(content)?)
        .execute(self.write())
        .await
        .map(drop)
    }

    /// Sets the fact unless it is known, and gives what is stored now: of two that try, both learn the same.
    ///
    /// # Errors
    /// [`DatabaseError::Nul`].
    pub async fn set_meta_if_absent(&self, name: &str, content: &str) -> Result<String, DatabaseError> {
        // One statement, so that nobody removes the fact between writing and reading it.
        query(
            "INSERT INTO meta (name, content) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET content = meta.content RETURNING content",
        )
        .bind(storable(name)?)
        .bind(storable(content)?)
        .fetch_one(self.write())
        .await?
        .get(0)
    }

    pub async fn remove_meta(&self, name: &str) -> Result<(), DatabaseError> {
        query("DELETE FROM meta WHERE name = $1").bind(storable(name)?).execute(self.write()).await.map(drop)
    }
}

fn storable(text: &str) -> Result<&str, DatabaseError> {
    if text.contains('\0') {
        let what = text.chars().take(40).collect::<String>();
        return Err(DatabaseError::Nul { what: format!("the fact {what:?}") });
    }
    Ok(text)
}
