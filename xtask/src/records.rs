//! How good the models are on splits whose figures are published: every set searched, fitted and asked by `waggle evaluate`, and
//! all of it written as one table, `docs/records.md`.
//!
//! What a set came to stays under `target/records`, with every trial of its search: a run that was cut off goes on, and
//! one set may be measured anew without the others.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::workspace::{self, Workspace};

const SEED: u64 = 42;
const TABLE: &str = "docs/records.md";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the sets whose name contains this; the rows of the others stay as they are.
    #[arg(long)]
    only: Option<String>,
    /// Search for so long instead of as long as each set says, such as 20m.
    #[arg(long)]
    budget: Option<String>,
    /// Where the datasets lie, a folder for each.
    #[arg(long, env = "WAGGLE_DATA_DIR")]
    data: PathBuf,
}

/// One row of the table.
struct Set {
    name: &'static str,
    title: &'static str,
    asked: Asked,
    budget: &'static str,
    /// What is published, as the authors write it, and by whom.
    record: &'static str,
    /// What we aim to exceed, where figures are comparable.
    aims: Option<[f64; 2]>,
}

/// How a set is asked about.
enum Asked {
    /// Files to learn from and to ask about, in the set's folder.
    FixedSplit(&'static str, &'static str),
    /// A file of sequences.
    Sequences(&'static str),
    /// Lists of users, and of items.
    ColdItems(&'static str, &'static str),
    /// The last four weeks of a dataset, as the whole system serves them.
    LastWeeks,
}

const SETS: [Set; 8] = [
    Set {
        name: "gowalla",
        title: "Gowalla, LightGCN's split",
        asked: Asked::FixedSplit("train.txt.gz", "test.txt.gz"),
        budget: "20m",
        record: "BSPM-EM .1920 / .1597",
        aims: Some([0.1920, 0.1597]),
    },
    Set {
        name: "ml-1m",
        title: "MovieLens-1M, UltraGCN's split",
        asked: Asked::FixedSplit("ultragcn-train.txt.gz", "ultragcn-test.txt.gz"),
        budget: "15m",
        record: "UltraGCN .2787 / .2642",
        aims: Some([0.2787, 0.2642]),
    },
    Set {
        name: "amazon-cds",
        title: "Amazon CDs, UltraGCN's split",
        asked: Asked::FixedSplit("train.txt.gz", "test.txt.gz"),
        budget: "20m",
        record: "UltraGCN .1622 / .1043",
        aims: Some([0.1622, 0.1043]),
    },
    Set {
        name: "amazon-book-kgat",
        title: "Amazon-Book, KGAT's split",
        asked: Asked::FixedSplit("train.txt.gz", "test.txt.gz"),
        budget: "20m",
        record: "KGIN .1684 / .0914, with a knowledge graph",
        aims: Some([0.1750, 0.0980]),
    },
    Set {
        name: "beauty",
        title: "Beauty, S3-Rec's sequences",
        asked: Asked::Sequences("s3rec/Beauty.txt.gz"),
        budget: "10m",
        record: "eSASRec .0928, SASRec with sampled softmax .0531",
        aims: Some([0.0928, 0.0531]),
    },
    Set {
        name: "sports",
        title: "Sports, S3-Rec's sequences",
        asked: Asked::Sequences("s3rec/Sports_and_Outdoors.txt.gz"),
        budget: "10m",
        record: "SASRec with sampled softmax .0569, eSASRec .0323",
        aims: Some([0.0569, 0.0323]),
    },
    Set {
        name: "citeulike-a",
        title: "citeulike-a, a tenth of the articles held out, known by their tags alone",
        asked: Asked::ColdItems("users.dat.gz", "item-tag.dat.gz"),
        budget: "5m",
        record: "none on this split",
        aims: None,
    },
    Set {
        name: "online-retail",
        title: "Online Retail, the last four weeks",
        asked: Asked::LastWeeks,
        budget: "",
        record: "no split is published",
        aims: None,
    },
];

/// Measures what is wanted and writes the table.
///
/// # Errors
/// If a dataset is missing, or a measurement fails; what was measured before is in the table.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let is_wanted = |set: &&Set| args.only.as_deref().is_none_or(|part| set.name.contains(part));
    if !SETS.iter().any(|set| is_wanted(&set)) {
        let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
        bail!("--only {} fits none of {}", args.only.as_deref().unwrap_or_default(), names.join(", "));
    }
    let data = fs::canonicalize(&args.data).with_context(|| format!("no folder {}", args.data.display()))?;
    workspace::run(workspace.cargo().args(["build", "--release", "--workspace", "--bin", "waggle"]))?;
    let home = workspace.target.join("records");
    fs::create_dir_all(&home)?;
    for set in SETS.iter().filter(is_wanted) {
        println!("   {}", set.title);
        let reports = set.measure(workspace, args, &data, &home)?;
        let record = json!({
            "date": output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?,
            "machine": machine()?,
            "commit": output(workspace.command("git").args(["rev-parse", "--short", "HEAD"]))?,
            "budget": args.budget.as_deref().unwrap_or(set.budget),
            "reports": reports,
        });
        fs::write(set.file(&home), serde_json::to_vec_pretty(&record)?)?;
        fs::write(workspace.root.join(TABLE), table(&home)?)?;
    }
    println!("   {TABLE}");
    Ok(true)
}

impl Set {
    fn file(&self, home: &Path) -> PathBuf {
        home.join(format!("{}.json", self.name))
    }

    /// What `waggle evaluate` says, of the chosen model first and then of its rulers.
    fn measure(&self, workspace: &Workspace, args: &Args, data: &Path, home: &Path) -> Result<Vec<Value>> {
        let folder = data.join(self.name);
        let file = |folder: &Path, name: &str| folder.join(name).to_string_lossy().into_owned();
        let question: Vec<String> = match self.asked {
            Asked::FixedSplit(train, test) => vec![
                "--protocol=fixed-split".to_owned(),
                format!("--train={}", file(&folder, train)),
                format!("--test={}", file(&folder, test)),
            ],
            Asked::Sequences(train) => {
                vec!["--protocol=leave-one-out".to_owned(), format!("--train={}", file(data, train))]
            }
            Asked::ColdItems(train, content) => vec![
                "--protocol=cold-items".to_owned(),
                "--form=counted".to_owned(),
                format!("--train={}", file(&folder, train)),
                format!("--content={}", file(&folder, content)),
            ],
            Asked::LastWeeks => vec![
                "--protocol=time".to_owned(),
                format!("--data={}", self.name),
                format!("--from={}", folder.display()),
            ],
        };
        let said = home.join(format!("{}.said.json", self.name));
        let ask = |more: &[String]| -> Result<Value> {
            let mut command = workspace.command(workspace.binary("waggle"));
            command.arg("evaluate").args(&question).args(more).arg(format!("--seed={SEED}"));
            command.arg("--json").arg(&said).stdout(Stdio::null());
            workspace::run(&mut command)?;
            Ok(serde_json::from_slice(&fs::read(&said)?)?)
        };
        if let Asked::LastWeeks = self.asked {
            return Ok(vec![ask(&[])?]);
        }
        let trials = home.join(format!("{}.trials.jsonl", self.name));
        let budget = args.budget.as_deref().unwrap_or(self.budget);
        let chosen = ask(&[
            "--model=auto".to_owned(),
            format!("--budget={budget}"),
            format!("--state={}", trials.display()),
        ])?;
        let rulers: &[&str] = match self.asked {
            Asked::ColdItems(..) => &["newest", "content-knn"],
            _ => &["popularity"],
        };
        let rulers = rulers.iter().map(|model| ask(&[format!("--model={model}")]));
        std::iter::once(Ok(chosen)).chain(rulers).collect()
    }

    /// One row; `None` where it was never measured.
    fn row(&self, home: &Path) -> Result<Option<String>> {
        let file = self.file(home);
        if !file.exists() {
            return Ok(None);
        }
        let record: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let reports = record["reports"].as_array().context("there are no reports")?;
        let chosen = reports.first().context("there are no reports")?;
        let (model, figures, seconds) = match self.asked {
            Asked::LastWeeks => ("two-stage".to_owned(), last_weeks(chosen), "–".to_owned()),
            _ => {
                let names = self.metrics();
                let own = format!("**{}**", figures(chosen, names));
                let rulers = reports[1..]
                    .iter()
                    .map(|report| format!("{} {}", text(&report["model"]), figures(report, names)));
                let all: Vec<String> = std::iter::once(own).chain(rulers).collect();
                (
                    model(chosen),
                    all.join("; "),
                    format!("{:.1}", chosen["fit_s"].as_f64().unwrap_or_default()),
                )
            }
        };
        let verdict = self.aims.map_or_else(|| "–".to_owned(), |aims| verdict(chosen, self.metrics(), aims));
        Ok(Some(format!(
            "| {} | {model} | {figures} | {} | {verdict} | {seconds} | {} | {}, {} |\n",
            self.title,
            self.record,
            if self.budget.is_empty() { "–".to_owned() } else { text(&record["budget"]) },
            text(&record["date"]),
            text(&record["commit"]),
        )))
    }

    fn metrics(&self) -> [&'static str; 2] {
        match self.asked {
            Asked::Sequences(_) => ["hr_at_10", "ndcg_at_10"],
            _ => ["recall_at_20", "ndcg_at_20"],
        }
    }
}

/// Both metrics with their intervals.
fn figures(report: &Value, metrics: [&str; 2]) -> String {
    let figure = |metric: &str| {
        let [low, high] = [0, 1].map(|end| short(&report["intervals"][metric][end]));
        format!("{} ({low} – {high})", short(&report[metric]))
    };
    metrics.map(figure).join(" / ")
}

/// Whether both figures exceed the aims.
fn verdict(report: &Value, metrics: [&str; 2], aims: [f64; 2]) -> String {
    let exceeds = |(metric, aim): (&&str, &f64)| report[*metric].as_f64().is_some_and(|value| value > *aim);
    match metrics.iter().zip(&aims).map(exceeds).collect::<Vec<_>>()[..] {
        [true, true] => "both higher".to_owned(),
        [false, false] => "both lower".to_owned(),
        [true, _] => "first higher, second lower".to_owned(),
        _ => "first lower, second higher".to_owned(),
    }
}

/// The model, and of a blend what it is made of.
fn model(report: &Value) -> String {
    let Some(parts) = report["settings"]["parts"].as_array() else { return text(&report["model"]) };
    let part = |part: &Value| format!("{} × {}", part["weight"], text(&part["model"]));
    let counts = |part: &&Value| part["weight"].as_f64().is_some_and(|weight| weight > 0.0);
    format!("blend of {}", parts.iter().filter(counts).map(part).collect::<Vec<_>>().join(", "))
}

/// Both tables of the time split, and by how much the whole is ahead of the best other.
fn last_weeks(report: &Value) -> String {
    let table = |name: &str, difference: &str, other: &str| {
        let rows = report[name]["rows"].as_array().map_or(&[][..], Vec::as_slice);
        let ndcg = rows.first().map(|row| short(&row["metrics"]["ndcg@10"]["value"])).unwrap_or_default();
        let by = &report[difference];
        format!(
            "NDCG@10 **{ndcg}** of {}, {} more ({} – {}) than the best other, {}",
            text(&report[name]["title"]),
            short(&by["value"]),
            short(&by["low"]),
            short(&by["high"]),
            text(&report[other])
        )
    };
    [
        table("all_items", "two_stage_vs_best_other", "best_other"),
        table("new_to_person", "two_stage_vs_best_other_new_to_person", "best_other_new_to_person"),
    ]
    .join("; ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `.1234`
fn short(value: &Value) -> String {
    let text = format!("{:.4}", value.as_f64().unwrap_or(f64::NAN));
    text.strip_prefix('0').map_or(text.clone(), str::to_owned)
}

fn table(home: &Path) -> Result<String> {
    let mut text = format!(
        "# Figures on published splits\n\n\
         Written by `cargo xtask records`; not by hand. Each set is searched by `waggle evaluate --model auto --budget …` on a part of \
         what may be learned from, fitted on all of that, and its test asked once; seed {SEED}. Recall@20 / NDCG@20 over everybody and \
         the whole catalogue by the definitions of LightGCN's tables; of sequences HR@10 / NDCG@10 among all items; of cold items among \
         those held out. In brackets 95 % intervals over users (bootstrap). A difference smaller than half an interval is none. \
         Published figures are their authors', mostly on GPUs.\n\n\
         | data | chosen by validation | figures, and of rulers | best published on the split | beside what we aim at | last fit, s | budget | measured |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    let mut machines = Vec::new();
    for set in &SETS {
        match set.row(home)? {
            Some(row) => {
                text += &row;
                let record: Value = serde_json::from_slice(&fs::read(set.file(home))?)?;
                machines.push(self::text(&record["machine"]));
            }
            None => text += &format!("| {} | not measured | | {} | | | | |\n", set.title, set.record),
        }
    }
    machines.sort();
    machines.dedup();
    text += &format!("\nMachine: {}.\n", machines.join("; "));
    text += "Aims are the published figures, but for Amazon-Book .1750 / .0980.\n";
    Ok(text)
}

/// Processor, how many of it, and memory.
fn machine() -> Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = field("model name").unwrap_or_else(|| env::consts::ARCH.to_owned());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        memory.lines().next().and_then(|line| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    let n = std::thread::available_parallelism()?;
    Ok(format!("{n} × {processor}, {} GiB", kib.unwrap_or(0).div_ceil(1 << 20)))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    anyhow::ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_measured_and_whether_it_is_more() {
        let home = tempfile::tempdir().unwrap();
        let report = json!({
            "model": "blend",
            "recall_at_20": 0.1921, "ndcg_at_20": 0.159,
            "intervals": { "recall_at_20": [0.19, 0.2], "ndcg_at_20": [0.15, 0.16] },
            "settings": { "parts": [
                { "model": "slim", "weight": 1.0 }, { "model": "ials", "weight": 0.5 }, { "model": "item-knn", "weight": 0.0 }
            ] },
            "fit_s": 12.34,
        });
        let record = json!({
            "date": "2026-01-02", "machine": "2 × fast", "commit": "abc", "budget": "20m", "reports": [report]
        });
        fs::write(SETS[0].file(home.path()), record.to_string()).unwrap();
        let row = SETS[0].row(home.path()).unwrap().unwrap();
        assert!(row.contains("blend of 1.0 × slim, 0.5 × ials |"), "{row}");
        assert!(row.contains("**.1921 (.1900 – .2000) / .1590 (.1500 – .1600)**"), "{row}");
        assert!(row.contains("| first higher, second lower | 12.3 | 20m | 2026-01-02, abc |"), "{row}");
        let table = table(home.path()).unwrap();
        assert!(table.contains("| Beauty, S3-Rec's sequences | not measured |"), "{table}");
        assert!(table.ends_with(
            "Machine: 2 × fast.\nAims are the published figures, but for Amazon-Book .1750 / .0980.\n"
        ));
    }
}
