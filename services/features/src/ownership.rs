//! A task for each partition that this member of a group owns.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use waggle_stores::{EventLog, LogError, Membership, Topic};

/// Pause after a group could not be joined, or has shut this member out.
const REJOIN: Duration = Duration::from_secs(1);

/// Joins the group as often as it takes; `None` once `shutdown` is cancelled or the log is closed.
pub(crate) async fn join(
    log: &dyn EventLog,
    group: &str,
    topic: Topic,
    member: &str,
    shutdown: &CancellationToken,
) -> Option<Box<dyn Membership>> {
    loop {
        match shutdown.run_until_cancelled(log.join(group, topic, member)).await? {
            Ok(membership) => return Some(membership),
            Err(LogError::Closed) => return None,
            Err(error) => {
                tracing::warn!(group, member, %error, "the group cannot be joined; trying again");
                shutdown.run_until_cancelled(tokio::time::sleep(REJOIN)).await?;
            }
        }
    }
}

/// Runs `work` for every partition that is owned, until `shutdown` is cancelled or the membership ends.
///
/// A partition that is lost has its token cancelled; when it comes back, its work starts anew once the old one has ended.
/// Work that ends by itself ends everything, because it can only mean that the log is closed.
///
/// # Errors
/// The first failure; the other partitions are stopped cleanly first.
pub(crate) async fn work_on_owned<W, E>(
    membership: &dyn Membership,
    shutdown: &CancellationToken,
    mut work: impl FnMut(u32, CancellationToken) -> W,
) -> Result<(), E>
where
    W: Future<Output = Result<(), E>> + Send + 'static,
    E: Send + 'static,
{
    let mut owned = membership.owned();
    let mut crew = Crew { stop: shutdown.child_token(), tasks: JoinSet::new(), running: HashMap::new() };
    let (mut failure, mut is_shut_out) = (None, false);
    while !crew.stop.is_cancelled() {
        let wanted = owned.borrow_and_update().clone();
        crew.assign(&wanted, &mut work);
        tokio::select! {
            () = shutdown.cancelled() => {}
            changed = owned.changed() => if changed.is_err() {
                is_shut_out = true;
                crew.stop.cancel();
            },
            Some(ended) = crew.tasks.join_next() => crew.note(ended, &mut failure),
        }
    }
    while let Some(ended) = crew.tasks.join_next().await {
        crew.note(ended, &mut failure);
    }
    if is_shut_out {
        // Two who go by one name would otherwise shut each other out without end.
        shutdown.run_until_cancelled(tokio::time::sleep(REJOIN)).await;
    }
    failure.map_or(Ok(()), Err)
}

struct Crew<E> {
    stop: CancellationToken,
    tasks: JoinSet<(u32, Result<(), E>)>,
    running: HashMap<u32, CancellationToken>,
}

impl<E: Send + 'static> Crew<E> {
    fn assign<W>(&mut self, wanted: &BTreeSet<u32>, work: &mut impl FnMut(u32, CancellationToken) -> W)
    where
        W: Future<Output = Result<(), E>> + Send + 'static,
    {
        for (_, token) in self.running.iter().filter(|(partition, _)| !wanted.contains(partition)) {
            token.cancel();
        }
        for &partition in wanted {
            if !self.running.contains_key(&partition) {
                let token = self.stop.child_token();
                let work = work(partition, token.clone());
                self.tasks.spawn(async move { (partition, work.await) });
                self.running.insert(partition, token);
            }
        }
    }

    fn note(&mut self, ended: Result<(u32, Result<(), E>), JoinError>, failure: &mut Option<E>) {
        // Nobody aborts these tasks, so this is a panic, and it belongs to whoever awaits us.
        let (partition, outcome) =
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let was_told_to = self.running.remove(&partition).is_some_and(|token| token.is_cancelled());
        if !was_told_to {
            self.stop.cancel();
        }
        if let Err(error) = outcome {
            self.stop.cancel();
            failure.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests;
