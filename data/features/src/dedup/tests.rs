use proptest::prelude::*;

use super::*;

fn id(n: u64) -> EventId {
    EventId::try_new(n.to_string()).unwrap()
}

#[test]
fn the_window_ends_after_exactly_its_length() {
    for (distance, is_duplicate) in [(1, true), (WINDOW, true), (WINDOW + 1, false)] {
        let mut window = DedupWindow::new(0);
        assert!(!window.record(7, Some(&id(1))));
        for offset in 8..7 + distance {
            assert!(!window.record(offset, None));
        }
        assert_eq!(window.record(7 + distance, Some(&id(1))), is_duplicate, "distance {distance}");
    }
}

#[test]
fn a_gap_in_the_log_counts_as_positions() {
    for (distance, is_duplicate) in [(WINDOW, true), (WINDOW + 1, false), (9 * WINDOW, false)] {
        let mut window = DedupWindow::new(0);
        window.record(0, Some(&id(1)));
        assert_eq!(window.record(distance, Some(&id(1))), is_duplicate, "distance {distance}");
    }
}

#[test]
fn events_without_an_id_are_never_duplicates() {
    let mut window = DedupWindow::new(0);
    assert!((0..10).all(|offset| !window.record(offset, None)));
    assert!(window.take_touched().is_empty());
}

#[test]
fn one_event_touches_one_chunk() {
    let mut window = DedupWindow::new(0);
    window.record(CHUNK * 5 + 3, Some(&id(1)));
    assert_eq!(window.take_touched(), [5]);
    assert_eq!(window.take_touched(), [0_usize; 0]);
}

#[test]
fn a_chunk_of_another_length_is_refused() {
    let short = [0_u8; 17];
    assert_eq!(DedupWindow::load(10, [None, Some(&short[..])]), Err(1));
}

proptest! {
    /// Against the rule as it is written: look at the positions before. Steps jump, so that windows end inside.
    #[test]
    fn the_window_agrees_with_looking_back(steps in prop::collection::vec((1..20_000_u64, 0..6_u64), 1..60)) {
        let mut window = DedupWindow::new(0);
        let mut log: Vec<(u64, u64)> = Vec::new();
        let mut offset = 0;
        for (step, n) in steps {
            offset += step;
            let expected = log.iter().any(|(seen, m)| *m == n && offset - seen <= WINDOW);
            prop_assert_eq!(window.record(offset, Some(&id(n))), expected);
            log.push((offset, n));
        }
    }

    /// Stored after any step and loaded again, it is the same window.
    #[test]
    fn a_loaded_window_is_the_stored_one(steps in prop::collection::vec((1..9_000_u64, 0..6_u64), 1..40)) {
        let mut window = DedupWindow::new(0);
        let mut stored: Vec<Option<Vec<u8>>> = vec![None; N_CHUNKS];
        let mut offset = 0;
        for (step, n) in steps {
            offset += step;
            window.record(offset, Some(&id(n)));
            for place in window.take_touched() {
                stored[place] = Some(window.chunk(place));
            }
        }
        let loaded = DedupWindow::load(offset + 1, stored.iter().map(Option::as_deref)).unwrap();
        prop_assert_eq!(loaded, window);
    }
}
