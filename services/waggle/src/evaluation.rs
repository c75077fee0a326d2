//! The running system as one more recommender: what is measured is what a client gets, over HTTP.

pub(crate) mod html;
mod svg;

use tokio::runtime::Handle;
use waggle_contracts::api::{RecommendationRequest, RecommendationResponse};
use waggle_evaluation::Difference;
use waggle_jobs::{
    TimeSplitReport,
    single::{Choice, SplitReport},
};
use waggle_model::{ItemId, Scored};
use waggle_models::{Query, RecommendError, Recommender, Vocabulary};

/// Asked for beyond `k` where known items are excluded: the system's memory of a person is bounded, the evaluation's is
/// not, so a few of what it believes new may have to be left out.
const SPARE: usize = 20;

/// Asks a running gateway. Calls block, so it is for threads outside the async runtime.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) runtime: Handle,
    /// Rows that the evaluation knows items by.
    pub(crate) vocabulary: std::sync::Arc<Vocabulary>,
}

impl Recommender for Served {
    fn name(&self) -> &str {
        "two-stage over HTTP"
    }

    fn recommend(&self, query: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError> {
        let person =
            query.person.ok_or_else(|| RecommendError::Failed("the query names nobody".to_owned()))?;
        let spare = if query.exclude.is_empty() { 0 } else { SPARE };
        let request = RecommendationRequest {
            user_id: person.user_id.as_ref().map(ToString::to_string),
            session_id: person.session_id.as_ref().map(ToString::to_string),
            k: i64::try_from(k + spare).ok(),
            exclude_known: !query.exclude.is_empty(),
            ..RecommendationRequest::default()
        };
        let response = self.runtime.block_on(self.ask(&request)).map_err(RecommendError::Failed)?;
        let row = |id: &ItemId| self.vocabulary.idx(id);
        let scored = response
            .items
            .iter()
            .filter_map(|item| Some(Scored { item: row(&item.item_id)?, score: item.score }));
        Ok(scored.filter(|scored| !query.is_excluded(scored.item)).take(k).collect())
    }
}

impl Served {
    async fn ask(&self, request: &RecommendationRequest) -> Result<RecommendationResponse, String> {
        let url = format!("{}/v1/recommendations", self.url);
        let response = self.client.post(url).json(request).send().await.map_err(|e| e.to_string())?;
        if !response.status().is_success() {
            return Err(format!("the gateway answered {}", response.status()));
        }
        response.json().await.map_err(|e| e.to_string())
    }
}

/// For people.
pub(crate) fn split_text(report: &SplitReport) -> String {
    let SplitReport { n_users, n_items, n_train, n_test, n_cases, n_overlap, .. } = report;
    let mut text = format!(
        "{}: {n_users} users, {n_items} items, {n_train} pairs to learn from, {n_test} asked about, of {n_cases} users\n",
        report.model
    );
    if *n_overlap > 0 {
        text += &format!("{n_overlap} pairs are in both files: never recommended, always missed\n");
    }
    for (name, value) in [
        ("recall_at_20", report.recall_at_20),
        ("recall_of_possible_at_20", report.recall_of_possible_at_20),
        ("ndcg_at_20", report.ndcg_at_20),
        ("hr_at_10", report.hr_at_10),
        ("ndcg_at_10", report.ndcg_at_10),
        ("map_at_20", report.map_at_20),
    ] {
        let (low, high) = report.intervals[name];
        text += &format!("  {name:<25} {value:.4}  ({low:.4} – {high:.4})\n");
    }
    let peak = report.peak_bytes.map_or(String::new(), |bytes| format!(", {} MiB at most", bytes >> 20));
    for (name, value) in [
        ("coverage_at_20", Some(report.coverage_at_20)),
        ("novelty_at_20, bits", report.novelty_at_20),
        ("popularity_share_at_20", report.popularity_share_at_20),
    ] {
        text += &value.map_or(String::new(), |value| format!("  {name:<25} {value:.4}\n"));
    }
    for (metric, slices) in [("ndcg@20", &report.by_activity), ("recall_of_truth@20", &report.by_item_age)] {
        for slice in slices {
            let figure = slice.metrics[metric];
            text += &format!(
                "  {metric:<20} {:.4}  ({:.4} – {:.4})  {}, {} users\n",
                figure.value, figure.low, figure.high, slice.name, slice.n_cases
            );
        }
    }
    text + &format!("fitted in {:.2} s, asked in {:.1} s{peak}\n", report.fit_s, report.evaluate_s)
}

/// The ten best trials, for people.
pub(crate) fn choice_text(choice: &Choice) -> String {
    let mut trials: Vec<_> = choice.trials.iter().filter(|trial| trial.value.is_some()).collect();
    trials.sort_by(|a, b| b.value.unwrap_or(0.0).total_cmp(&a.value.unwrap_or(0.0)));
    let mut text = format!("{} trials, {} on the validation part\n", choice.trials.len(), choice.best.metric);
    for trial in trials.into_iter().take(10) {
        text += &format!(
            "  {:.4}  {:>7.2} s  {} {}\n",
            trial.value.unwrap_or(0.0),
            trial.fit_s,
            trial.model.kind(),
            trial.settings
        );
    }
    for trial in choice.trials.iter().filter(|trial| trial.value.is_none()) {
        let error = trial.error.as_deref().unwrap_or_default();
        text += &format!("  failed: {} {}: {error}\n", trial.model.kind(), trial.settings);
    }
    if !choice.is_finished {
        text += "time ran out before the search did: with --state it goes on from here\n";
    }
    text + &format!("best: --model {} --settings '{}'\n", choice.best.model.kind(), choice.best.settings)
}

/// The metrics of the terminal tables.
const SHOWN: [&str; 6] = ["recall@10", "ndcg@10", "hit_rate@10", "recall@20", "ndcg@20", "hit_rate@20"];

/// The whole evaluation for people: tables with intervals, and what a single event is worth.
pub(crate) fn report_text(report: &TimeSplitReport) -> String {
    let mut text = String::new();
    let always = [&report.all_items, &report.new_to_person];
    for table in always.into_iter().chain(&report.next_items).chain(&report.cold) {
        text += &table.to_table(&SHOWN);
        text.push('\n');
    }
    let sentences = [
        ("all items", &report.best_other, &report.two_stage_vs_best_other),
        (
            "new to the person",
            &report.best_other_new_to_person,
            &report.two_stage_vs_best_other_new_to_person,
        ),
    ];
    for (table, other, difference) in sentences {
        text += &format!(
            "{table}: two-stage minus {other}, NDCG@10, paired by person: {}\n",
            difference_text(difference)
        );
    }
    if let Some(clicks) = &report.clicks {
        let effects = [
            ("the last line of the history", &clicks.last_purchase),
            ("the first line of the next basket", &clicks.first_line),
        ];
        for (event, effect) in effects {
            text += &format!(
                "one event counts ({event}, {} people): NDCG@10 of the next basket {:.4} with it, {:.4} without, {}\n",
                clicks.n_people,
                effect.with_event.value,
                effect.without_event.value,
                difference_text(&effect.difference)
            );
        }
    }
    text
}

fn difference_text(difference: &Difference) -> String {
    format!("{:+.4} [{:+.4}, {:+.4}]", difference.value, difference.low, difference.high)
}
