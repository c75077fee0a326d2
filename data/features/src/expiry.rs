//! How long states are kept, and how many: decided by log position and event time, so that a replay forgets what the
//! first fold forgot, bit for bit.
//!
//! At every [`SWEEP_EVERY`]th position of a partition the fold looks at one slot of the partition's states, the next one
//! each time, and removes from it whoever was not seen for the policy's time, and the least recently seen beyond the
//! slot's share of the policy's number: sessions before users. A round over all 64 slots takes 1,048,576 positions, and
//! that is how late an expiry may be, and how many newcomers may stand above the limit. Per event it costs a look at one
//! state for each million that is kept.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use waggle_model::Timestamp;

use crate::{
    DAY_MS, StateDecodeError,
    codec::{Reader, Writer},
    item::ItemSeen,
    person::PersonSeen,
};

/// Positions between two sweeps.
pub const SWEEP_EVERY: u64 = 16_384;
/// Most changes of policy that are remembered.
const MAX_POLICIES: usize = 64;
/// How far one event moves the partition's clock on, and how far it may lie behind without moving it back.
const MAX_STEP_MS: i64 = DAY_MS;
/// What part of its distance an event that lies farther behind takes the clock back, if that is more than a step.
const BACK_SHARE: i64 = 64;
const VERSION: u8 = 1;

/// How long states are kept, and how many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FoldPolicy {
    /// A user not seen for this many days is forgotten.
    pub user_ttl_days: u32,
    /// A session not seen for this many days is forgotten, also one that was merged into a user.
    pub session_ttl_days: u32,
    /// The counters of an item that nothing happened to for this many days are forgotten.
    pub item_ttl_days: u32,
    /// Most people (users and sessions) kept per partition of the log; about 1.5 KB each at worst.
    pub max_persons: u64,
    /// Most items kept per partition of the log; about 1 KB each at worst.
    pub max_items: u64,
}

impl Default for FoldPolicy {
    fn default() -> Self {
        Self {
            user_ttl_days: 3 * 365,
            session_ttl_days: 180,
            item_ttl_days: 3 * 365,
            max_persons: 2_000_000,
            max_items: 1_000_000,
        }
    }
}

impl FoldPolicy {
    /// # Errors
    /// One sentence that names the field and its limits.
    pub fn validate(&self) -> Result<(), String> {
        for (name, days) in [
            ("user_ttl_days", self.user_ttl_days),
            ("session_ttl_days", self.session_ttl_days),
            ("item_ttl_days", self.item_ttl_days),
        ] {
            if !(1..=36_500).contains(&days) {
                return Err(format!("{name} is {days}, it must be between 1 and 36500"));
            }
        }
        for (name, n) in [("max_persons", self.max_persons), ("max_items", self.max_items)] {
            if !(10_000..=1_000_000_000).contains(&n) {
                return Err(format!("{name} is {n}, it must be between 10000 and 1000000000"));
            }
        }
        Ok(())
    }
}

/// What the fold of one partition remembers of itself: its clock, and which policy was in force from where on. A replay
/// that is given the record decides as the first fold did, whatever the configuration says by then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoldRecord {
    /// The partition's event time as expiry takes it. An event moves it forward by a day at most, and one of more than a
    /// day ago takes it back, by a day or a 64th of the way: so it is where most events are or before, and those with
    /// times far in the future do not make everybody look long gone, not even if one of them is the very first.
    clock: Option<Timestamp>,
    /// Offset of the first record under each policy, ascending.
    policies: Vec<(u64, FoldPolicy)>,
}

impl FoldRecord {
    /// Puts `policy` in force from `offset` on, if it is not already.
    pub fn adopt(&mut self, offset: u64, policy: FoldPolicy) {
        if self.policies.last().is_none_or(|(_, newest)| *newest != policy) {
            self.policies.retain(|(from, _)| *from < offset);
            self.policies.push((offset, policy));
            if self.policies.len() > MAX_POLICIES {
                self.policies.remove(0);
            }
        }
    }

    /// The policies that `other` knows of, with this record's clock: what a replay goes by.
    #[must_use]
    pub fn under_policies_of(&self, other: &Self) -> Self {
        Self { clock: self.clock, policies: other.policies.clone() }
    }

    /// The policy in force at a position.
    pub fn policy_at(&self, offset: u64) -> FoldPolicy {
        let in_force = self.policies.iter().rev().find(|(from, _)| *from <= offset);
        in_force.or(self.policies.first()).map_or_else(FoldPolicy::default, |(_, policy)| *policy)
    }

    /// An event of this time was folded.
    pub fn advance(&mut self, time: Timestamp) {
        let Some(clock) = self.clock else {
            self.clock = Some(time);
            return;
        };
        let behind_ms = clock.as_millis().saturating_sub(time.as_millis());
        self.clock = Some(if behind_ms > MAX_STEP_MS {
            clock.shifted_by_millis(-MAX_STEP_MS.max(behind_ms / BACK_SHARE))
        } else {
            clock.max(time.min(clock.shifted_by_millis(MAX_STEP_MS)))
        });
    }

    /// What moving from `next` on to `offset` makes due, given that slots are numbered below `n_slots`; a gap in the log
    /// makes up for no more than one sweep.
    pub fn sweep_due(&self, next: u64, offset: u64, n_slots: u16) -> Option<Sweep> {
        let number = offset / SWEEP_EVERY;
        if number * SWEEP_EVERY < next || number == 0 {
            return None;
        }
        let slot = u16::try_from(number % u64::from(n_slots)).expect("below a number of 16 bits");
        Some(Sweep { slot, n_slots, as_of: self.clock?, policy: self.policy_at(offset) })
    }

    /// The stored form of what holds below `next_offset`: a policy that only begins there is not part of it.
    pub fn encode(&self, next_offset: u64) -> Vec<u8> {
        let mut writer = Writer::new(VERSION, 64);
        writer.byte(u8::from(self.clock.is_some()));
        writer.time(self.clock.unwrap_or_default());
        let begun: Vec<_> = self.policies.iter().filter(|(from, _)| *from < next_offset).collect();
        writer.varint(begun.len() as u64);
        for (from, policy) in begun {
            writer.varint(*from);
            for days in [policy.user_ttl_days, policy.session_ttl_days, policy.item_ttl_days] {
                writer.varint(days.into());
            }
            writer.varint(policy.max_persons);
            writer.varint(policy.max_items);
        }
        writer.finish()
    }

    /// # Errors
    /// [`StateDecodeError`] for bytes that [`encode`](Self::encode) of this version did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        let reader = &mut Reader::new(VERSION, bytes)?;
        let is_started = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(StateDecodeError::Malformed("the clock is neither known nor unknown")),
        };
        let clock = Some(reader.time()?).filter(|_| is_started);
        let n = reader.count(MAX_POLICIES, 6)?;
        let policies = (0..n)
            .map(|_| {
                let from = reader.varint()?;
                let policy = FoldPolicy {
                    user_ttl_days: reader.narrow()?,
                    session_ttl_days: reader.narrow()?,
                    item_ttl_days: reader.narrow()?,
                    max_persons: reader.varint()?,
                    max_items: reader.varint()?,
                };
                Ok((from, policy))
            })
            .collect::<Result<_, StateDecodeError>>()?;
        reader.finish()?;
        Ok(Self { clock, policies })
    }
}

/// One slot to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    pub slot: u16,
    n_slots: u16,
    as_of: Timestamp,
    policy: FoldPolicy,
}

impl Sweep {
    /// Keys of the people to forget, of all that the slot holds.
    pub fn expired_persons(&self, slot: impl IntoIterator<Item = (u64, PersonSeen)>) -> Vec<u64> {
        let ttl_days = |seen: &PersonSeen| {
            if seen.is_user { self.policy.user_ttl_days } else { self.policy.session_ttl_days }
        };
        let people = slot.into_iter().map(|(key, seen)| (key, seen.is_user, seen.last, ttl_days(&seen)));
        self.expired(people, self.policy.max_persons)
    }

    /// Keys of the items to forget, of all that the slot holds.
    pub fn expired_items(&self, slot: impl IntoIterator<Item = (u64, ItemSeen)>) -> Vec<u64> {
        let items = slot.into_iter().map(|(key, seen)| (key, false, seen.last, self.policy.item_ttl_days));
        self.expired(items, self.policy.max_items)
    }

    /// - `slot`: key, whether it outlasts others, when it was last seen, for how many days it is kept
    fn expired(&self, slot: impl Iterator<Item = (u64, bool, Timestamp, u32)>, max: u64) -> Vec<u64> {
        let is_expired = |last: Timestamp, ttl_days: u32| {
            last < self.as_of.shifted_by_millis(-i64::from(ttl_days) * DAY_MS)
        };
        let (expired, mut kept): (Vec<_>, Vec<_>) =
            slot.partition(|(_, _, last, ttl)| is_expired(*last, *ttl));
        let mut keys: Vec<u64> = expired.into_iter().map(|(key, ..)| key).collect();
        let share = usize::try_from(max / u64::from(self.n_slots)).unwrap_or(usize::MAX);
        if kept.len() > share {
            // What is to stay comes first.
            kept.sort_unstable_by_key(|(key, outlasts, last, _)| (Reverse(*outlasts), Reverse(*last), *key));
            keys.extend(kept.drain(share..).map(|(key, ..)| key));
        }
        keys.sort_unstable();
        keys
    }
}

#[cfg(test)]
mod tests;
