//! What is learned from: a published split, and simulated markets.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use waggle_datasets::ItemLists;
use waggle_jobs::{
    fit::Interactions,
    single::{PublicData, Split},
};
use waggle_model::{EventBody, Timestamp, UserId};
use waggle_simulator::{Market, SimulatorParams};

use super::{Asked, Bench, MAX_ASKED};
use crate::cli::BenchTrainingArgs;

/// Distinct items of an average shopper, hardly less.
const ITEMS_PER_SHOPPER: usize = 30;

/// Pairs to learn from, and people to ask about.
pub(super) struct Set {
    pub(super) name: String,
    pub(super) train: Interactions,
    /// Everybody.
    pub(super) all: Vec<Asked>,
}

impl Set {
    fn of(name: String, split: Split) -> Self {
        Self { name, train: split.train, all: split.cases }
    }

    /// Of the command line, or Gowalla where the variable says datasets lie.
    pub(super) fn published(args: &BenchTrainingArgs) -> Result<Self> {
        let folder = || -> Result<PathBuf> {
            let home = std::env::var_os("WAGGLE_DATA_DIR")
                .context("neither --train and --test nor $WAGGLE_DATA_DIR is set")?;
            Ok(PathBuf::from(home).join("gowalla"))
        };
        let file = |given: &Option<PathBuf>, name: &str| {
            given.clone().map_or_else(|| Ok(folder()?.join(name)), anyhow::Ok)
        };
        let (train, test) = (file(&args.train, "train.txt.gz")?, file(&args.test, "test.txt.gz")?);
        let name = train
            .parent()
            .and_then(|parent| parent.file_name())
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let lists = |file: &PathBuf| -> Result<_> { Ok(ItemLists::read(file)?.of_users) };
        let data = PublicData::FixedSplit { train: lists(&train)?, test: lists(&test)? };
        Ok(Self::of(name, data.test(args.seed)?))
    }

    /// Of a simulated market, a fifth of everybody's items is asked about.
    pub(super) fn simulated(bench: &Bench<'_>) -> Result<Self> {
        // A fifth more than is to be learned from.
        let n_pairs = bench.args.interactions / 4 * 5;
        let file = &simulated_files(bench, &[n_pairs])?[0];
        let train = ItemLists::read(file)?.of_users;
        let split = PublicData::FixedSplit { train, test: std::collections::BTreeMap::new() }
            .validation(bench.args.seed)?;
        Ok(Self::of(format!("simulated-{}", bench.args.interactions), split))
    }

    /// Some of the people, evenly spread.
    pub(super) fn sample(&self) -> Vec<Asked> {
        let every = self.all.len().div_ceil(MAX_ASKED).max(1);
        self.all.iter().step_by(every).cloned().collect()
    }
}

/// A file of so many distinct pairs of shoppers and what they looked at, for each of `sizes`; all of one market, the smaller of
/// fewer of its shoppers. Made once.
pub(super) fn simulated_files(bench: &Bench<'_>, sizes: &[usize]) -> Result<Vec<PathBuf>> {
    let seed = bench.args.seed;
    let path = |size: &usize| bench.home.join(format!("simulated-{size}-seed-{seed}.txt"));
    let files: Vec<PathBuf> = sizes.iter().map(path).collect();
    let missing: Vec<(usize, &PathBuf)> =
        sizes.iter().copied().zip(&files).filter(|(_, file)| !file.exists()).collect();
    let Some(largest) = missing.iter().map(|(size, _)| *size).max() else { return Ok(files) };
    bench.steps.begin("simulated market", largest as u64);
    let lists = simulated_lists(largest, seed, &|done| bench.steps.at(done as u64, largest as u64))?;
    for (size, file) in missing {
        // By another name until it is whole.
        let unfinished = file.with_extension("tmp");
        let mut out = BufWriter::new(File::create(&unfinished)?);
        let mut n_left = size;
        for (user, items) in lists.iter().enumerate() {
            let items = &items[..items.len().min(n_left)];
            if !items.is_empty() {
                write!(out, "{user}")?;
                items.iter().try_for_each(|item| write!(out, " {item}"))?;
                out.write_all(b"\n")?;
            }
            n_left -= items.len();
        }
        ensure!(n_left == 0, "the market holds {n_left} pairs too few");
        out.into_inner()?.sync_all()?;
        fs::rename(unfinished, file)?;
    }
    bench.steps.finish(&format!("{largest} pairs"));
    Ok(files)
}

/// What the shoppers of a market looked at, each item once, in order of time.
fn simulated_lists(n_pairs: usize, seed: u64, progress: &dyn Fn(usize)) -> Result<Vec<Vec<u32>>> {
    let n_users = u32::try_from(n_pairs / ITEMS_PER_SHOPPER + 1)?;
    let params = SimulatorParams {
        n_users,
        n_items: (n_users / 5).clamp(2_000, 100_000),
        events_per_user: 90.0,
        anonymous: 0.0,
        days: 30,
        seed,
        ..SimulatorParams::default()
    };
    let market = Market::new(params)?;
    let mut lists: HashMap<UserId, Vec<u32>> = HashMap::new();
    let mut items = HashMap::new();
    let mut n_kept = 0;
    for event in market.events(Timestamp::from_millis(0)) {
        let EventBody::Interaction(interaction) = event.body else { continue };
        let Some(user) = event.person.user_id else { continue };
        let next = u32::try_from(items.len())?;
        let item = *items.entry(interaction.item_id).or_insert(next);
        let list = lists.entry(user).or_default();
        if !list.contains(&item) {
            list.push(item);
            n_kept += 1;
            if n_kept % 100_000 == 0 {
                progress(n_kept.min(n_pairs));
            }
        }
    }
    // In no order that has to do with how much they did.
    let mut lists: Vec<_> = lists.into_iter().collect();
    lists.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(lists.into_iter().map(|(_, list)| list).collect())
}
