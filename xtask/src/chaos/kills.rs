//! Who is killed, and when.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng, seq::SliceRandom};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Victim {
    /// A replica by number, with `kill -9`.
    Ingest(usize),
    Features(usize),
    /// With `kill -9`.
    KafkaKill,
    /// Stopped properly and started.
    KafkaRestart,
    RedisKill,
    RedisRestart,
}

impl Victim {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ingest(_) => "ingest",
            Self::Features(_) => "features",
            Self::KafkaKill => "kafka killed",
            Self::KafkaRestart => "kafka restarted",
            Self::RedisKill => "redis killed",
            Self::RedisRestart => "redis restarted",
        }
    }
}

/// Replicas of each role.
pub(super) const N_REPLICAS: usize = 2;

pub(super) struct Strike {
    pub(super) victim: Victim,
}

/// Pauses are drawn from an exponential distribution, so that kills are a Poisson process; victims from a deck that holds
/// every kind, so that a short run meets them all.
pub(super) struct Schedule {
    rng: StdRng,
    mean: Duration,
    deck: Vec<Victim>,
}

impl Schedule {
    /// - `n_done`: kills before an interruption; what follows then is another sequence
    pub(super) fn new(seed: u64, mean: Duration, n_done: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed.wrapping_add(n_done)), mean, deck: Vec::new() }
    }

    pub(super) fn pause(&mut self) -> Duration {
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let u: f64 = self.rng.r#gen();
        self.mean.mul_f64(-(1.0 - u).ln())
    }

    /// The next victim; one that cannot be struck (it is down already) is left for later in favour of a role.
    pub(super) fn next(&mut self, can_strike: impl Fn(Victim) -> bool) -> Strike {
        if self.deck.is_empty() {
            self.deck = self.shuffled_deck();
        }
        let place = (0..self.deck.len()).rev().find(|place| can_strike(self.deck[*place]));
        let victim = match place {
            Some(place) => self.deck.remove(place),
            None => Victim::Features(self.rng.gen_range(0..N_REPLICAS)),
        };
        Strike { victim }
    }

    /// Twenty: eight of each role, and each service killed once and restarted once.
    fn shuffled_deck(&mut self) -> Vec<Victim> {
        const OF_EACH_ROLE: usize = 8;
        let roles = (0..OF_EACH_ROLE).flat_map(|nth| {
            let replica = nth % N_REPLICAS;
            [Victim::Ingest(replica), Victim::Features(replica)]
        });
        let services = [Victim::KafkaKill, Victim::KafkaRestart, Victim::RedisKill, Victim::RedisRestart];
        let mut deck: Vec<Victim> = roles.chain(services).collect();
        deck.shuffle(&mut self.rng);
        deck
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn twenty_kills_meet_every_kind_of_victim() {
        let mut schedule = Schedule::new(1, Duration::from_secs(4), 0);
        let mut counts: HashMap<Victim, usize> = HashMap::new();
        for _ in 0..20 {
            *counts.entry(schedule.next(|_| true).victim).or_default() += 1;
        }
        assert_eq!(counts.len(), 8);
        assert_eq!(counts[&Victim::Features(1)], 4);
        assert_eq!(counts[&Victim::KafkaKill], 1);
    }

    #[test]
    fn what_is_down_already_is_left_for_later() {
        let mut schedule = Schedule::new(1, Duration::from_secs(4), 0);
        let mut victims: Vec<Victim> =
            (0..19).map(|_| schedule.next(|victim| victim != Victim::RedisKill).victim).collect();
        assert!(!victims.contains(&Victim::RedisKill));
        victims.push(schedule.next(|_| true).victim);
        assert_eq!(victims.last(), Some(&Victim::RedisKill));
    }

    #[test]
    fn pauses_have_the_mean_and_the_spread_of_a_poisson_process() {
        let mut schedule = Schedule::new(1, Duration::from_secs(4), 0);
        let pauses: Vec<f64> = (0..20_000).map(|_| schedule.pause().as_secs_f64()).collect();
        let mean = pauses.iter().sum::<f64>() / pauses.len() as f64;
        let deviation = (pauses.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / pauses.len() as f64).sqrt();
        assert!((mean - 4.0).abs() < 0.1, "{mean}");
        assert!((deviation - 4.0).abs() < 0.15, "{deviation}");
    }
}
