use bytes::Bytes;
use waggle_model::Timestamp;

use super::*;

fn rows(days: &[(i64, usize)]) -> Vec<Row> {
    let record = |day: i64, i: usize| LogRecord {
        partition: 0,
        offset: i as u64,
        key: Bytes::new(),
        value: Bytes::new(),
        timestamp: Timestamp::from_millis(day * DAY_MS + i as i64 % DAY_MS),
    };
    days.iter().flat_map(|&(day, n)| (0..n).map(move |i| Row::new(&record(day, i)))).collect()
}

#[track_caller]
fn check_cuts(days: &[(i64, usize)], expected: &[u64]) {
    let files = encode_files(rows(days)).unwrap();
    assert_eq!(files.iter().map(|file| file.n_rows).collect::<Vec<_>>(), expected);
}

#[test]
fn files_are_cut_between_days_once_they_are_worth_it() {
    check_cuts(&[(0, 10), (1, 10)], &[20]);
    check_cuts(&[(0, 9_000), (1, 10)], &[9_000, 10]);
    check_cuts(&[(-2, 5_000), (-1, 5_000), (0, 5_000), (1, 1)], &[10_000, 5_001]);
    check_cuts(&[(0, 20_000)], &[20_000]);
    check_cuts(&[(0, 8_192), (1, 1)], &[8_192, 1]);
    check_cuts(&[], &[0]);
}

#[test]
fn any_time_has_a_day_that_can_be_part_of_a_path() {
    assert_eq!(day_of(Timestamp::from_millis(0)), "1970-01-01");
    assert_eq!(day_of(Timestamp::from_millis(-1)), "1969-12-31");
    for odd in [i64::MIN, i64::MAX, 253_402_300_800_000, -62_200_000_000_000] {
        assert_eq!(day_of(Timestamp::from_millis(odd)), "undated");
    }
}
