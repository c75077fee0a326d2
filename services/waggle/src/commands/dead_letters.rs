//! `waggle dead-letters`: what was refused, and another try.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use serde_json::json;
use waggle_ingest_role::dead_letters::{DeadLetters, Retry, Verdict};
use waggle_model::{DeadLetter, DeadLetterOrigin, Timestamp};
use waggle_stores::Position;

use crate::{
    cli::{DeadLettersCommand, LetterSelection, ListLettersArgs, RetryLettersArgs},
    config::{Config, LogKind},
    dir::Paths,
    progress::{print, say},
    roles::{IngestRole, ingest::mappings},
    stores::Stores,
};

/// Letters sent again at once.
const CHUNK: usize = 500;
/// Characters of a letter's content and reason in a list.
const PREVIEW_CHARS: usize = 100;
const REASON_CHARS: usize = 300;

pub(super) async fn run(config: &Config, command: DeadLettersCommand) -> Result<()> {
    // A log in the folder is one that exists: looking at what was refused makes none.
    let is_there = config.log.kind != LogKind::Sqlite || Paths::new(&config.dir).log().is_file();
    ensure!(is_there, "{} holds no log; name another folder with --dir", config.dir.display());
    let stores = Stores::for_log(config)?;
    let outcome = match command {
        DeadLettersCommand::List(args) => list(&stores, &args).await,
        DeadLettersCommand::Retry(args) => retry(&stores, config, &args).await,
    };
    let closed = stores.close().await;
    outcome.and(closed)
}

/// A letter in a list.
struct Line {
    position: Position,
    letter: DeadLetter,
    was_retried: bool,
}

async fn list(stores: &Stores, args: &ListLettersArgs) -> Result<()> {
    let limit = args.limit as usize;
    let (mut lines, mut n_found) = (Vec::new(), 0_usize);
    let letters = DeadLetters::open(stores.log().await?).await?;
    letters
        .each(|position, letter, was_retried| {
            if (was_retried && !args.retried) || !args.selection.admits(&letter) {
                return;
            }
            n_found += 1;
            lines.push(Line { position, letter, was_retried });
            // Partitions come one after the other, so the newest are known at the end; until then memory is bounded.
            if lines.len() >= 2 * limit.max(500) {
                keep_newest(&mut lines, limit);
            }
        })
        .await?;
    keep_newest(&mut lines, limit);
    if args.json {
        let rows: Vec<_> = lines.iter().map(Line::to_json).collect();
        print(&serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for line in &lines {
        let Line { position: Position { partition, offset }, letter, was_retried } = line;
        let retried = if *was_retried { "  (taken in since)" } else { "" };
        print(&format!(
            "{partition}:{offset}  {}  {}{retried}\n    {}\n    {}",
            letter.at,
            origin(&letter.origin),
            printable(&letter.reason, REASON_CHARS),
            preview(letter)
        ));
    }
    say(&format!("{} of {n_found} letters", lines.len()));
    Ok(())
}

fn keep_newest(lines: &mut Vec<Line>, limit: usize) {
    lines.sort_by_key(|line| (line.letter.at, line.position.partition, line.position.offset));
    lines.drain(..lines.len().saturating_sub(limit));
}

impl Line {
    fn to_json(&self) -> serde_json::Value {
        let Self { position, letter, was_retried } = self;
        json!({
            "position": position_text(*position),
            "at": letter.at,
            "reason": letter.reason,
            "origin": letter.origin,
            "preview": preview(letter),
            "size_bytes": letter.payload.len(),
            "is_truncated": letter.is_truncated,
            "was_retried": was_retried,
        })
    }
}

async fn retry(stores: &Stores, config: &Config, args: &RetryLettersArgs) -> Result<()> {
    let log = stores.log().await?;
    let ingest = IngestRole::open(stores, config).await?;
    let retry = Retry::new(ingest.service, log.clone(), mappings(config)?);
    let mut wanted: HashSet<Position> = args.positions.iter().map(|position| position.0).collect();
    let letters = DeadLetters::open(log).await?;
    let mut chosen = Vec::new();
    let mut n_done = 0_usize;
    letters
        .each(|position, letter, was_retried| {
            let is_wanted = args.all || wanted.remove(&position);
            if is_wanted && was_retried {
                n_done += usize::from(!args.all);
            } else if is_wanted && args.selection.admits(&letter) {
                chosen.push((position, letter));
            }
        })
        .await?;
    for position in &wanted {
        say(&format!("{}: there is no such letter", position_text(*position)));
    }
    let mut verdicts = Vec::new();
    for chunk in chosen.chunks(CHUNK) {
        let of_chunk = match args.dry_run {
            true => retry.rehearse(chunk, Timestamp::now()),
            false => retry.send(chunk, Timestamp::now()).await?,
        };
        verdicts.extend(chunk.iter().map(|(position, _)| *position).zip(of_chunk));
    }
    report(&verdicts, args, n_done)?;
    ensure!(wanted.is_empty(), "{} of the named letters do not exist", wanted.len());
    Ok(())
}

fn report(verdicts: &[(Position, Verdict)], args: &RetryLettersArgs, n_done: usize) -> Result<()> {
    let count = |of: fn(&Verdict) -> bool| verdicts.iter().filter(|(_, verdict)| of(verdict)).count();
    let taken_in = count(|verdict| *verdict == Verdict::TakenIn);
    let skipped = count(|verdict| *verdict == Verdict::Skipped);
    let refused: Vec<_> = verdicts
        .iter()
        .filter_map(|(position, verdict)| match verdict {
            Verdict::Refused(detail) => Some((position_text(*position), detail)),
            _ => None,
        })
        .collect();
    if args.json {
        let refused: Vec<_> = refused
            .iter()
            .map(|(position, reason)| json!({ "position": position, "reason": reason }))
            .collect();
        print(&serde_json::to_string_pretty(&json!({
            "dry_run": args.dry_run, "taken_in": taken_in, "skipped": skipped, "taken_in_before": n_done,
            "refused": refused,
        }))?);
        return Ok(());
    }
    for (position, reason) in &refused {
        print(&format!("{position}  {}", printable(reason, REASON_CHARS)));
    }
    let done = if args.dry_run { "would be taken in" } else { "taken in" };
    let mut sentence = format!("{taken_in} {done}, {} still refused", refused.len());
    if skipped > 0 {
        sentence += &format!(", {skipped} of types that are passed over");
    }
    if n_done > 0 {
        sentence += &format!(", {n_done} taken in before");
    }
    say(&sentence);
    Ok(())
}

impl LetterSelection {
    fn admits(&self, letter: &DeadLetter) -> bool {
        self.reason.as_ref().is_none_or(|text| letter.reason.contains(text.as_str()))
            && self.since.is_none_or(|since| letter.at >= since)
    }
}

fn position_text(position: Position) -> String {
    format!("{}:{}", position.partition, position.offset)
}

fn origin(origin: &DeadLetterOrigin) -> String {
    match origin {
        DeadLetterOrigin::Request { index } => format!("element {index} of a request"),
        DeadLetterOrigin::Source { topic, partition, offset, .. } => {
            format!("record {partition}:{offset} of topic {topic}")
        }
        DeadLetterOrigin::Log { topic, partition, offset } => {
            format!("record {partition}:{offset} of the log's {topic}")
        }
    }
}

/// One line, safe to print, whatever is in it.
fn preview(letter: &DeadLetter) -> String {
    // More than is shown, so that what is left out shows too.
    let head = &letter.payload[..letter.payload.len().min(8 * PREVIEW_CHARS)];
    printable(&String::from_utf8_lossy(head), PREVIEW_CHARS)
}

/// What a stranger may have chosen, on one line of at most so many characters.
fn printable(text: &str, max_chars: usize) -> String {
    let shown = text.chars().take(max_chars).map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let rest = text.chars().nth(max_chars).map(|_| '…');
    shown.chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: Vec<u8>) -> DeadLetter {
        let origin = DeadLetterOrigin::Request { index: 0 };
        DeadLetter::new("too old", origin, Timestamp::from_millis(7), &payload.into())
    }

    #[test]
    fn a_preview_is_one_short_line_whatever_is_in_the_letter() {
        assert_eq!(preview(&letter(b"{\"type\":\n\x1b[31m".to_vec())), "{\"type\":\u{fffd}\u{fffd}[31m");
        let long = preview(&letter("é".repeat(10_000).into_bytes()));
        assert_eq!((long.chars().count(), long.ends_with('…')), (PREVIEW_CHARS + 1, true));
        assert_eq!(preview(&letter(Vec::new())), "");
        assert_eq!(printable("type \"\u{1b}[31m\"", 300), "type \"\u{fffd}[31m\"");
    }

    #[test]
    fn a_selection_is_by_reason_and_by_time() {
        let admits = |reason: Option<&str>, since: Option<i64>| {
            let since = since.map(Timestamp::from_millis);
            LetterSelection { reason: reason.map(str::to_owned), since }.admits(&letter(Vec::new()))
        };
        assert!(admits(None, None) && admits(Some("old"), Some(7)));
        assert!(!admits(Some("new"), None) && !admits(None, Some(8)));
    }

    #[test]
    fn a_position_is_written_as_it_is_read() {
        let position: crate::cli::LetterPosition = "3:17".parse().unwrap();
        assert_eq!(position_text(position.0), "3:17");
        assert!("3".parse::<crate::cli::LetterPosition>().is_err());
    }
}
