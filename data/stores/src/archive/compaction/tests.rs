use super::*;

const RULE: CompactionRule = CompactionRule { max_rows: 10_000, max_bytes: 1 << 20 };

/// Files of one partition, one batch after the other.
fn files(partition: u32, rows: &[u64]) -> Vec<ArchiveFile> {
    let mut next = 0;
    let file = |&n_rows: &u64| {
        let first_offset = next;
        next += n_rows.max(1);
        ArchiveFile {
            topic: Topic::Events,
            path: format!("{partition}-{first_offset}"),
            day: "1970-01-01".to_owned(),
            partition,
            first_offset,
            last_offset: next - 1,
            n_rows,
            size_bytes: n_rows,
            sha256: String::new(),
            min_time: Timestamp::from_millis(0),
            max_time: Timestamp::from_millis(0),
        }
    };
    rows.iter().map(file).collect()
}

/// - `expected`: rows of the batches of each merge.
#[track_caller]
fn check(rows: &[u64], expected: &[&[u64]]) {
    let runs = plan(files(0, rows), &RULE);
    let planned = runs.iter().map(|run| run.iter().map(|f| f.n_rows).collect::<Vec<_>>()).collect::<Vec<_>>();
    assert_eq!(planned, expected);
}

#[test]
fn eight_of_a_tier_become_one() {
    check(&[1; 7], &[]);
    check(&[1; 8], &[&[1; 8]]);
    check(&[1; 20], &[&[1; 20]]);
    check(&[0, 0, 0, 0, 1, 1, 1, 1], &[&[0, 0, 0, 0, 1, 1, 1, 1]]);
}

#[test]
fn a_large_batch_is_not_rewritten_for_a_few_small_ones() {
    check(&[900, 1, 1, 1, 1, 1, 1, 1], &[]);
    check(&[900, 1, 1, 1, 1, 1, 1, 1, 1], &[&[1; 8]]);
    check(&[1, 1, 1, 900, 1, 1, 1, 1, 1], &[]);
    check(&[600, 600, 600, 600, 3, 600, 600, 600, 600], &[&[600, 600, 600, 600, 3, 600, 600, 600, 600]]);
}

#[test]
fn no_batch_outgrows_the_rule() {
    check(&[5_000, 9_000], &[]);
    check(&[4_000, 4_000, 4_000], &[&[4_000, 4_000]]);
    check(&[4_000, 4_000], &[]);
    let runs = plan(files(0, &[1_000; 25]), &RULE);
    assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10]);
}

#[test]
fn gaps_and_partitions_are_not_bridged() {
    let mut two = files(0, &[1; 7]);
    two.extend(files(1, &[1; 7]));
    assert!(plan(two, &RULE).is_empty());
    let mut holed = files(0, &[1; 15]);
    holed.remove(7);
    assert!(plan(holed, &RULE).is_empty());
}

#[test]
fn the_files_of_one_batch_stay_together() {
    let mut many = files(0, &[1; 8]);
    many.insert(3, many[3].clone());
    let runs = plan(many, &RULE);
    assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [9]);
}

#[test]
fn a_trickle_is_rewritten_a_few_times_and_leaves_few_batches() {
    let rule = CompactionRule { max_rows: 100_000, max_bytes: 1 << 40 };
    let (mut batches, mut n_rows, mut n_rewritten) = (Vec::new(), 0, 0);
    for i in 0..20_000_u64 {
        batches.push(20 + i % 21);
        n_rows += 20 + i % 21;
        loop {
            let runs = plan(files(0, &batches), &rule);
            if runs.is_empty() {
                break;
            }
            // By the offset of their first file, which tells which batches were merged.
            let all = files(0, &batches);
            let mut merged = Vec::new();
            for file in &all {
                match runs.iter().find(|run| run.iter().any(|f| f.path == file.path)) {
                    None => merged.push(file.n_rows),
                    Some(run) if run[0].path == file.path => {
                        let n_rows = run.iter().map(|f| f.n_rows).sum();
                        n_rewritten += n_rows;
                        merged.push(n_rows);
                    }
                    Some(_) => {}
                }
            }
            batches = merged;
        }
    }
    assert_eq!(batches.iter().sum::<u64>(), n_rows);
    assert!(batches.len() <= 45, "{} batches", batches.len());
    assert!(n_rewritten <= 6 * n_rows, "each row was written {} times", n_rewritten / n_rows);
}
