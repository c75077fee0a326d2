//! Values that change slowly and are on every page.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

/// How long a value is good without asking again.
const FRESH: Duration = Duration::from_secs(30);

/// Remembers the last good value; a failed renewal costs freshness, not the value.
#[derive(Debug)]
pub(crate) struct Shelf<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Shelf<T> {
    /// The value, renewed by `fetch` when it is old; an error only where there never was a value.
    pub(crate) async fn get<E>(&self, fetch: impl Future<Output = Result<T, E>>) -> Result<Arc<T>, E> {
        if let Some((since, value)) = &*self.0.lock().await
            && since.elapsed() < FRESH
        {
            return Ok(value.clone());
        }
        // The lock is not held meanwhile: two pages may ask at once, none waits for another's call.
        match fetch.await {
            Ok(value) => {
                let value = Arc::new(value);
                *self.0.lock().await = Some((Instant::now(), value.clone()));
                Ok(value)
            }
            Err(error) => self.0.lock().await.as_ref().map(|(_, value)| value.clone()).ok_or(error),
        }
    }
}
