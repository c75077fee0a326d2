//! Work that may wait: archiving, checkpoints, training. Its threads stand back where a request wants the processor.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use tokio::sync::oneshot;

/// Of the scheduler: a thread of a request gets some nine times as much while both want to run.
const NICE: i32 = 10;

/// The work panicked, with this message.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(String);

/// Runs the work on a thread of its own that stands back. Once begun it is finished, even if nobody waits any more.
///
/// # Errors
/// [`Panicked`]; the system may also refuse a thread.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
    let (done, outcome) = oneshot::channel();
    let thread = thread::Builder::new().name("waggle-background".to_owned()).spawn(move || {
        stand_back();
        // Whoever waited may have gone.
        done.send(catch_unwind(AssertUnwindSafe(work))).ok();
    });
    thread.map_err(|e| Panicked(e.to_string()))?;
    match outcome.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panic)) => Err(Panicked(message(&*panic))),
        Err(_) => Err(Panicked("the thread is gone".to_owned())),
    }
}

/// Lowers the priority of the calling thread for good. Only Linux has priorities of threads.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "a thread of the background runs with full priority");
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_comes_back_and_so_does_a_panic() {
        assert_eq!(run(|| 6 * 7).await.unwrap(), 42);
        let panicked = run(|| -> () { panic!("a spanner in the works") }).await.unwrap_err();
        assert_eq!(panicked.to_string(), "panicked: a spanner in the works");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_the_thread_of_the_work_stands_back() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = nice();
        assert_eq!(run(nice).await.unwrap(), NICE);
        assert_eq!(nice(), before);
    }
}
