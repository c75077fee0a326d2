//! A start that cannot succeed says why; a start that can, does.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::answers::checked_slate;
use crate::{
    e2e::{
        expect,
        http::encoded,
        server::{Server, free_port, run_to_end},
        shop::Shop,
    },
    steps::Outcome,
};

/// What a start that must fail may take until it has.
const FAILURE: Duration = Duration::from_secs(20);
/// What one training run may take.
const TRAINING: Duration = Duration::from_secs(300);

pub(in crate::e2e) fn a_port_in_use_is_said(shop: &mut Shop) -> Result<Outcome> {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?.port();
    let dir = shop.scratch_path().join("port-in-use");
    let (code, output) = demo(shop, &dir, &["--port".into(), port.to_string()])?;
    expect::equal("exit code", code, Some(1))?;
    let said = format!("port {port} on 127.0.0.1 is in use");
    expect::that("output", output.contains(&said), &format!("{said:?} in it"), &output)?;
    no_panic(&output)?;
    Ok(Outcome::Passed(String::new()))
}

pub(in crate::e2e) fn a_wrong_command_line_is_explained(shop: &mut Shop) -> Result<Outcome> {
    let wrong: [(&[&str], &str); 5] = [
        (&["demo", "--data", "nonsense"], "nonsense"),
        (&["demo", "--port", "99999"], "99999"),
        (&["demo", "--misspelt"], "--misspelt"),
        (&["dance"], "dance"),
        (&[], "Usage"),
    ];
    for (args, word) in wrong {
        let log = shop.next_log();
        let (status, output) = run_to_end(Command::new(&shop.binary).args(args), &log, FAILURE)?;
        expect::equal(&format!("exit code of waggle {args:?}"), status.code(), Some(2))?;
        expect::that("its output", output.contains(word), &format!("{word:?} in it"), &output)?;
    }
    let log = shop.next_log();
    let (status, output) = run_to_end(Command::new(&shop.binary).arg("--help"), &log, FAILURE)?;
    expect::equal("exit code of waggle --help", status.code(), Some(0))?;
    expect::that("its output", output.contains("demo"), "the commands", &output)?;
    Outcome::passed()
}

pub(in crate::e2e) fn a_folder_of_another_version_is_refused(shop: &mut Shop) -> Result<Outcome> {
    let dir = shop.copy("another-version")?;
    let marker = dir.join("waggle-dir.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&marker)?)?;
    value["format"] = 99.into();
    value["created_by"] = "9.9.9".into();
    fs::write(&marker, serde_json::to_vec(&value)?)?;
    refused(shop, &dir, &["format 99", "9.9.9", "--dir"])?;

    // Half a marker, as a crash while writing would leave it.
    fs::write(&marker, b"{\"format\":")?;
    refused(shop, &dir, &["waggle-dir.json is damaged"])?;

    // The right marker over a log of another version: bytes 60 to 63 of a SQLite file are its user_version.
    value["format"] = 1.into();
    fs::write(&marker, serde_json::to_vec(&value)?)?;
    let log = dir.join("log.sqlite");
    let mut bytes = fs::read(&log)?;
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&log, bytes)?;
    refused(shop, &dir, &["version 99"])?;
    Outcome::passed()
}

pub(in crate::e2e) fn a_damaged_snapshot_costs_quality_and_not_the_shop(shop: &mut Shop) -> Result<Outcome> {
    let user = encoded(&shop.known_user()?);
    let dir = shop.copy("damaged-snapshot")?;
    let first = snapshots(&dir)?;
    expect::equal("snapshots at first", first.len(), 1)?;
    let log = shop.next_log();
    let mut train = Command::new(&shop.binary);
    train.args(["train", "--seed", "11", "--dir"]).arg(&dir);
    let (status, output) = run_to_end(&mut train, &log, TRAINING)?;
    expect::that("waggle train", status.success(), "success", &output)?;
    let second: Vec<_> = snapshots(&dir)?.into_iter().filter(|s| !first.contains(s)).collect();
    expect::equal("snapshots that training added", second.len(), 1)?;
    let (good, damaged) = (name(&first[0])?, name(&second[0])?);

    let part = largest_file(&second[0])?;
    let mut bytes = fs::read(&part)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(&part, bytes)?;

    let port = free_port()?;
    let mut server = shop.start_on(&dir, port)?;
    server.wait_ready(Shop::READY_LIMIT)?;
    serves_without(&mut server, &user, &damaged)?;
    // A stranger's list needs no snapshot; a known person's says which one is in use.
    let answer = server.client.get(&format!("/v1/recommendations?user_id={user}"))?;
    expect::equal("snapshot in use", answer["snapshot"].as_str(), Some(good.as_str()))?;
    expect::equal("rung", answer["rung"].as_str(), Some("personal"))?;
    Ok(Outcome::Passed("the previous snapshot serves".to_owned()))
}

pub(in crate::e2e) fn a_snapshot_cut_short_costs_quality_and_not_the_shop(
    shop: &mut Shop,
) -> Result<Outcome> {
    let user = encoded(&shop.known_user()?);
    let dir = shop.copy("snapshot-cut-short")?;
    let only = snapshots(&dir)?;
    expect::equal("snapshots", only.len(), 1)?;
    let part = largest_file(&only[0])?;
    let bytes = fs::read(&part)?;
    fs::write(&part, &bytes[..bytes.len() / 3])?;

    let port = free_port()?;
    let mut server = shop.start_on(&dir, port)?;
    server.wait_ready(Shop::READY_LIMIT)?;
    serves_without(&mut server, &user, &name(&only[0])?)?;
    Outcome::passed()
}

/// The server answers, not from that snapshot, and has said what is wrong with it.
fn serves_without(server: &mut Server, user: &str, damaged: &str) -> Result<()> {
    let for_user = format!("/v1/recommendations?k=10&user_id={user}");
    for path in ["/v1/recommendations?k=10", &for_user, "/v1/trending?k=10"] {
        let answer = server.client.get(path)?;
        expect::equal(&format!("items of {path}"), checked_slate(&answer)?.len(), 10)?;
        expect::that("snapshot", answer["snapshot"] != damaged, "not the damaged one", &answer["snapshot"])?;
    }
    expect::that("the server", server.is_alive()?, "to run", server.output())?;
    let output = server.whole_output();
    expect::that("output", output.contains(damaged), &format!("{damaged} named in it"), &output)?;
    no_panic(&output)
}

pub(in crate::e2e) fn broken_lines_are_counted(shop: &mut Shop) -> Result<Outcome> {
    let folder = shop.scratch_path().join("broken-lines");
    fs::create_dir(&folder)?;
    let file = folder.join("sales.csv");
    let (text, n_broken) = sales_with_broken_lines();
    fs::write(&file, text)?;
    let port = free_port()?;
    let args: Vec<String> = [
        "--data",
        "online-retail",
        "--from",
        &file.to_string_lossy(),
        "--dir",
        &folder.join("data").to_string_lossy(),
    ]
    .map(Into::into)
    .into();
    let log = shop.next_log();
    let mut server = Server::start(&shop.binary, port, &args, &log)?;
    server.wait_ready(Shop::READY_LIMIT)?;
    let output = server.whole_output();
    let says = output.lines().any(|line| line.contains("broken") && line.contains(&n_broken.to_string()));
    expect::that("output", says, &format!("a line that counts {n_broken} broken lines"), &output)?;
    no_panic(&output)?;
    // The rest of the file sells.
    let item = server.client.get("/v1/items/20000A")?;
    expect::that("title of an item", item["title"].is_string(), "some words", &item)?;
    let profile = server.client.get("/v1/profile?user_id=12000")?;
    expect::that("events of a customer", profile["n_events"].as_u64() > Some(0), "some", &profile)?;
    let answer = server.client.get("/v1/recommendations?user_id=12000&k=10")?;
    expect::equal("items", checked_slate(&answer)?.len(), 10)?;

    // A file that is something else altogether is refused before anything starts.
    let other = folder.join("other.csv");
    fs::write(&other, "a,b,c\n1,2,3\n")?;
    let dir = folder.join("other-data");
    let log = shop.next_log();
    let mut command = Command::new(&shop.binary);
    command.args(["demo", "--data", "online-retail", "--from"]).arg(&other).arg("--dir").arg(&dir);
    command.args(["--port", &free_port()?.to_string()]);
    let (status, output) = run_to_end(&mut command, &log, FAILURE)?;
    expect::equal("exit code for a file of another kind", status.code(), Some(1))?;
    expect::that("its output", output.contains("other.csv"), "the file's name", &output)?;
    no_panic(&output)?;
    Outcome::passed()
}

/// Half a year of a shop in which everybody buys from one of four shelves, and seven lines nobody can read.
fn sales_with_broken_lines() -> (String, usize) {
    let mut text =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n".to_owned();
    let mut invoice = 500_000;
    for month in 1..=6 {
        for customer in 0..80 {
            invoice += 1;
            for n in 0..4 {
                let item = (customer % 4) * 10 + (customer + month * 3 + n * (1 + customer / 20)) % 10;
                let (letter, day, hour) = (char::from(b'A' + item as u8 % 26), 1 + customer % 28, 8 + n);
                // The codes 20000A, 20001B …; writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "{invoice},{}{letter},SHELF {} THING {item},{},2011-{month:02}-{day:02} {hour:02}:15:00,{}.25,{},France",
                    20_000 + item,
                    customer % 4,
                    1 + n,
                    1 + item % 7,
                    12_000 + customer,
                );
            }
        }
    }
    let broken = [
        "500001,20000A,TOO FEW COLUMNS,1",
        "500001,20000A,NOT A NUMBER,many,2011-01-01 08:00:00,1.25,12000,France",
        "500001,20000A,NOT A TIME,1,yesterday,1.25,12000,France",
        "500001,20000A,NOT A PRICE,1,2011-01-01 08:00:00,free,12000,France",
        "500001,20000A,ONE COLUMN,TOO MANY,1,2011-01-01 08:00:00,1.25,12000,France",
        "500001,20000A,NO SUCH DAY,1,2011-02-31 08:00:00,1.25,12000,France",
        "rubbish",
    ];
    for line in broken {
        text.push_str(line);
        text.push('\n');
    }
    (text, broken.len())
}

/// A start on the folder that must fail with exit code 1 and these words.
fn refused(shop: &mut Shop, dir: &Path, words: &[&str]) -> Result<()> {
    let port = free_port()?.to_string();
    let (code, output) = demo(shop, dir, &["--port".into(), port])?;
    expect::equal("exit code", code, Some(1))?;
    for word in words {
        expect::that("output", output.contains(word), &format!("{word:?} in it"), &output)?;
    }
    no_panic(&output)
}

/// `waggle demo` on a folder, until it ends by itself.
fn demo(shop: &mut Shop, dir: &Path, args: &[String]) -> Result<(Option<i32>, String)> {
    let log = shop.next_log();
    let mut command = Command::new(&shop.binary);
    command.arg("demo").args(shop.args(dir)).args(args);
    let (status, output) = run_to_end(&mut command, &log, FAILURE)?;
    Ok((status.code(), output))
}

fn no_panic(output: &str) -> Result<()> {
    expect::that("output", !output.contains("panicked at"), "no panic", output)
}

/// The folders of published snapshots.
fn snapshots(dir: &Path) -> Result<Vec<PathBuf>> {
    let folder = dir.join("artifacts/snapshots");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no folder {}", folder.display()))? {
        found.push(entry?.path());
    }
    found.sort();
    Ok(found)
}

fn name(snapshot: &Path) -> Result<String> {
    Ok(snapshot.file_name().and_then(|n| n.to_str()).context("a snapshot without name")?.to_owned())
}

fn largest_file(folder: &Path) -> Result<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    let (_, path) = files.into_iter().max().context("an empty snapshot")?;
    Ok(path)
}
