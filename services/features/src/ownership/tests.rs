use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use super::*;

/// A group whose assignments the test makes.
struct Assigned(watch::Sender<BTreeSet<u32>>);

#[async_trait]
impl Membership for Assigned {
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.0.subscribe()
    }

    async fn report(&self, _partition: u32, _offset: u64) {}

    async fn leave(&self) {}
}

/// Keeps account of which partitions are worked on, and how often two works met on one.
#[derive(Default)]
struct Account {
    now: Mutex<BTreeSet<u32>>,
    n_meetings: AtomicUsize,
    changed: Notify,
}

impl Account {
    async fn work(self: Arc<Self>, partition: u32, stop: CancellationToken) -> Result<(), String> {
        if !self.now.lock().unwrap().insert(partition) {
            self.n_meetings.fetch_add(1, Ordering::Relaxed);
        }
        self.changed.notify_one();
        stop.cancelled().await;
        // The batch in hand takes its time.
        tokio::task::yield_now().await;
        self.now.lock().unwrap().remove(&partition);
        self.changed.notify_one();
        Ok(())
    }

    async fn becomes(&self, wanted: &[u32]) {
        let wanted: BTreeSet<u32> = wanted.iter().copied().collect();
        let reached = async {
            while *self.now.lock().unwrap() != wanted {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_follows_the_assignment_and_never_meets_itself() {
    let group = Arc::new(Assigned(watch::Sender::default()));
    let (account, shutdown) = (Arc::new(Account::default()), CancellationToken::new());
    let following = {
        let (group, account, shutdown) = (group.clone(), account.clone(), shutdown.clone());
        tokio::spawn(async move {
            work_on_owned(&*group, &shutdown, |partition, stop| account.clone().work(partition, stop)).await
        })
    };
    for owned in [&[0, 1, 2][..], &[1], &[], &[0, 1, 2, 3], &[3]] {
        group.0.send_replace(owned.iter().copied().collect());
        account.becomes(owned).await;
    }
    // Lost and regained faster than the work can end.
    for _ in 0..100 {
        group.0.send_replace(BTreeSet::new());
        tokio::task::yield_now().await;
        group.0.send_replace([3].into());
        tokio::task::yield_now().await;
    }
    account.becomes(&[3]).await;
    shutdown.cancel();
    following.await.unwrap().unwrap();
    account.becomes(&[]).await;
    assert_eq!(account.n_meetings.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failure_stops_the_others_and_is_told() {
    let group = Assigned(watch::Sender::new([0, 1, 2].into()));
    let account = Arc::new(Account::default());
    let shutdown = CancellationToken::new();
    let outcome = work_on_owned(&group, &shutdown, |partition, stop| {
        let account = account.clone();
        async move {
            if partition == 1 {
                return Err("partition 1 cannot be read".to_owned());
            }
            account.work(partition, stop).await
        }
    });
    assert_eq!(outcome.await.unwrap_err(), "partition 1 cannot be read");
    account.becomes(&[]).await;
}
