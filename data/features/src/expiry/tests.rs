use proptest::prelude::*;

use super::*;
use crate::testing::days;

const N_SLOTS: u16 = 64;

fn policy(max_persons: u64) -> FoldPolicy {
    FoldPolicy {
        user_ttl_days: 100,
        session_ttl_days: 10,
        item_ttl_days: 50,
        max_persons,
        max_items: 1 << 20,
    }
}

fn sweep(max_persons: u64) -> Sweep {
    let mut record = FoldRecord::default();
    record.adopt(0, policy(max_persons));
    record.advance(days(1_000.0));
    record.sweep_due(SWEEP_EVERY, SWEEP_EVERY, N_SLOTS).unwrap()
}

fn seen(is_user: bool, days_ago: f64) -> PersonSeen {
    PersonSeen { is_user, last: days(1_000.0 - days_ago) }
}

#[test]
fn whoever_was_not_seen_for_long_goes_and_sessions_go_sooner() {
    let people =
        [(1, seen(true, 99.0)), (2, seen(true, 101.0)), (3, seen(false, 9.0)), (4, seen(false, 11.0))];
    assert_eq!(sweep(1 << 20).expired_persons(people), [2, 4]);
    let items = [(1, ItemSeen { last: days(949.0) }), (2, ItemSeen { last: days(951.0) })];
    assert_eq!(sweep(1 << 20).expired_items(items), [1]);
}

#[test]
fn beyond_the_slots_share_sessions_go_before_users_and_the_longest_unseen_first() {
    let people = [
        (1, seen(true, 90.0)),
        (2, seen(false, 1.0)),
        (3, seen(false, 2.0)),
        (4, seen(true, 5.0)),
        (5, seen(false, 1.0)),
    ];
    assert_eq!(sweep(3 * 64).expired_persons(people), [3, 5], "of equals the smaller key stays");
    assert_eq!(sweep(64).expired_persons(people), [1, 2, 3, 5]);
}

#[test]
fn a_sweep_is_due_at_every_multiple_whatever_the_batches_and_once_for_a_gap() {
    let mut record = FoldRecord::default();
    record.advance(days(1.0));
    let due = |next, offset| record.sweep_due(next, offset, N_SLOTS).map(|sweep| sweep.slot);
    let n = SWEEP_EVERY;
    assert_eq!((due(0, 0), due(n - 1, n - 1), due(n, n), due(n + 1, n + 1)), (None, None, Some(1), None));
    assert_eq!(
        (due(n - 9, n + 9), due(n - 9, 8 * n - 1), due(2 * n + 1, 3 * n - 1)),
        (Some(1), Some(7), None)
    );
    assert_eq!((due(64 * n, 64 * n), due(65 * n, 65 * n)), (Some(0), Some(1)));
}

#[test]
fn one_event_from_the_future_moves_the_clock_by_a_day() {
    let mut record = FoldRecord::default();
    record.advance(days(100.0));
    record.advance(days(90_000.0));
    assert_eq!(record.clock, Some(days(101.0)));
    record.advance(days(100.0));
    assert_eq!(record.clock, Some(days(101.0)), "a day of disorder is nothing");
    record.advance(days(101.5));
    assert_eq!(record.clock, Some(days(101.5)));
}

#[test]
fn events_from_the_future_do_not_take_the_clock_away_from_where_most_events_are() {
    let mut record = FoldRecord::default();
    // The very first is three hundred years ahead; the others are of today, but for every third of them.
    record.advance(days(110_000.0));
    for n in 0..3_000 {
        record.advance(days(if n % 3 == 0 { 110_000.0 } else { 100.0 }));
    }
    let clock = record.clock.unwrap();
    assert!(clock >= days(100.0) && clock <= days(102.0), "{clock}");
    // Old events that are taken in beside today's do not hold it up either.
    for n in 0..300 {
        record.advance(days(if n % 3 == 0 { 1.0 } else { 110.0 }));
    }
    assert_eq!(record.clock, Some(days(110.0)));
}

#[test]
fn a_policy_holds_from_its_offset_on_and_is_stored_once_it_has_begun() {
    let mut record = FoldRecord::default();
    record.adopt(0, policy(20_000));
    record.adopt(500, policy(20_000));
    record.adopt(700, policy(30_000));
    assert_eq!(
        [0, 699, 700, 9_999].map(|offset| record.policy_at(offset).max_persons),
        [20_000, 20_000, 30_000, 30_000]
    );
    let stored = |next_offset| FoldRecord::decode(&record.encode(next_offset)).unwrap().policies.len();
    assert_eq!((stored(0), stored(700), stored(701)), (0, 1, 2));
    // A policy that was never used makes room for the one that is.
    record.adopt(700, policy(40_000));
    assert_eq!(record.policies, [(0, policy(20_000)), (700, policy(40_000))]);
    // A replay goes by what was in force, with its own clock.
    let mut replay = FoldRecord::default();
    replay.advance(days(3.0));
    let replay = replay.under_policies_of(&record);
    assert_eq!((replay.clock, &replay.policies), (Some(days(3.0)), &record.policies));
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_with_the_limits() {
    FoldPolicy::default().validate().unwrap();
    let error = FoldPolicy { user_ttl_days: 0, ..FoldPolicy::default() }.validate().unwrap_err();
    assert_eq!(error, "user_ttl_days is 0, it must be between 1 and 36500");
    let error = FoldPolicy { max_items: 9_999, ..FoldPolicy::default() }.validate().unwrap_err();
    assert_eq!(error, "max_items is 9999, it must be between 10000 and 1000000000");
}

proptest! {
    #[test]
    fn a_record_reads_back(clock in prop::option::of(any::<i64>()), changes in prop::collection::vec((1..1_000_u64, 1..99_u32), 0..80)) {
        let mut record = FoldRecord { clock: clock.map(Timestamp::from_millis), policies: Vec::new() };
        let mut offset = 0;
        for (step, days) in changes {
            offset += step;
            record.adopt(offset, FoldPolicy { user_ttl_days: days, ..FoldPolicy::default() });
        }
        prop_assert!(record.policies.len() <= MAX_POLICIES);
        prop_assert_eq!(FoldRecord::decode(&record.encode(offset + 1)).unwrap(), record);
    }

    #[test]
    fn any_bytes_give_a_record_or_an_error_but_no_panic(body in prop::collection::vec(any::<u8>(), 0..100)) {
        FoldRecord::decode(&[&[VERSION][..], &body].concat()).ok();
    }
}
