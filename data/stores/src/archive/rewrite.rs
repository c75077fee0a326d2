//! From files to other files that take their place.

use super::{
    ArchiveError,
    columns::{Encoder, Row},
    erasure::Rules,
    merge::Merge,
    writer::{Place, blocking, is_cut},
};
use crate::{
    artifacts::Artifacts,
    database::{ArchiveFile, Database},
};

/// Writes the rows of `old`, which are files of one partition, as new files, without the rows that `rules` remove. The
/// new files are no part of the archive yet. In memory are one row group of each file that overlaps in time, the files'
/// bytes, and those of the new file in hand.
///
/// - `is_cut_by_day`: whether the new files are cut where the day changes; else there is one.
pub(super) async fn rewrite(
    artifacts: &Artifacts,
    database: &Database,
    old: &[ArchiveFile],
    rules: &Rules,
    is_cut_by_day: bool,
) -> Result<Vec<ArchiveFile>, ArchiveError> {
    let Some(place) = place_of(old) else { return Ok(Vec::new()) };
    let (topic, rules) = (place.topic, rules.clone());
    let keep = move |partition, row: Row| {
        let is_removed = row.head().is_some_and(|head| rules.removes(topic, partition, &head));
        (!is_removed).then_some(row)
    };
    let mut merge = Merge::new(artifacts.clone(), old.to_vec(), keep);
    let mut new = Vec::new();
    let mut encoder = blocking(Encoder::try_new).await?;
    while let Some(batch) = merge.next_batch().await? {
        let encode = move || {
            let mut finished = Vec::new();
            for row in batch.into_iter().map(|taken| taken.row) {
                if is_cut_by_day && is_cut(&encoder, row.time) {
                    finished.push(std::mem::replace(&mut encoder, Encoder::try_new()?).finish()?);
                }
                encoder.push(row)?;
            }
            Ok((encoder, finished))
        };
        let finished;
        (encoder, finished) = blocking(encode).await?;
        for encoded in finished {
            new.push(place.store(artifacts, database, encoded).await?);
        }
    }
    let last = blocking(move || encoder.finish()).await?;
    new.push(place.store(artifacts, database, last).await?);
    Ok(new)
}

/// What the files cover together; `None` without files.
fn place_of(files: &[ArchiveFile]) -> Option<Place> {
    let first = files.first()?;
    Some(Place {
        topic: first.topic,
        partition: first.partition,
        first_offset: files.iter().map(|file| file.first_offset).min()?,
        last_offset: files.iter().map(|file| file.last_offset).max()?,
        empty_time: files.iter().map(|file| file.min_time).min()?,
    })
}
