//! `waggle import`: files of items, people and events. Works beside running services, except on the embedded default,
//! whose folder one process works on alone.

use std::{collections::BTreeMap, path::Path as FilePath};

use anyhow::{Result, bail};
use serde_json::json;
use waggle_ingest_role::mapping::{Field, LineRules, Mapping, Path, TimeFormat, UnmappedTypes};

use crate::{
    cli::{
        CsvArgs, FileFormat, ImportArgs, ImportCommand, ImportEventsArgs, Pair, TimeArg, UnmappedTypesArg,
        UsageError,
    },
    config::Config,
    import::{
        files::{Counts, Files, ITEM_FIELDS, Mappings, open_all},
        records::{Format, check_paths},
        rejects::Rejects,
    },
    progress::{Steps, print},
    stores::Stores,
};

pub(super) async fn run(config: &Config, command: ImportCommand) -> Result<()> {
    let Prepared { args, csv, wanted, what } = Prepared::try_new(command).map_err(UsageError)?;
    check_paths(&args.files).map_err(UsageError)?;
    // Before anything is made: whoever misspelt a name wants to hear that.
    let inputs = open_all(&args.files, |path| format_of(path, csv.as_ref(), &wanted))?;
    let stores = Stores::for_command(config)?;
    let steps = Steps::new();
    let rejects = Rejects::new(args.rejects.as_deref(), &args.files);
    let rejected_to = rejects.path().to_owned();
    let files = Files { inputs, rejects, steps: &steps };
    let outcome = match what {
        What::Items { columns } => files.items(&stores, config, columns).await,
        What::Users => files.users(&stores, config).await,
        What::Events { mappings, look } => files.events(&stores, config, *mappings, look).await,
    };
    let closed = stores.close().await;
    let counts = outcome?;
    closed?;
    report(&counts, &rejected_to, args.json, steps.elapsed_s())
}

/// What the command line asks for, checked.
struct Prepared {
    args: ImportArgs,
    csv: Option<CsvArgs>,
    /// Columns that the mapping names.
    wanted: Vec<String>,
    what: What,
}

enum What {
    /// Fields by the columns that hold them, where those have other names.
    Items {
        columns: Vec<(String, String)>,
    },
    Users,
    Events {
        mappings: Box<Mappings>,
        look: bool,
    },
}

impl Prepared {
    /// # Errors
    /// One sentence that says what of the command line cannot work.
    fn try_new(command: ImportCommand) -> Result<Self, String> {
        match command {
            ImportCommand::Users(args) => Ok(Self { args, csv: None, wanted: Vec::new(), what: What::Users }),
            ImportCommand::Items(items) => {
                let columns: Vec<_> =
                    items.map.into_iter().map(|Pair { left, right }| (left, right)).collect();
                if let Some((field, _)) =
                    columns.iter().find(|(field, _)| !ITEM_FIELDS.contains(&field.as_str()))
                {
                    return Err(format!("--map: \"{field}\" is not a field of an item"));
                }
                if !columns.is_empty() && has_json(&items.import, &items.csv) {
                    return Err("--map names columns of CSV, and a file is NDJSON; --format says otherwise"
                        .to_owned());
                }
                let wanted = columns.iter().map(|(_, column)| column.clone()).collect();
                Ok(Self { args: items.import, csv: Some(items.csv), wanted, what: What::Items { columns } })
            }
            ImportCommand::Events(args) => {
                let mappings = Box::new(mappings(&args)?);
                let wanted = args.map.into_iter().map(|pair| pair.right).collect();
                let what = What::Events { mappings, look: !args.no_lookup };
                Ok(Self { args: args.import, csv: Some(args.csv), wanted, what })
            }
        }
    }
}

fn has_json(args: &ImportArgs, csv: &CsvArgs) -> bool {
    args.files.iter().any(|path| format_of(path, Some(csv), &[]) == Format::Ndjson)
}

fn format_of(path: &FilePath, csv: Option<&CsvArgs>, wanted: &[String]) -> Format {
    let by_name = Format::of_name(path);
    let Some(CsvArgs { format, delimiter }) = csv else { return Format::Ndjson };
    let usual = match &by_name {
        Format::Csv { delimiter, .. } => *delimiter,
        Format::Ndjson => b',',
    };
    let is_csv = format.map_or(by_name != Format::Ndjson, |format| format == FileFormat::Csv);
    match is_csv {
        true => Format::Csv { delimiter: delimiter.unwrap_or(usual), wanted: wanted.to_vec() },
        false => Format::Ndjson,
    }
}

/// # Errors
/// As [`Prepared::try_new`].
fn mappings(args: &ImportEventsArgs) -> Result<Mappings, String> {
    let rules = rules(args)?;
    let says_nothing = args.map.is_empty() && args.constants.is_empty() && args.types.is_empty();
    let are_events = says_nothing && args.unmapped_types.is_none() && args.time == TimeArg::Rfc3339;
    let json = match are_events || !has_json(&args.import, &args.csv) {
        true => None,
        false => {
            let mut fields = BTreeMap::new();
            for Pair { left, right } in &args.map {
                let path = Path::try_from(right.clone()).map_err(|detail| format!("--map: {detail}"))?;
                fields.insert(field("--map", left)?, path);
            }
            Some(Mapping::of_lines(LineRules { fields, ..rules.clone() }))
        }
    };
    let mut columns: BTreeMap<_, _> = Field::ALL.map(|field| (field, Path::column(field.as_str()))).into();
    for Pair { left, right } in &args.map {
        columns.insert(field("--map", left)?, Path::column(right));
    }
    let csv = Mapping::of_lines(LineRules { fields: columns, ..rules })?;
    Ok(Mappings { json: json.transpose()?, csv })
}

/// All but the fields.
fn rules(args: &ImportEventsArgs) -> Result<LineRules, String> {
    let mut rules = LineRules {
        time: match args.time {
            TimeArg::Rfc3339 => TimeFormat::Rfc3339,
            TimeArg::UnixS => TimeFormat::UnixS,
            TimeArg::UnixMs => TimeFormat::UnixMs,
        },
        unmapped_types: match args.unmapped_types {
            Some(UnmappedTypesArg::Reject) => UnmappedTypes::DeadLetter,
            Some(UnmappedTypesArg::Skip) => UnmappedTypes::Skip,
            None if !args.types.is_empty() => UnmappedTypes::DeadLetter,
            Some(UnmappedTypesArg::Keep) | None => UnmappedTypes::Keep,
        },
        ..LineRules::default()
    };
    for Pair { left, right } in &args.constants {
        rules.constants.insert(field("--constant", left)?, right.clone().into());
    }
    for Pair { left, right } in &args.types {
        rules.types.insert(left.clone(), right.clone());
    }
    Ok(rules)
}

fn field(flag: &str, name: &str) -> Result<Field, String> {
    let found = Field::ALL.into_iter().find(|field| field.as_str() == name);
    found.ok_or_else(|| format!("{flag}: \"{name}\" is not a field of an event"))
}

/// # Errors
/// If anything was refused.
fn report(counts: &Counts, rejected_to: &FilePath, as_json: bool, took_s: f64) -> Result<()> {
    let Counts { accepted, duplicates, skipped, rejected } = *counts;
    if as_json {
        let rejects = (rejected > 0).then(|| rejected_to.display().to_string());
        print(&serde_json::to_string_pretty(&json!({
            "records": counts.n_records(), "accepted": accepted, "duplicates": duplicates, "skipped": skipped,
            "rejected": rejected, "rejects": rejects, "took_s": took_s,
        }))?);
    } else {
        let mut sentence = format!("{accepted} accepted, {duplicates} duplicates, {rejected} rejected");
        if skipped > 0 {
            sentence += &format!(", {skipped} of types that are passed over");
        }
        print(&sentence);
    }
    if rejected > 0 {
        bail!(
            "{rejected} of {} records were refused: {} says why",
            counts.n_records(),
            rejected_to.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
