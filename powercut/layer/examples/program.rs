//! A program to cut the power of: does what its arguments say, prints `done`, and waits to be killed.
#![expect(clippy::print_stdout, reason = "the test reads what the program says")]

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
};

use sqlx::{
    Connection,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous},
};

fn main() {
    let commands: Vec<String> = env::args().skip(1).collect();
    for command in &commands {
        let words: Vec<&str> = command.split(':').collect();
        if let Err(error) = run(&words) {
            println!("{command}: {:?}", error.kind());
        }
    }
    println!("done");
    // Until the pipe is closed or the power goes.
    drop(io::stdin().read_to_end(&mut Vec::new()));
}

fn run(words: &[&str]) -> io::Result<()> {
    match words {
        ["write", file, text] => fs::write(file, text),
        ["write synced", file, text] => {
            let mut options = OpenOptions::new();
            options.write(true).create(true).custom_flags(0o4_010_000);
            options.open(file)?.write_all(text.as_bytes())
        }
        ["append", file, text] => OpenOptions::new().append(true).open(file)?.write_all(text.as_bytes()),
        ["put", file, at, text] => {
            let at = at.parse().expect("a number");
            OpenOptions::new().write(true).open(file)?.write_all_at(text.as_bytes(), at)
        }
        ["fill", file, n, byte] => fs::write(file, byte.repeat(n.parse().expect("a number"))),
        ["cut", file, n] => OpenOptions::new().write(true).open(file)?.set_len(n.parse().expect("a number")),
        ["sync", file] => File::open(file)?.sync_data(),
        ["rename", from, to] => fs::rename(from, to),
        ["copy", from, to] => fs::copy(from, to).map(drop),
        ["link", from, to] => fs::hard_link(from, to),
        ["remove", file] => fs::remove_file(file),
        ["make folder", folder] => fs::create_dir(folder),
        ["remove folder", folder] => fs::remove_dir(folder),
        ["wait"] => io::stdin().read_exact(&mut [0]),
        ["say", text] => {
            println!("{text}");
            Ok(())
        }
        ["sqlite", file, synchronous] => {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            runtime.block_on(count_up(file, synchronous)).map_err(io::Error::other)
        }
        _ => panic!("{words:?} is no command"),
    }
}

/// Adds rows 1, 2, 3 … to a table, printing each when SQLite has committed it.
async fn count_up(file: &str, synchronous: &str) -> Result<(), sqlx::Error> {
    let synchronous = if synchronous == "full" { SqliteSynchronous::Full } else { SqliteSynchronous::Off };
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous);
    let mut db = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, text TEXT)").execute(&mut db).await?;
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(n), 0) FROM t").fetch_one(&mut db).await?;
    for n in last + 1.. {
        let text = n.to_string().repeat(50);
        sqlx::query("INSERT INTO t VALUES (?, ?)").bind(n).bind(text).execute(&mut db).await?;
        println!("{n}");
    }
    Ok(())
}
