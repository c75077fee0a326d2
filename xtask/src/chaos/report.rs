//! What a run has shown.

use std::{collections::BTreeMap, fmt, sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use super::{
    N_PARTITIONS,
    check::Found,
    fleet::Replayed,
    kills::Victim,
    load::{Loaded, Moment, Shared, Sight},
    truth::{INSIDE, Journal, Plan},
};
use crate::e2e::expect::percentile;

pub(crate) struct Report {
    run: String,
    seed: u64,
    /// Kills before an interruption: the figures of time and load do not know them.
    kills_before: u64,
    kills: BTreeMap<String, u64>,
    inside_a_batch: u64,
    strikes: Vec<(Victim, Duration)>,
    /// When the clients paused for a check.
    pauses: Vec<Duration>,
    n_events: u64,
    loaded: Duration,
    n_checks: u64,
    found: Found,
    /// Only after the last kill.
    pub(super) replayed: Option<Replayed>,
    n_retries: u64,
    n_repeats: u64,
    pub(super) ended_by_themselves: u64,
    /// Acknowledged → visible, sorted, in milliseconds.
    visible_ms: Vec<f64>,
    /// A features process killed → an event of every partition visible again, sorted, in milliseconds.
    moved_on_ms: Vec<f64>,
    /// The same for Kafka and Redis, whatever else was killed meanwhile.
    stood_again_ms: Vec<f64>,
    /// Whether all kills that were asked for are done.
    pub(crate) is_complete: bool,
}

impl Report {
    pub(super) fn new(plan: &Plan, journal: &Journal) -> Self {
        let (mut kills, mut inside_a_batch) = (BTreeMap::new(), 0);
        for (place, victim) in journal.earlier_kills() {
            *kills.entry(victim.to_owned()).or_default() += 1;
            inside_a_batch += u64::from(place == INSIDE);
        }
        Self {
            run: plan.run.clone(),
            seed: plan.seed,
            kills_before: journal.n_kills(),
            kills,
            inside_a_batch,
            strikes: Vec::new(),
            pauses: Vec::new(),
            n_events: 0,
            loaded: Duration::ZERO,
            n_checks: 0,
            found: Found::default(),
            replayed: None,
            n_retries: 0,
            n_repeats: 0,
            ended_by_themselves: 0,
            visible_ms: Vec::new(),
            moved_on_ms: Vec::new(),
            stood_again_ms: Vec::new(),
            is_complete: false,
        }
    }

    pub(super) fn struck(&mut self, victim: Victim, moment: &Moment, at: Duration) {
        *self.kills.entry(victim.as_str().to_owned()).or_default() += 1;
        self.inside_a_batch += u64::from(moment.is_inside_a_batch());
        self.strikes.push((victim, at));
    }

    pub(super) fn paused(&mut self, at: Duration) {
        self.pauses.push(at);
    }

    pub(super) fn loaded(&mut self, loaded: Loaded) {
        self.n_events += loaded.n_events;
        self.loaded += loaded.took;
    }

    pub(super) fn checked(&mut self, shared: &Shared, found: Found) {
        self.n_checks += 1;
        self.found = found;
        self.n_retries = shared.n_retries.load(Ordering::SeqCst);
        self.n_repeats = shared.n_repeats.load(Ordering::SeqCst);
        let sights = shared.sights.lock().expect("no canary panics");
        let is_service = |victim| !matches!(victim, Victim::Ingest(_) | Victim::Features(_));
        self.visible_ms = sorted_ms(sights.iter().map(|sight| sight.seen - sight.acknowledged));
        self.moved_on_ms = sorted_ms(moved_on(&self.strikes, &self.pauses, &sights));
        let services = self.strikes.iter().filter(|(victim, _)| is_service(*victim));
        let stood_again = |at: Duration| Some(all_seen(at, &self.pauses, &sights)? - at);
        self.stood_again_ms = sorted_ms(services.filter_map(|(_, at)| stood_again(*at)));
    }

    fn n_kills(&self) -> u64 {
        self.kills.values().sum()
    }

    pub(crate) fn is_clean(&self) -> bool {
        let is_replayed = self.replayed.as_ref().is_none_or(|replayed| replayed.verified);
        self.n_checks > 0 && self.found.is_clean() && is_replayed
    }

    fn events_per_s(&self) -> f64 {
        self.n_events as f64 / self.loaded.as_secs_f64().max(1e-3)
    }

    pub(crate) fn to_json(&self) -> Value {
        let Found { n_acknowledged, n_persons, n_records, features, archive } = &self.found;
        json!({
            "kills": self.n_kills(),
            "acknowledged": n_acknowledged,
            "lost": features.lost + archive.lost,
            "duplicated": features.duplicated + archive.duplicated,
            "features": {"lost": features.lost, "duplicated": features.duplicated},
            "archive": {"lost": archive.lost, "duplicated": archive.duplicated},
            "persons": n_persons,
            "records": n_records,
            "replay_equals_state": self.replayed.as_ref().map(|replayed| replayed.verified),
            "complete": self.is_complete,
            "kills_by_victim": self.kills,
            "kills_inside_a_batch": self.inside_a_batch,
            "kills_before_resume": self.kills_before,
            "ended_by_themselves": self.ended_by_themselves,
            "requests_repeated": self.n_retries,
            "repeats_seen_by_ingest": self.n_repeats,
            "events_per_s": self.events_per_s(),
            "seconds_under_load": self.loaded.as_secs_f64(),
            "visible_ms": quantiles(&self.visible_ms),
            "moved_on_ms": quantiles(&self.moved_on_ms),
            "services_stood_again_ms": quantiles(&self.stood_again_ms),
            "checks": self.n_checks,
            "run": self.run,
            "seed": self.seed,
        })
    }

    /// One line for a summary.
    pub(crate) fn in_short(&self) -> String {
        let Found { n_acknowledged, features, archive, .. } = &self.found;
        let lost = features.lost + archive.lost;
        let duplicated = features.duplicated + archive.duplicated;
        let (kills, inside) = (self.n_kills(), self.inside_a_batch);
        let replay = match &self.replayed {
            None => "",
            Some(Replayed { verified: true, .. }) => ", replay equals state",
            Some(Replayed { verified: false, .. }) => ", replay DIFFERS from the state",
        };
        format!(
            "{n_acknowledged} events over {kills} kills ({inside} inside a batch): lost {lost}, counted twice {duplicated}{replay}"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.in_short())?;
        let victims: Vec<String> = self.kills.iter().map(|(victim, n)| format!("{victim} {n}")).collect();
        writeln!(f, "  kills         {}", victims.join(", "))?;
        writeln!(f, "  ended alone   {}", self.ended_by_themselves)?;
        let (retries, known) = (self.n_retries, self.n_repeats);
        let repeats = self.found.n_records.saturating_sub(self.found.n_acknowledged);
        writeln!(
            f,
            "  repeated      {retries} requests; {repeats} events stand in the log again, ingest said so of {known}"
        )?;
        let (rate, seconds) = (self.events_per_s(), self.loaded.as_secs_f64());
        writeln!(f, "  load          {rate:.0} events/s over {seconds:.0} s, {} checks", self.n_checks)?;
        for (name, sorted) in [
            ("visible after", &self.visible_ms),
            ("moved on in", &self.moved_on_ms),
            ("services back", &self.stood_again_ms),
        ] {
            if let Some(max) = sorted.last() {
                let (p50, p99) = (percentile(sorted, 0.5), percentile(sorted, 0.99));
                writeln!(
                    f,
                    "  {name:<13} p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms (n = {})",
                    sorted.len()
                )?;
            }
        }
        write!(f, "  seed          {}", self.seed)
    }
}

fn quantiles(sorted: &[f64]) -> Value {
    match sorted.last() {
        None => Value::Null,
        Some(max) => {
            let (p50, p99) = (percentile(sorted, 0.5), percentile(sorted, 0.99));
            json!({"p50": p50, "p99": p99, "max": max, "n": sorted.len()})
        }
    }
}

/// For each kill of a features process, the time until every partition has shown an event again. Kills with Kafka or Redis
/// struck around them are left out: what is waited for then is another thing.
fn moved_on(strikes: &[(Victim, Duration)], pauses: &[Duration], sights: &[Sight]) -> Vec<Duration> {
    /// What a service needs to stand again.
    const REPAIR: Duration = Duration::from_secs(10);
    let is_role = |victim: Victim| matches!(victim, Victim::Ingest(_) | Victim::Features(_));
    let services: Vec<Duration> =
        strikes.iter().filter(|(victim, _)| !is_role(*victim)).map(|(_, at)| *at).collect();
    let kills = strikes.iter().filter(|(victim, _)| matches!(victim, Victim::Features(_)));
    kills
        .filter_map(|(_, at)| {
            let end = all_seen(*at, pauses, sights)?;
            let is_disturbed = services.iter().any(|t| (at.saturating_sub(REPAIR)..end).contains(t));
            (!is_disturbed).then(|| end - *at)
        })
        .collect()
}

/// When every partition had shown an event after this moment; nothing if one never did, or only after a pause, in which
/// no events are sent that could show. Sights lie in the order of time.
fn all_seen(after: Duration, pauses: &[Duration], sights: &[Sight]) -> Option<Duration> {
    let later = &sights[sights.partition_point(|sight| sight.seen <= after)..];
    let first = |partition| later.iter().find(|sight| sight.partition == partition).map(|sight| sight.seen);
    let end = (0..N_PARTITIONS).map(first).collect::<Option<Vec<_>>>()?.into_iter().max()?;
    (!pauses.iter().any(|pause| (after..end).contains(pause))).then_some(end)
}

fn sorted_ms(times: impl IntoIterator<Item = Duration>) -> Vec<f64> {
    let mut ms: Vec<f64> = times.into_iter().map(|took| took.as_secs_f64() * 1e3).collect();
    ms.sort_by(f64::total_cmp);
    ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_over_when_every_partition_shows_events_again() {
        let s = Duration::from_secs;
        let mut sights: Vec<Sight> = (0..N_PARTITIONS)
            .flat_map(|partition| {
                // Partition 2 stands still from 10 s to 14 s.
                let pause = if partition == 2 { 4 } else { 1 };
                [s(9), s(10), s(10 + pause), s(50)].map(|seen| Sight { partition, acknowledged: s(0), seen })
            })
            .collect();
        sights.sort_by_key(|sight| sight.seen);
        let kill = (Victim::Features(0), s(10));
        assert_eq!(moved_on(&[kill, (Victim::Ingest(1), s(11))], &[s(9)], &sights), [s(4)]);
        assert_eq!(moved_on(&[kill, (Victim::RedisKill, s(12))], &[], &sights), Vec::<Duration>::new());
        assert_eq!(moved_on(&[kill], &[s(12)], &sights), Vec::<Duration>::new());
        // Nothing was seen after the last one.
        assert_eq!(moved_on(&[(Victim::Features(1), s(60))], &[], &sights), Vec::<Duration>::new());
    }
}
