//! Models on public data sets: `waggle evaluate` with a protocol of published figures, and `waggle tune`.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use waggle_datasets::{ItemLists, ItemListsForm};
use waggle_jobs::single::{
    Choice, Lists, PublicData, SingleModel, SplitReport, Trial, TuneParams, evaluate_split, tune as search,
};

use crate::{
    cli::{EvaluateArgs, ListsForm, ModelName, Protocol, PublicDataArgs, TuneArgs, UsageError},
    evaluation::{choice_text, html, split_text},
    progress::{Steps, print, write_json, write_text},
};

/// How long a search takes that was not told.
const BUDGET: Duration = Duration::from_secs(20 * 60);

pub(super) async fn evaluate(args: &EvaluateArgs) -> Result<()> {
    let job = Job::new(args.protocol, &args.public, args.simulator.seed)?;
    let (steps, with_plots) = (job.steps.clone(), args.html.is_some());
    let report = tokio::task::spawn_blocking(move || job.evaluate(with_plots))
        .await
        .context("the evaluation panicked")??;
    steps.finish("");
    if let Some(path) = &args.html {
        write_text(path, &html::of_split(&report))?;
    }
    if args.json.as_deref() != Some(Path::new("-")) {
        print(split_text(&report).trim_end());
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &report))
}

pub(super) async fn tune(args: &TuneArgs) -> Result<()> {
    let mut job = Job::new(args.protocol, &args.public, args.seed)?;
    job.budget.get_or_insert(BUDGET);
    let steps = job.steps.clone();
    let choice = tokio::task::spawn_blocking(move || {
        let data = job.data()?;
        job.tune(&data)
    });
    let choice = choice.await.context("the search panicked")??;
    steps.finish("");
    if args.json.as_deref() != Some(Path::new("-")) {
        print(choice_text(&choice).trim_end());
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &choice))
}

/// What was asked for, checked as far as that goes without reading.
struct Job {
    protocol: Protocol,
    files: PublicDataArgs,
    /// `None`: to be chosen.
    model: Option<SingleModel>,
    settings: Value,
    budget: Option<Duration>,
    seed: u64,
    steps: Arc<Steps>,
}

impl Job {
    fn new(protocol: Protocol, files: &PublicDataArgs, seed: u64) -> Result<Self> {
        let settings = serde_json::from_str(&files.settings)
            .map_err(|e| UsageError(format!("--settings is not JSON: {e}")))?;
        let model = single_model(files.model);
        if model.is_none() && files.settings != "{}" {
            return Err(UsageError(
                "--settings are of one model, and --model auto chooses among all".to_owned(),
            )
            .into());
        }
        let budget = files.budget.or(model.is_none().then_some(BUDGET));
        if files.state.is_some() && budget.is_none() {
            return Err(UsageError("--state is of a search: --budget says how long".to_owned()).into());
        }
        Ok(Self {
            protocol,
            files: files.clone(),
            model,
            settings,
            budget,
            seed,
            steps: Arc::new(Steps::new()),
        })
    }

    fn evaluate(self, with_plots: bool) -> Result<SplitReport> {
        if self.protocol == Protocol::FixedSplit && self.files.test.is_none() {
            return Err(UsageError("--test is needed".to_owned()).into());
        }
        let data = self.data()?;
        let (model, settings) = match self.budget {
            None => (self.model.expect("without a time to search a model is named"), self.settings),
            Some(_) => {
                let best = self.tune(&data)?.best;
                (best.model, best.settings)
            }
        };
        evaluate_split(&data.test(self.seed)?, model, &settings, self.seed, with_plots, &*self.steps)
    }

    fn tune(&self, data: &PublicData) -> Result<Choice> {
        let params = TuneParams { budget: self.budget.unwrap_or(BUDGET), seed: self.seed };
        let mut state = self.files.state.as_deref().map(State::open).transpose()?;
        let known = state.as_mut().map_or(Vec::new(), |state| std::mem::take(&mut state.known));
        let mut record = |trial: &Trial| state.as_mut().map_or(Ok(()), |state| state.append(trial));
        search(data, self.model, &self.settings, &params, known, &mut record, &*self.steps)
    }

    fn data(&self) -> Result<PublicData> {
        let form = match self.files.form {
            ListsForm::Named => ItemListsForm::Named,
            ListsForm::Counted => ItemListsForm::Counted,
        };
        let read = |file: &Path| -> Result<Lists> { Ok(ItemLists::read_as(form, file)?.of_users) };
        let needed = |file: &Option<PathBuf>, name| {
            file.clone().ok_or_else(|| UsageError(format!("--{name} is needed")))
        };
        let train = read(&needed(&self.files.train, "train")?)?;
        Ok(match self.protocol {
            Protocol::LeaveOneOut => PublicData::LeaveOneOut { sequences: train },
            Protocol::ColdItems => {
                PublicData::ColdItems { lists: train, terms: read(&needed(&self.files.content, "content")?)? }
            }
            Protocol::Strong => PublicData::Strong { lists: train, n_held_out: self.files.held_out },
            Protocol::FixedSplit => {
                let test = self.files.test.as_deref().map(read).transpose()?.unwrap_or_default();
                PublicData::FixedSplit { train, test }
            }
            Protocol::Time => {
                let what = "--protocol time evaluates all that is served; a search needs another one";
                return Err(UsageError(what.to_owned()).into());
            }
        })
    }
}

fn single_model(name: ModelName) -> Option<SingleModel> {
    Some(match name {
        ModelName::Popularity => SingleModel::Popularity,
        ModelName::ItemKnn => SingleModel::ItemKnn,
        ModelName::TurboCf => SingleModel::TurboCf,
        ModelName::Ials => SingleModel::Ials,
        ModelName::Ease => SingleModel::Ease,
        ModelName::Slim => SingleModel::Slim,
        ModelName::VmisKnn => SingleModel::VmisKnn,
        ModelName::SasRec => SingleModel::SasRec,
        ModelName::Content => SingleModel::Content,
        ModelName::ContentKnn => SingleModel::ContentKnn,
        ModelName::Newest => SingleModel::Newest,
        ModelName::Blend => SingleModel::Blend,
        ModelName::Auto => return None,
    })
}

/// Trials of a search, a line of JSON each.
struct State {
    file: File,
    path: PathBuf,
    known: Vec<Trial>,
}

impl State {
    fn open(path: &Path) -> Result<Self> {
        let text = if path.exists() {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        } else {
            String::new()
        };
        // What comes after the last line end was cut off while it was written.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let trial = |(number, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}: line {} is no trial", path.display(), number + 1))
        };
        let known = text[..whole].lines().enumerate().map(trial).collect::<Result<_>>()?;
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        if whole < text.len() {
            file.set_len(whole as u64).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self { file, path: path.to_owned(), known })
    }

    fn append(&mut self, trial: &Trial) -> Result<()> {
        let line = serde_json::to_string(trial)? + "\n";
        self.file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(value: f64) -> Trial {
        Trial {
            question: "fixed-split".to_owned(),
            model: SingleModel::Slim,
            settings: serde_json::json!({ "l2": value }),
            metric: "ndcg@20".to_owned(),
            value: Some(value),
            error: None,
            fit_s: 1.0,
            evaluate_s: 2.0,
        }
    }

    #[test]
    fn trials_come_back_and_one_that_was_cut_off_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials.jsonl");
        let mut state = State::open(&path).unwrap();
        assert!(state.known.is_empty());
        state.append(&trial(0.5)).unwrap();
        state.append(&trial(0.25)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let mut state = State::open(&path).unwrap();
        assert_eq!(state.known, [trial(0.5)]);
        state.append(&trial(0.125)).unwrap();
        assert_eq!(State::open(&path).unwrap().known, [trial(0.5), trial(0.125)]);
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "milk\neggs\n").unwrap();
        let refused = format!("{:#}", State::open(&path).err().expect("no trials are in it"));
        assert!(refused.contains("notes.txt: line 1 is no trial"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "milk\neggs\n");
    }
}
