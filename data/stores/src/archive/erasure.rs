//! Rows of the erased leave the archive.
//!
//! Whoever archives a batch makes the erasures in it known with the batch ([`Database::commit_archive_batch`]), and
//! leaves out what known erasures cover; [`erase`] sees to what was archived before. What stays of a person is the
//! erasure itself: it tells whoever reads the archive to pass over what follows, until the person returns.
//!
//! A session that was merged into an erased user goes with the user. Where that session's rows and the user's answers
//! lie, offsets cannot be compared with the erasure's, so those with a time up to the erasure's go.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use waggle_model::{PersonKey, Timestamp};

use super::{
    ArchiveError,
    columns::{Head, HeadKind},
    off_thread, open,
    rewrite::rewrite,
};
use crate::{
    artifacts::Artifacts,
    database::{ArchiveFile, Database, DatabaseError, Erasure},
    log::Topic,
};

/// Which rows have to go.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    by_person: Arc<HashMap<PersonKey, Vec<Erasure>>>,
}

impl Rules {
    pub(super) fn new<'e>(erasures: impl IntoIterator<Item = &'e Erasure>) -> Self {
        let mut by_person = HashMap::<_, Vec<_>>::new();
        for erasure in erasures {
            by_person.entry(erasure.person).or_default().push(*erasure);
        }
        Self { by_person: Arc::new(by_person) }
    }

    pub(super) fn removes(&self, topic: Topic, partition: u32, head: &Head) -> bool {
        if self.by_person.is_empty() || head.kind == HeadKind::Erasure {
            return false;
        }
        let erasures = head.person.key().and_then(|person| self.by_person.get(&person));
        erasures.into_iter().flatten().any(|erasure| {
            if is_at_home(erasure, topic, partition) {
                head.offset < erasure.before_offset
            } else {
                head.time <= erasure.erased_at
            }
        })
    }

    /// For a merge that is removed: the erasure of the session that had become the person.
    pub(super) fn of_merged_session(&self, head: &Head) -> Option<Erasure> {
        if head.kind != HeadKind::Merge {
            return None;
        }
        let erasures = self.by_person.get(&head.person.key()?)?;
        let erased_at = erasures.iter().map(|erasure| erasure.erased_at).max()?;
        let person = head.person.session_id.as_ref()?.key();
        Some(Erasure { person, partition: None, before_offset: 0, erased_at, revision: 0 })
    }

    /// Whether the file may hold such rows, as far as its place tells.
    fn may_concern(&self, file: &ArchiveFile) -> bool {
        self.by_person.values().flatten().any(|erasure| {
            if is_at_home(erasure, file.topic, file.partition) {
                file.first_offset < erasure.before_offset
            } else {
                file.min_time <= erasure.erased_at
            }
        })
    }
}

fn is_at_home(erasure: &Erasure, topic: Topic, partition: u32) -> bool {
    topic == Topic::Events && erasure.partition == Some(partition)
}

/// What [`erase`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasureReport {
    /// Persons whose rows were looked for, sessions of theirs included.
    pub n_persons: u64,
    pub n_files_read: u64,
    pub rewritten: Vec<RewrittenFile>,
}

/// A file that held rows of erased persons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrittenFile {
    /// It stays readable under this path until it is swept.
    pub path: String,
    pub replaced_by: String,
    pub n_rows_removed: u64,
}

impl ErasureReport {
    pub fn n_rows_removed(&self) -> u64 {
        self.rewritten.iter().map(|file| file.n_rows_removed).sum()
    }
}

/// Rewrites every file that holds rows of somebody whose erasure is pending, without those rows. Stopped at any moment,
/// the archive is whole, and the next call goes on.
///
/// # Errors
/// [`ArchiveError::Damaged`] and others name a file that cannot be read; the erasures stay pending then.
pub async fn erase(artifacts: &Artifacts, database: &Database) -> Result<ErasureReport, ArchiveError> {
    let mut report = ErasureReport::default();
    if database.pending_erasures().await?.is_empty() {
        return Ok(report);
    }
    follow_merges(artifacts, database).await?;
    let pending = database.pending_erasures().await?;
    let rules = Rules::new(&pending);
    report.n_persons = rules.by_person.len() as u64;
    // What others put into the archive meanwhile is looked at as well.
    let mut clean = HashSet::new();
    loop {
        let files = concerned_files(database, &rules).await?;
        let files = files.into_iter().filter(|file| !clean.contains(&file.path)).collect::<Vec<_>>();
        if files.is_empty() {
            break;
        }
        for file in files {
            report.n_files_read += 1;
            match erase_from(artifacts, database, &file, &rules).await {
                Ok(None) => {
                    clean.insert(file.path);
                }
                Ok(Some(rewritten)) => {
                    clean.insert(rewritten.replaced_by.clone());
                    report.rewritten.push(rewritten);
                }
                // Somebody else put another file in its place, which comes next time round.
                Err(ArchiveError::Database(DatabaseError::ArchiveChanged { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }
    database.finish_erasures(&pending, Timestamp::now()).await?;
    Ok(report)
}

/// Makes the erasures of the sessions known that the erased users had merged into them: before the merges are gone.
async fn follow_merges(artifacts: &Artifacts, database: &Database) -> Result<(), ArchiveError> {
    let pending = database.pending_erasures().await?;
    let of_users = Arc::new(Rules::new(pending.iter().filter(|erasure| erasure.partition.is_some())));
    let mut sessions = Vec::new();
    for file in database.all_archive_files(Topic::Events).await? {
        let is_at_home = |erasure: &Erasure| {
            erasure.partition == Some(file.partition) && file.first_offset < erasure.before_offset
        };
        if !of_users.by_person.values().flatten().any(is_at_home) {
            continue;
        }
        let (rules, partition) = (Arc::clone(&of_users), file.partition);
        let merged = for_each_head(artifacts, &file, move |head, merged: &mut Vec<Erasure>| {
            if rules.removes(Topic::Events, partition, &head) {
                merged.extend(rules.of_merged_session(&head));
            }
        });
        sessions.extend(merged.await?);
    }
    Ok(database.register_erasures(&sessions).await?)
}

/// The files that hold rows of these people now, with the number of rows. Erasures themselves are not counted: they stay.
///
/// # Errors
/// [`ArchiveError::Damaged`] and others name a file that cannot be read.
pub async fn rows_of(
    artifacts: &Artifacts,
    database: &Database,
    persons: &HashSet<PersonKey>,
) -> Result<Vec<(ArchiveFile, u64)>, ArchiveError> {
    let persons = Arc::new(persons.clone());
    let mut found = Vec::new();
    for topic in [Topic::Events, Topic::Answers] {
        for file in database.all_archive_files(topic).await? {
            let persons = Arc::clone(&persons);
            let n_rows = for_each_head(artifacts, &file, move |head, n_rows: &mut u64| {
                let is_theirs = head.person.key().is_some_and(|key| persons.contains(&key));
                *n_rows += u64::from(is_theirs && head.kind != HeadKind::Erasure);
            });
            match n_rows.await? {
                0 => {}
                n_rows => found.push((file, n_rows)),
            }
        }
    }
    Ok(found)
}

async fn concerned_files(database: &Database, rules: &Rules) -> Result<Vec<ArchiveFile>, ArchiveError> {
    let mut files = Vec::new();
    for topic in [Topic::Events, Topic::Answers] {
        files.extend(database.all_archive_files(topic).await?.into_iter().filter(|f| rules.may_concern(f)));
    }
    Ok(files)
}

/// `None` if the file holds no such row.
async fn erase_from(
    artifacts: &Artifacts,
    database: &Database,
    file: &ArchiveFile,
    rules: &Rules,
) -> Result<Option<RewrittenFile>, ArchiveError> {
    let (topic, partition, rules_there) = (file.topic, file.partition, rules.clone());
    let n_rows_removed = for_each_head(artifacts, file, move |head, n_removed: &mut u64| {
        *n_removed += u64::from(rules_there.removes(topic, partition, &head));
    });
    let n_rows_removed = n_rows_removed.await?;
    if n_rows_removed == 0 {
        return Ok(None);
    }
    let old = std::slice::from_ref(file);
    let new = rewrite(artifacts, database, old, rules, false).await?;
    database.replace_archive_files(old, &new, Timestamp::now()).await?;
    let replaced_by = new.into_iter().next().map(|file| file.path).unwrap_or_default();
    Ok(Some(RewrittenFile { path: file.path.clone(), replaced_by, n_rows_removed }))
}

/// What `each` has made of the heads of all records.
async fn for_each_head<A: Default + Send + 'static>(
    artifacts: &Artifacts,
    file: &ArchiveFile,
    each: impl Fn(Head, &mut A) + Send + 'static,
) -> Result<A, ArchiveError> {
    let opened = open(artifacts, file).await?;
    let read = off_thread(&file.path, move || {
        let mut made = A::default();
        opened.for_each_head(|head| each(head, &mut made)).map(|()| made)
    });
    read.await?.map_err(|e| ArchiveError::Damaged { path: file.path.clone(), detail: e.to_string() })
}
