//! The fuzzer's corpus and a few thousand mutations of it, without a fuzzer.

use std::{fs, path::Path, time::Instant};

#[path = "../../../../fuzz/checks.rs"]
mod checks;

/// Mutations of each seed.
const N_MUTATIONS: usize = 20_000;
/// No single input may take longer; on an idle machine the slowest takes a few milliseconds.
const STALL: std::time::Duration = std::time::Duration::from_secs(5);

#[test]
fn no_bytes_make_the_event_decoder_panic_or_stall() {
    run("event", checks::event);
}

#[test]
fn no_bytes_make_the_body_parser_panic_or_stall() {
    run("body", checks::body);
}

fn run(corpus: &str, check: fn(&[u8])) {
    let seeds = seeds(corpus);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let run = |bytes: &[u8], of: &str| {
        let started = Instant::now();
        check(bytes);
        assert!(started.elapsed() < STALL, "a mutation of {of} took {:?}: {bytes:?}", started.elapsed());
    };
    for (name, seed) in &seeds {
        run(seed, name);
        for end in 0..seed.len().min(500) {
            run(&seed[..end], name);
        }
        for _ in 0..N_MUTATIONS {
            run(&mutated(seed, &seeds, &mut random), name);
        }
    }
}

fn seeds(corpus: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let mut seeds: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds.sort();
    seeds
}

/// One to four of: another byte, a byte that means something in MessagePack or JSON, a byte less, a piece twice, a piece
/// of another seed, a cut.
fn mutated(seed: &[u8], seeds: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc4\xc6\xca\xcb\xcf\xd3\xd9\xdb\xdc\xdd\xde\xdf\xff{}[]\",:0-eE\\u\n";
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let place = random.below(bytes.len() + 1);
        let end = place + random.below(bytes.len() - place + 1).min(64);
        match random.below(6) {
            0 if place < bytes.len() => bytes[place] = random.next() as u8,
            1 if place < bytes.len() => bytes[place] = TELLING[random.below(TELLING.len())],
            2 if place < bytes.len() => drop(bytes.remove(place)),
            3 => {
                let piece = bytes[place..end].to_vec();
                bytes.splice(place..place, piece);
            }
            4 => {
                let other = &seeds[random.below(seeds.len())].1;
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() - from + 1).min(64);
                bytes.splice(place..end, other[from..to].iter().copied());
            }
            _ => bytes.truncate(place),
        }
    }
    bytes
}

/// The generator `SplitMix64`: the same mutations in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}
