//! The record of what was served, on its way to the log.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::warn;
use waggle_contracts::{Ingest, ingest::Origin};
use waggle_model::Event;

/// Answers written at once.
const BATCH: usize = 512;

/// Takes answers without making anybody wait. What does not fit the queue is dropped from the record and counted: a
/// page is worth more than its record.
#[derive(Clone)]
pub struct AnswerLog {
    queue: mpsc::Sender<Event>,
}

impl AnswerLog {
    /// Starts the writer, owned by `tasks`. It ends, with everything written, when the last `AnswerLog` is dropped.
    pub fn start(ingest: Arc<dyn Ingest>, capacity: usize, tasks: &TaskTracker) -> Self {
        let (queue, mut answers) = mpsc::channel::<Event>(capacity.max(1));
        tasks.spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while answers.recv_many(&mut batch, BATCH).await > 0 {
                let n_answers = batch.len() as u64;
                match ingest.accept(std::mem::take(&mut batch), Origin::System).await {
                    Ok(report) => {
                        if let Some(rejection) = report.rejected.first() {
                            let n_rejected = report.rejected.len() as u64;
                            counter!("waggle_answers_lost_total", "why" => "rejected").increment(n_rejected);
                            warn!(
                                detail = rejection.detail,
                                "{n_rejected} answers were served but refused by the log"
                            );
                        }
                    }
                    Err(e) => {
                        counter!("waggle_answers_lost_total", "why" => "log").increment(n_answers);
                        warn!(error = %e, "{n_answers} answers were served but could not be recorded");
                    }
                }
            }
        });
        Self { queue }
    }

    /// Hands over the record of one served answer.
    pub fn record(&self, answer: Event) {
        if self.queue.try_send(answer).is_err() {
            counter!("waggle_answers_lost_total", "why" => "queue").increment(1);
        }
    }
}
