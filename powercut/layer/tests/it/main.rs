//! Programs on the layer, killed, and what a power cut leaves of what they wrote.
#![cfg(test)]

mod sqlite;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use powercut::{CutError, Fate, Losses, PowerCut, Room};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use tempfile::TempDir;

/// A folder whose power can be cut, and programs that work in it.
struct Bench {
    power: PowerCut,
    root: PathBuf,
    _scratch: TempDir,
}

impl Bench {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir(&root).unwrap();
        let power = PowerCut::try_new(&root, &scratch.path().join("work")).unwrap();
        Self { power, root, _scratch: scratch }
    }

    fn start(&self, commands: &[&str]) -> Program {
        self.power.arm().unwrap();
        let deps = env::current_exe().unwrap().parent().unwrap().to_owned();
        let mut child = Command::new(deps.parent().unwrap().join("examples/program"))
            .args(commands)
            .envs(self.power.environment(&deps.join("libpowercut_layer.so")))
            .current_dir(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Program { child, output }
    }

    /// Runs these commands on the layer and cuts the power when they are done; gives what failed.
    fn run(&self, commands: &[&str], fate: Fate) -> (Vec<String>, Result<Losses, CutError>) {
        let mut program = self.start(commands);
        let said = program.said_until("done");
        program.kill();
        (said, self.power.cut(fate, &mut ChaCha8Rng::seed_from_u64(1)))
    }

    /// Every file and what it holds, every folder with a `/`.
    fn found(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.root, &self.root, &mut found);
        found.sort();
        found
    }
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if path.is_dir() {
            found.push(format!("{name}/"));
            list(root, &path, found);
        } else {
            found.push(format!("{name}={}", String::from_utf8_lossy(&fs::read(&path).unwrap())));
        }
    }
}

struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// The lines until `last`, without it.
    fn said_until(&mut self, last: &str) -> Vec<String> {
        let lines = self.output.by_ref().lines().map(Result::unwrap);
        lines.take_while(|line| line != last).collect()
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What is left, if nothing reaches the disk but what was synced.
#[track_caller]
fn check(before: &[&str], commands: &[&str], expected: &[&str]) {
    let bench = Bench::new();
    let (said, cut) = bench.run(&[before, &["sync:."]].concat(), Fate::AllKept);
    assert_eq!((said.len(), cut.is_ok()), (0, true), "{said:?} {cut:?}");
    let (said, cut) = bench.run(commands, Fate::AllLost);
    assert_eq!((said.len(), cut.is_ok()), (0, true), "{said:?} {cut:?}");
    assert_eq!(bench.found(), expected);
}

#[test]
fn what_was_not_synced_is_lost_and_what_was_synced_is_kept() {
    check(&["write:a:old"], &["write:a:new"], &["a=old"]);
    check(&["write:a:old"], &["write:a:new", "sync:a"], &["a=new"]);
    check(&["write:a:old"], &["write:a:new", "sync:a", "write:a:newer"], &["a=new"]);
    check(&["write:a:old"], &["append:a: and new"], &["a=old"]);
    check(&["write:a:old"], &["append:a: and new", "sync:a", "append:a: and newer"], &["a=old and new"]);
    check(&["write:a:old"], &["put:a:1:E", "put:a:0:O", "sync:a", "put:a:2:D"], &["a=OEd"]);
    check(&["write:a:old"], &["cut:a:1"], &["a=old"]);
    check(&["write:a:old"], &["cut:a:1", "sync:a"], &["a=o"]);
    check(&["write:a:old"], &["cut:a:1", "cut:a:5", "put:a:4:x"], &["a=old"]);
    check(&["write:a:old", "write:b:old"], &["write:a:new", "write:b:new", "sync:b"], &["a=old", "b=new"]);
}

#[test]
fn what_is_written_to_a_file_opened_for_synced_writing_is_kept() {
    check(&["write:a:old"], &["write synced:a:new"], &["a=new"]);
}

#[test]
fn a_name_is_kept_if_its_folder_was_synced() {
    check(&[], &["write:a:text", "sync:a"], &[]);
    check(&[], &["write:a:text", "sync:."], &["a="]);
    check(&[], &["write:a:text", "sync:a", "sync:."], &["a=text"]);
    check(&["write:a:text"], &["remove:a"], &["a=text"]);
    check(&["write:a:text"], &["remove:a", "sync:."], &[]);
    check(&["write:a:text"], &["link:a:b"], &["a=text"]);
    check(&[], &["make folder:d", "write:d/a:text", "sync:d/a", "sync:d"], &[]);
    check(&[], &["make folder:d", "write:d/a:text", "sync:d/a", "sync:d", "sync:."], &["d/", "d/a=text"]);
    check(&["make folder:d"], &["remove folder:d"], &["d/"]);
}

#[test]
fn a_renamed_file_may_have_its_old_name_again() {
    check(&["write:a:text"], &["rename:a:b"], &["a=text"]);
    check(&["write:a:text"], &["rename:a:b", "sync:."], &["b=text"]);
    // The usual way to replace a file needs all three: its data, the rename, the folder.
    let replace = ["write:new:new", "sync:new", "rename:new:a"];
    check(&["write:a:old"], &replace, &["a=old"]);
    check(&["write:a:old"], &[&replace[..], &["sync:."]].concat(), &["a=new"]);
    check(&["write:a:old"], &["write:new:new", "rename:new:a", "sync:."], &["a="]);
    check(&["make folder:d", "write:a:text"], &["rename:a:d/a", "sync:d"], &["d/", "d/a=text"]);
    check(&["make folder:d", "write:d/a:text"], &["rename:d:e"], &["d/", "d/a=text"]);
}

#[test]
fn copies_within_the_kernel_are_followed_too() {
    check(&["write:a:text"], &["write:b:", "sync:.", "copy:a:b"], &["a=text", "b="]);
    check(&["write:a:text"], &["copy:a:b", "sync:b", "sync:."], &["a=text", "b=text"]);
}

#[test]
fn what_was_done_and_refused_changes_nothing() {
    let bench = Bench::new();
    let commands =
        ["remove:none", "rename:none:a", "make folder:d", "make folder:d", "remove folder:x", "sync:."];
    let (said, cut) = bench.run(&commands, Fate::AllLost);
    assert_eq!(said.len(), 4, "{said:?}");
    cut.unwrap();
    assert_eq!(bench.found(), ["d/"]);
}

#[test]
fn kill_alone_loses_nothing() {
    let bench = Bench::new();
    let (_, cut) = bench.run(&["make folder:d", "write:d/a:text", "rename:d/a:b"], Fate::AllKept);
    assert_eq!(cut.unwrap().lost_names, 0);
    assert_eq!(bench.found(), ["b=text", "d/"]);
}

#[test]
fn pages_are_lost_and_torn_at_random_by_sectors_and_a_seed_repeats_it() {
    let bench = Bench::new();
    let n_pages = 64;
    let length = n_pages * 4096;
    bench.run(&[&format!("fill:a:{length}:o"), "sync:a", "sync:."], Fate::AllKept).1.unwrap();
    let new = "n".repeat(length - 100);
    fs::write(bench.root.join("a"), "o".repeat(length)).unwrap();
    // An argument is at most 128 KiB long, so the change is made in pieces.
    let pieces: Vec<_> = new
        .as_bytes()
        .chunks(98_304)
        .enumerate()
        .map(|(i, part)| format!("put:a:{}:{}", i * 98_304, "n".repeat(part.len())))
        .collect();
    let commands: Vec<_> = pieces.iter().map(String::as_str).collect();
    let (_, losses) = bench.run(&commands, Fate::Random);
    let losses = losses.unwrap();
    let found = fs::read(bench.root.join("a")).unwrap();
    assert_eq!(found.len(), length);
    for sector in found[..length - 512].chunks(512) {
        assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
    }
    let is_mixed = |page: &&[u8]| page[..4096 - 512].iter().any(|byte| *byte != page[0]);
    let n_torn = found.chunks(4096).filter(is_mixed).count();
    let n_old = found.chunks(4096).filter(|page| page[0] == b'o').count();
    assert!((4..=30).contains(&n_torn), "{n_torn} of {n_pages} pages are torn, {losses:?}");
    assert!((16..=48).contains(&n_old), "{n_old} of {n_pages} pages are old, {losses:?}");

    fs::write(bench.root.join("a"), "o".repeat(length)).unwrap();
    bench.run(&commands, Fate::Random).1.unwrap();
    assert!(fs::read(bench.root.join("a")).unwrap() == found, "the same seed loses the same");
}

#[test]
fn names_are_lost_from_the_newest_back() {
    let names: Vec<_> = (0..9).map(|n| format!("write:{n}:")).collect();
    let commands: Vec<_> = names.iter().map(String::as_str).collect();
    let mut numbers_left = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let bench = Bench::new();
        let mut program = bench.start(&commands);
        program.said_until("done");
        program.kill();
        bench.power.cut(Fate::Random, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let found = bench.found();
        let expected: Vec<_> = (0..found.len()).map(|n| format!("{n}=")).collect();
        assert_eq!(found, expected);
        numbers_left.insert(found.len());
    }
    assert!(numbers_left.len() > 4, "{numbers_left:?}");
}

#[test]
fn a_full_disk_takes_what_fits_and_has_room_again_later() {
    let bench = Bench::new();
    bench.run(&["write:a:old", "sync:a", "sync:."], Fate::AllKept).1.unwrap();
    let commands = [
        "say:ready",
        "wait",
        "append:a: and new",
        "write:b:x",
        "put:a:0:O",
        "say:full",
        "wait",
        "write:b:x",
        "append:a:.",
    ];
    let mut program = bench.start(&commands);
    program.said_until("ready");
    bench.power.set_room(Room::Bytes(5)).unwrap();
    program.go_on();
    assert_eq!(program.said_until("full"), ["append:a: and new: StorageFull", "write:b:x: StorageFull"]);
    assert_eq!(bench.found(), ["a=Old and "]);
    bench.power.set_room(Room::Unlimited).unwrap();
    program.go_on();
    assert_eq!(program.said_until("done"), Vec::<String>::new());
    assert_eq!(bench.found(), ["a=Old and .", "b=x"]);
    program.kill();

    let mut program = bench.start(&["say:ready", "wait", "put:a:0:o", "say:full"]);
    program.said_until("ready");
    bench.power.set_room(Room::Nothing).unwrap();
    program.go_on();
    assert_eq!(program.said_until("full"), ["put:a:0:o: StorageFull"]);
    program.kill();
}

#[test]
fn what_the_layer_did_not_see_is_said_instead_of_passed_over() {
    let bench = Bench::new();
    let mut program = bench.start(&["write:a:text"]);
    program.said_until("done");
    program.kill();
    fs::write(bench.root.join("by somebody else"), "").unwrap();
    let error = bench.power.cut(Fate::AllLost, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err().to_string();
    assert_eq!(error, "the folder has other names than were followed: by somebody else");

    bench.power.arm().unwrap();
    let error = bench.power.cut(Fate::AllLost, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err();
    assert!(matches!(error, CutError::NobodyFollowed), "{error}");
}
