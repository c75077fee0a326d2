//! A program whose durability is somebody else's long experience: the layer must not take from it what it synced, and
//! must take what it did not.

use std::{
    io::{BufRead, ErrorKind, Read},
    thread,
    time::Duration,
};

use powercut::Fate;
use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use sqlx::{Connection, sqlite::SqliteConnection};

use crate::Bench;

const N_CUTS: u64 = 12;

/// Cuts that left a table without a row that was committed, or a damaged one.
fn n_hurt(synchronous: &str) -> u64 {
    let bench = Bench::new();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut n_hurt = 0;
    for nth in 0..N_CUTS {
        let mut program = bench.start(&[&format!("sqlite:rows.db:{synchronous}")]);
        let mut last_committed = 0;
        let n_before = rng.gen_range(20..200);
        for line in program.output.by_ref().lines().take(n_before) {
            last_committed = line.unwrap().parse().unwrap();
        }
        // Into whatever it does next.
        thread::sleep(Duration::from_micros(rng.gen_range(0..3000)));
        program.kill();
        for line in program.output.by_ref().lines() {
            last_committed = line.unwrap().parse().unwrap();
        }
        let fate = if nth % 3 == 0 { Fate::AllLost } else { Fate::Random };
        bench.power.cut(fate, &mut rng).unwrap();
        if !is_whole(&bench.root.join("rows.db"), last_committed) {
            n_hurt += 1;
            // The next one begins anew.
            for entry in std::fs::read_dir(&bench.root).unwrap() {
                match std::fs::remove_file(entry.unwrap().path()) {
                    // The connection that looked at a damaged table takes its own files away, a little later.
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    removed => removed.unwrap(),
                }
            }
        }
    }
    n_hurt
}

/// Whether the table is sound and has every row up to the last committed.
fn is_whole(file: &std::path::Path, last_committed: i64) -> bool {
    let read = async {
        let mut db = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await?;
        let verdict: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut db).await?;
        let (n, last): (i64, i64) =
            sqlx::query_as("SELECT count(*), max(n) FROM t").fetch_one(&mut db).await?;
        db.close().await?;
        Ok::<_, sqlx::Error>(verdict == "ok" && n == last && last >= last_committed)
    };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(read).unwrap_or(false)
}

#[test]
fn sqlite_with_full_synchronisation_loses_nothing() {
    assert_eq!(n_hurt("full"), 0);
}

#[test]
fn sqlite_without_synchronisation_loses_rows() {
    let n = n_hurt("off");
    assert!(n >= N_CUTS / 3, "{n} of {N_CUTS} cuts hurt");
}
