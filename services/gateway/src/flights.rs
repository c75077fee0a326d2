//! One computation at a time for one question: who asks the same meanwhile takes its outcome.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use crate::answer_cache::CachedAnswer;

type Outcome = watch::Receiver<Option<CachedAnswer>>;

/// The questions that are being answered in this process.
#[derive(Debug, Default)]
pub struct Flights {
    running: Arc<Mutex<HashMap<Vec<u8>, Outcome>>>,
}

/// What is left to do for who asks.
pub enum Seat {
    /// Nobody answers this question yet.
    First(Flight),
    /// Somebody does.
    Later(Waiting),
}

impl Flights {
    pub fn join(&self, key: &[u8]) -> Seat {
        match locked(&self.running).entry(key.to_vec()) {
            Entry::Occupied(running) => Seat::Later(Waiting(running.get().clone())),
            Entry::Vacant(place) => {
                let (outcome, waiting) = watch::channel(None);
                place.insert(waiting);
                Seat::First(Flight { key: key.to_vec(), outcome, running: self.running.clone() })
            }
        }
    }
}

/// The duty to answer. Dropped without [`land`](Self::land), those who wait are told that there is no answer.
pub struct Flight {
    key: Vec<u8>,
    outcome: watch::Sender<Option<CachedAnswer>>,
    running: Arc<Mutex<HashMap<Vec<u8>, Outcome>>>,
}

impl Flight {
    pub fn land(self, answer: CachedAnswer) {
        self.outcome.send_replace(Some(answer));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        locked(&self.running).remove(&self.key);
    }
}

pub struct Waiting(Outcome);

impl Waiting {
    /// `None` if the other one gave up, or does not answer before `deadline`.
    pub async fn answer(mut self, deadline: Instant) -> Option<CachedAnswer> {
        let answered = tokio::time::timeout_at(deadline.into(), self.0.wait_for(Option::is_some)).await;
        answered.ok()?.ok()?.clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::answer_cache::tests::an_answer;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn those_who_come_later_take_the_outcome_of_the_first() {
        let flights = Flights::default();
        let Seat::First(flight) = flights.join(b"q") else { panic!("nobody answers yet") };
        assert!(matches!(flights.join(b"another"), Seat::First(_)));
        let Seat::Later(one) = flights.join(b"q") else { panic!("somebody answers") };
        let Seat::Later(other) = flights.join(b"q") else { panic!("somebody answers") };
        flight.land(an_answer(7));
        assert_eq!(one.answer(soon()).await.unwrap().n_candidates, 7);
        assert_eq!(other.answer(soon()).await.unwrap().n_candidates, 7);
        assert!(matches!(flights.join(b"q"), Seat::First(_)), "the next question is answered anew");
    }

    #[tokio::test]
    async fn nobody_waits_for_one_who_gave_up_or_is_late() {
        let flights = Flights::default();
        let Seat::First(flight) = flights.join(b"q") else { panic!("nobody answers yet") };
        let Seat::Later(waiting) = flights.join(b"q") else { panic!("somebody answers") };
        let Seat::Later(late) = flights.join(b"q") else { panic!("somebody answers") };
        assert!(late.answer(Instant::now()).await.is_none());
        drop(flight);
        assert!(waiting.answer(soon()).await.is_none());
    }
}
