//! The embedded log: its contract, reopening, full disks, damage, and `kill -9`.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use waggle_stores::{EventLog, LogError, NewRecord, SqliteLog, SqliteLogOptions, Topic};

use crate::contract::log::{closing_ends_everything, event_log_contract, noise, read_all, record};

async fn open(path: &Path, n_partitions: u32) -> Result<SqliteLog, LogError> {
    SqliteLog::open(path, SqliteLogOptions { n_partitions, max_bytes: None }).await
}

/// Opening must fail with a message that names the file and says `expected`.
#[track_caller]
fn check_refused(opened: Result<SqliteLog, LogError>, path: &Path, expected: &str) {
    let message = opened.expect_err("opening is refused").to_string();
    assert!(message.contains(expected), "{message}");
    assert!(message.contains(&path.display().to_string()), "names the file: {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(&folder.path().join("events.log"), 4).await.unwrap());
    event_log_contract(Arc::clone(&log) as Arc<dyn EventLog>).await;
    log.verify().await.unwrap();
    closing_ends_everything(log).await;
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/events.log");
    let log = open(&path, 3).await.unwrap();
    for i in 0..50 {
        log.append(Topic::Events, vec![record(&format!("{i}"), format!("v{i}"))]).await.unwrap();
    }
    let before = [0, 1, 2].map(|p| (p, ())).map(|(p, ())| p);
    let mut records = Vec::new();
    for partition in before {
        records.push(read_all(&log, Topic::Events, partition).await);
    }
    log.close().await;
    assert!(matches!(log.append(Topic::Events, vec![record("k", "v")]).await, Err(LogError::Closed)));
    assert!(matches!(log.read(Topic::Events, 0, 0, 1).await, Err(LogError::Closed)));
    assert!(matches!(log.wait(Topic::Events, 0, 999, Duration::from_secs(60)).await, Err(LogError::Closed)));

    let log = open(&path, 3).await.unwrap();
    for partition in before {
        assert_eq!(read_all(&log, Topic::Events, partition).await, records[partition as usize]);
    }
    let next = log.append(Topic::Events, vec![record("5", "again")]).await.unwrap()[0];
    assert_eq!(next.offset, records[next.partition as usize].len() as u64);
}

#[tokio::test]
async fn records_that_repeat_each_other_take_a_tenth_of_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let log = open(&path, 1).await.unwrap();
    let value = |i: u64| format!("{{\"type\":\"click\",\"user_id\":\"u{i}\",\"item_id\":\"i{}\"}}", i % 97);
    let batch: Vec<NewRecord> = (0..20_000).map(|i| record("k", value(i))).collect();
    let n_bytes: usize = batch.iter().map(|r| r.key.len() + r.value.len()).sum();
    log.append(Topic::Events, batch.clone()).await.unwrap();
    let read = read_all(&log, Topic::Events, 0).await;
    assert!(read.iter().map(|r| &r.value).eq(batch.iter().map(|r| &r.value)));
    log.close().await;
    let on_disk = std::fs::metadata(&path).unwrap().len() as usize;
    assert!(on_disk < n_bytes / 10 + (64 << 10), "{on_disk} bytes on disk for {n_bytes}");
}

/// Version 1 knew no compressed blocks; what it wrote stays as it is.
#[tokio::test]
async fn a_log_of_the_version_before_is_read_and_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let log = open(&path, 1).await.unwrap();
    log.append(Topic::Events, vec![record("k", noise(1, 900))]).await.unwrap();
    log.close().await;
    let pool = || async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        sqlx::SqlitePool::connect_with(options).await.unwrap()
    };
    let before = pool().await;
    sqlx::query("PRAGMA user_version = 1").execute(&before).await.unwrap();
    before.close().await;

    let log = open(&path, 1).await.unwrap();
    log.append(Topic::Events, vec![record("k", vec![b'x'; 900])]).await.unwrap();
    let values: Vec<_> = read_all(&log, Topic::Events, 0).await.into_iter().map(|r| r.value).collect();
    assert_eq!(values, [noise(1, 900), vec![b'x'; 900]]);
    log.close().await;
    let after = pool().await;
    let version = sqlx::query_scalar::<_, i64>("PRAGMA user_version").fetch_one(&after).await.unwrap();
    assert_eq!(version, 2, "a build that reads version 1 alone must not open it");
    after.close().await;
}

#[tokio::test]
async fn another_partition_count_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    open(&path, 4).await.unwrap().close().await;
    let refused = open(&path, 8).await;
    assert!(matches!(refused, Err(LogError::PartitionCount { stored: 4, configured: 8 })), "{refused:?}");
    assert!(open(&folder.path().join("none.log"), 0).await.is_err());
    open(&path, 4).await.unwrap();
}

#[tokio::test]
async fn a_second_opener_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let first = open(&path, 2).await.unwrap();
    check_refused(open(&path, 2).await, &path, "open already");
    first.close().await;
    open(&path, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_log_wakes_nobody_wrongly_and_leaves_the_file_usable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let log = open(&path, 2).await.unwrap();
    log.append(Topic::Events, vec![record("k", "v")]).await.unwrap();
    drop(log);
    // The writer task notices by itself; until then the lock is held.
    let deadline = Instant::now() + Duration::from_secs(20);
    let log = loop {
        match open(&path, 2).await {
            Ok(log) => break log,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(log.verify().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_takes_nothing_in_part_and_recovers_with_room() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteLogOptions { n_partitions: 2, max_bytes: Some(512 << 10) };
    let log = SqliteLog::open(folder.path().join("events.log"), options).await.unwrap();
    let mut kept = 0_u64;
    let refused = loop {
        // Two partitions and many blocks, so that a refusal could leave a part behind.
        let batch = (0..400).map(|i| record(&format!("{i}"), noise(i, 250))).collect::<Vec<_>>();
        match log.append(Topic::Events, batch).await {
            Ok(positions) => kept += positions.len() as u64,
            Err(error) => break error,
        }
        assert!(kept < 100_000, "the limit is not kept");
    };
    assert!(matches!(refused, LogError::Full(_)), "{refused:?}");
    let huge = (0..40_000).map(|i| record(&format!("{i}"), noise(i, 250))).collect::<Vec<_>>();
    assert!(matches!(log.append(Topic::Events, huge.clone()).await, Err(LogError::Full(_))));
    let ends = [log.end(Topic::Events, 0).await.unwrap(), log.end(Topic::Events, 1).await.unwrap()];
    assert_eq!(ends[0] + ends[1], kept);
    assert_eq!(log.verify().await.unwrap(), kept);

    log.set_max_bytes(None).await.unwrap();
    let positions = log.append(Topic::Events, huge).await.unwrap();
    let first = positions.iter().find(|at| at.partition == 0).unwrap();
    assert_eq!(first.offset, ends[0], "offsets go on where they stopped");
    assert_eq!(log.verify().await.unwrap(), kept + 40_000);
}

/// `mount -t tmpfs -o size=24m tmpfs DIR`, then run with this variable set to `DIR`.
const SMALL_DISK: &str = "WAGGLE_TEST_SMALL_DISK";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_nothing_in_part_and_is_forgotten_with_room() {
    #[expect(clippy::disallowed_methods, reason = "a disk that may be filled is for the caller to name")]
    let Ok(disk) = std::env::var(SMALL_DISK) else {
        eprintln!("skipped: {SMALL_DISK} does not name a folder on a disk that may be filled");
        return;
    };
    let folder = tempfile::tempdir_in(disk).unwrap();
    let path = folder.path().join("events.log");
    let log = open(&path, 2).await.unwrap();
    let balloon = folder.path().join("balloon");
    std::fs::write(&balloon, vec![0; 6 << 20]).unwrap();
    let batch = || (0..400).map(|i| record(&format!("{i}"), noise(i, 250))).collect::<Vec<_>>();
    let mut kept = 0_u64;
    let refused = loop {
        match log.append(Topic::Events, batch()).await {
            Ok(positions) => kept += positions.len() as u64,
            Err(error) => break error,
        }
        assert!(kept < 1_000_000, "{} does not fill up", folder.path().display());
    };
    assert!(matches!(refused, LogError::Full(_)), "{refused:?}");
    assert!(matches!(log.append(Topic::Events, batch()).await, Err(LogError::Full(_))));
    assert_eq!(log.verify().await.unwrap(), kept, "what was acknowledged can still be read");
    std::fs::remove_file(&balloon).unwrap();
    log.append(Topic::Events, batch()).await.unwrap();
    assert_eq!(log.verify().await.unwrap(), kept + 400);
    log.close().await;
    assert_eq!(open(&path, 2).await.unwrap().verify().await.unwrap(), kept + 400);
}

#[tokio::test]
async fn damaged_files_are_named_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.log");
    let log = open(&whole, 1).await.unwrap();
    for i in 0..200 {
        log.append(Topic::Events, vec![record("k", noise(i, 2_000))]).await.unwrap();
    }
    log.close().await;
    let bytes = std::fs::read(&whole).unwrap();

    let check = async |name: &str, bytes: &[u8], expected: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        check_refused(open(&path, 1).await, &path, expected);
    };
    check("cut.log", &bytes[..bytes.len() / 2], "").await;
    check("cut-odd.log", &bytes[..bytes.len() - 4_000], "").await;
    check("not-a-database.log", &[b"waggle".as_slice(); 3_000].concat(), "").await;
    let mut version = bytes.clone();
    version[60..64].copy_from_slice(&99_u32.to_be_bytes());
    check("version.log", &version, "version 99").await;
    let mut foreign = bytes.clone();
    foreign[68..72].copy_from_slice(&7_u32.to_be_bytes());
    check("foreign.log", &foreign, "not a log").await;
    // One flipped bit in the newest record's value.
    let mut flipped = bytes.clone();
    let newest = noise(199, 2_000);
    let at = flipped.windows(100).rposition(|w| w == &newest[..100]).unwrap();
    flipped[at] ^= 1;
    let path = folder.path().join("flipped.log");
    std::fs::write(&path, &flipped).unwrap();
    let damaged = match open(&path, 1).await {
        Err(error) => error,
        Ok(log) => log.verify().await.expect_err("a flipped bit is found at the latest by reading"),
    };
    assert!(damaged.to_string().contains("flipped.log"), "{damaged}");
    assert!(damaged.to_string().contains("damaged"), "{damaged}");
}

#[tokio::test]
async fn a_missing_block_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for (name, missing) in [("first.log", 0), ("middle.log", 7)] {
        let path = folder.path().join(name);
        let log = open(&path, 1).await.unwrap();
        for _ in 0..20 {
            log.append(Topic::Events, vec![record("k", "v")]).await.unwrap();
        }
        // Behind the log's back, while it is open, as a faulty disk or a meddling person would.
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::query("DELETE FROM block WHERE first_offset = $1").bind(missing).execute(&pool).await.unwrap();
        pool.close().await;
        assert!(log.verify().await.is_err());
        assert_eq!(log.read(Topic::Events, 0, 12, 10).await.unwrap().len(), 8, "the rest can still be read");
        log.close().await;
        check_refused(open(&path, 1).await, &path, "missing");
    }
}

#[tokio::test]
async fn random_damage_never_panics_and_never_yields_wrong_records() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.log");
    let log = open(&whole, 1).await.unwrap();
    for i in 0..300 {
        // Some blocks are compressed, some are not.
        let value = format!("value {i}").repeat(1 + i % 90);
        log.append(Topic::Events, vec![record("k", value)]).await.unwrap();
    }
    let truth = read_all(&log, Topic::Events, 0).await;
    log.close().await;
    let bytes = std::fs::read(&whole).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..60 {
        let mut damaged = bytes.clone();
        for _ in 0..8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = usize::try_from(state % damaged.len() as u64).unwrap();
            damaged[at] ^= (state >> 40) as u8;
        }
        let path = folder.path().join(format!("{round}.log"));
        std::fs::write(&path, &damaged).unwrap();
        let Ok(log) = open(&path, 1).await else { continue };
        if let Ok(records) = log.read(Topic::Events, 0, 0, 1_000).await {
            assert_eq!(records, truth[..records.len()], "round {round}");
        }
        log.close().await;
    }
}

const CHILD: &str = "WAGGLE_TEST_LOG_TO_APPEND";

/// Not a test of its own: the process that `an_acknowledged_record_survives_kill_9` kills.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_appends_until_it_is_killed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "tells the child process of a test from a run of all tests"
    )]
    let Ok(path) = std::env::var(CHILD) else { return };
    let log = Arc::new(open(Path::new(&path), 3).await.unwrap());
    let tasks = (0..8).map(|task| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for i in 0_u64.. {
                let batch = (0..1 + (i * 7 + task) % 40)
                    .map(|j| record(&format!("{task}-{j}"), format!("{task}:{i}:{j} {}", "-".repeat(200))))
                    .collect::<Vec<_>>();
                let values = batch.iter().map(|r| r.value.clone()).collect::<Vec<_>>();
                let positions = log.append(Topic::Events, batch).await.unwrap();
                let mut line = String::new();
                for (at, value) in positions.iter().zip(&values) {
                    let value = std::str::from_utf8(value).unwrap().split(' ').next().unwrap();
                    line.push_str(&format!("ack {} {} {value}\n", at.partition, at.offset));
                }
                // One write, so that lines of two tasks never mix.
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn an_acknowledged_record_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let mut acknowledged = std::collections::BTreeMap::<(u32, u64), String>::new();
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite_log::child_that_appends_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Kill after an uneven number of acknowledgements: the moment is random relative to the writer's work.
        let kill_after = 300 + 777 * round + (std::process::id() as usize * 31 + round * 17) % 500;
        let mut n_lines = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, ack)) = line.split_once("ack ") else { continue };
            let fields = ack.split(' ').collect::<Vec<_>>();
            // The kill may cut the last line.
            if let [partition, offset, value] = fields[..]
                && value.split(':').count() == 3
            {
                let at = (partition.parse().unwrap(), offset.parse().unwrap());
                let before = acknowledged.insert(at, value.to_owned());
                assert!(before.is_none(), "{at:?} acknowledged twice");
            }
            n_lines += 1;
            if n_lines == kill_after {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(n_lines >= kill_after, "the child ended by itself after {n_lines} acknowledgements");
    }
    let log = open(&path, 3).await.unwrap();
    let mut n_read = 0;
    for partition in 0..3 {
        let mut seen = std::collections::BTreeSet::new();
        for record in read_all(&log, Topic::Events, partition).await {
            let value = std::str::from_utf8(&record.value).unwrap().split(' ').next().unwrap();
            if let Some(promised) = acknowledged.remove(&(partition, record.offset)) {
                // The last line may be cut inside a number.
                assert!(value.starts_with(&promised), "{value} stands where {promised} was acknowledged");
            }
            n_read += 1;
            seen.insert(record.offset);
        }
        assert_eq!(seen.len() as u64, log.end(Topic::Events, partition).await.unwrap());
    }
    assert!(acknowledged.is_empty(), "acknowledged and lost: {acknowledged:?}");
    assert!(n_read > 1_000);
}
