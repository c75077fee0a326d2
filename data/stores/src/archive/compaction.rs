//! Many small files become few large ones.
//!
//! A batch's *tier* is how often 8 goes into its rows: ⌊log₈ rows⌋. Neighbouring batches of one partition become one batch
//! when eight of them are of one tier and none is of a higher one, or when together they fill [`CompactionRule`]; lower
//! tiers come first, and a batch that fills half of the rule by itself is left alone. So a record is rewritten about once
//! per tier, and a partition keeps about seven batches of each, besides the full ones.
//!
//! The new files are written first; then one transaction replaces the rows of the manifest, on the condition that the
//! old ones are still there. Whoever has begun to read goes on with the old files, which stay until they are swept.

use waggle_model::Timestamp;

use super::{ArchiveError, erasure::Rules, rewrite::rewrite};
use crate::{
    artifacts::Artifacts,
    database::{ArchiveFile, Database, DatabaseError},
    log::Topic,
};

/// Batches of one tier that are merged, and the ratio of rows between tiers.
const FAN: u64 = 8;

/// How large batches become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionRule {
    /// Most rows of a merged batch.
    pub max_rows: u64,
    /// Most bytes of the files that are merged at once, and so of the memory that takes.
    pub max_bytes: u64,
}

impl Default for CompactionRule {
    fn default() -> Self {
        Self { max_rows: 1 << 20, max_bytes: 64 << 20 }
    }
}

/// What [`compact`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactionReport {
    pub n_merged: u64,
    /// Files that came in their place.
    pub n_written: u64,
    pub n_rows: u64,
    /// Merges given up because somebody else replaced the files meanwhile; the next run sees to them.
    pub n_abandoned: u64,
}

/// Merges small files of the topic until the rule finds nothing more. Stopped at any moment, the archive is whole.
///
/// # Errors
/// [`ArchiveError::Damaged`] and others name a file that cannot be read; merges before it stay.
pub async fn compact(
    artifacts: &Artifacts,
    database: &Database,
    topic: Topic,
    rule: &CompactionRule,
) -> Result<CompactionReport, ArchiveError> {
    let mut report = CompactionReport::default();
    loop {
        let files = database.all_archive_files(topic).await?;
        let runs = plan(files, rule);
        if runs.is_empty() {
            return Ok(report);
        }
        let n_abandoned = report.n_abandoned;
        for run in runs {
            merge(artifacts, database, &run, &mut report).await?;
        }
        if report.n_abandoned > n_abandoned {
            return Ok(report);
        }
    }
}

async fn merge(
    artifacts: &Artifacts,
    database: &Database,
    run: &[ArchiveFile],
    report: &mut CompactionReport,
) -> Result<(), ArchiveError> {
    // Erasing is left to `erase`, which looks at the merges before it removes them.
    let new = rewrite(artifacts, database, run, &Rules::default(), true).await?;
    match database.replace_archive_files(run, &new, Timestamp::now()).await {
        Ok(()) => {
            report.n_merged += run.len() as u64;
            report.n_written += new.len() as u64;
            report.n_rows += new.iter().map(|file| file.n_rows).sum::<u64>();
        }
        Err(DatabaseError::ArchiveChanged { .. }) => report.n_abandoned += 1,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The files that are to be merged, each list into one batch.
///
/// - `files`: by partition and offset.
fn plan(files: Vec<ArchiveFile>, rule: &CompactionRule) -> Vec<Vec<ArchiveFile>> {
    let mut runs = Vec::new();
    let mut rest = batches(files).into_iter().peekable();
    while rest.peek().is_some() {
        let mut neighbours = Vec::<Batch>::new();
        while let Some(batch) =
            rest.next_if(|batch| neighbours.last().is_none_or(|last| last.is_before(batch)))
        {
            neighbours.push(batch);
        }
        plan_neighbours(neighbours, rule, &mut runs);
    }
    runs
}

/// - `neighbours`: batches of one partition without a gap between them.
fn plan_neighbours(neighbours: Vec<Batch>, rule: &CompactionRule, runs: &mut Vec<Vec<ArchiveFile>>) {
    let mut batches = neighbours.into_iter().map(Some).collect::<Vec<_>>();
    for tier in 0..=rule.max_rows.max(1).ilog(FAN) {
        let mut found = Vec::new();
        let mut run = Run::default();
        for (place, batch) in batches.iter().enumerate() {
            match batch {
                Some(batch) if batch.tier() <= tier && !batch.is_full(rule) => {
                    if !run.has_room_for(batch, rule) {
                        found.extend(std::mem::take(&mut run).if_full(rule));
                    }
                    run.push(place, batch, tier);
                }
                _ => found.extend(std::mem::take(&mut run).if_many()),
            }
        }
        found.extend(run.if_many());
        for places in found {
            let merged = places.into_iter().filter_map(|place| batches[place].take());
            runs.push(merged.flat_map(|batch| batch.files).collect());
        }
    }
}

/// Neighbours that may become one.
#[derive(Default)]
struct Run {
    places: Vec<usize>,
    n_of_tier: u64,
    n_rows: u64,
    size_bytes: u64,
}

impl Run {
    fn push(&mut self, place: usize, batch: &Batch, tier: u32) {
        self.places.push(place);
        self.n_of_tier += u64::from(batch.tier() == tier);
        self.n_rows += batch.n_rows;
        self.size_bytes += batch.size_bytes;
    }

    fn has_room_for(&self, batch: &Batch, rule: &CompactionRule) -> bool {
        self.n_rows + batch.n_rows <= rule.max_rows && self.size_bytes + batch.size_bytes <= rule.max_bytes
    }

    /// Once the next one does not fit.
    fn if_full(self, rule: &CompactionRule) -> Option<Vec<usize>> {
        let is_full = self.n_rows >= rule.max_rows / 2 || self.size_bytes >= rule.max_bytes / 2;
        if is_full && self.places.len() > 1 { Some(self.places) } else { self.if_many() }
    }

    fn if_many(self) -> Option<Vec<usize>> {
        (self.n_of_tier >= FAN).then_some(self.places)
    }
}

/// The files that cover the same offsets.
struct Batch {
    files: Vec<ArchiveFile>,
    n_rows: u64,
    size_bytes: u64,
}

impl Batch {
    fn is_before(&self, next: &Self) -> bool {
        let (Some(this), Some(next)) = (self.files.first(), next.files.first()) else { return false };
        this.partition == next.partition && this.last_offset.checked_add(1) == Some(next.first_offset)
    }

    fn tier(&self) -> u32 {
        self.n_rows.max(1).ilog(FAN)
    }

    fn is_full(&self, rule: &CompactionRule) -> bool {
        self.n_rows >= rule.max_rows.div_ceil(2) || self.size_bytes >= rule.max_bytes.div_ceil(2)
    }
}

fn batches(files: Vec<ArchiveFile>) -> Vec<Batch> {
    let mut batches = Vec::<Batch>::new();
    let place = |file: &ArchiveFile| (file.partition, file.first_offset, file.last_offset);
    for file in files {
        match batches.last_mut() {
            Some(batch) if batch.files.first().is_some_and(|first| place(first) == place(&file)) => {
                batch.n_rows += file.n_rows;
                batch.size_bytes += file.size_bytes;
                batch.files.push(file);
            }
            _ => batches.push(Batch { n_rows: file.n_rows, size_bytes: file.size_bytes, files: vec![file] }),
        }
    }
    batches
}

#[cfg(test)]
mod tests;
