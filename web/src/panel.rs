//! "What the system knows": the panel beside every page.

use std::collections::BTreeMap;

use askama::Template;
use waggle_contracts::api::Profile;
use waggle_model::{CandidateSource, Rung, Timestamp};

use crate::{api::Answered, text};

/// What the profile says; also served by itself, for the browser to renew it after an event.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "knows.html")]
pub(crate) struct Knows {
    /// Why there is nothing, where there is nothing.
    pub trouble: Option<&'static str>,
    pub n_events: u64,
    pub facts: Vec<(&'static str, String)>,
    pub shares: Vec<Share>,
    pub events: Vec<SeenEvent>,
    pub rung: Option<&'static str>,
    pub watermark: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    pub category: String,
    pub percent: String,
    /// 0 to 100, for the bar.
    pub width: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SeenEvent {
    /// The same event has the same key in the next rendering, so that new ones can be told.
    pub key: String,
    pub verb: String,
    pub kind: String,
    pub title: String,
    pub url: Option<String>,
    pub ago: String,
}

impl Knows {
    pub(crate) fn of(profile: &Profile, now: Timestamp) -> Self {
        let mut facts = vec![
            ("events", text::thousands(profile.n_events)),
            ("orders", text::thousands(u64::from(profile.n_orders))),
            (
                "different things",
                text::thousands(u64::try_from(profile.n_distinct_items).unwrap_or(u64::MAX)),
            ),
        ];
        facts.extend(profile.typical_price.map(|price| ("typical price", format!("{price:.2}"))));
        facts.extend(profile.first_seen.map(|time| ("first seen", text::day(time))));
        facts.extend(profile.last_seen.map(|time| ("last seen", text::ago(time, now))));
        let largest = profile.categories.iter().map(|share| share.share).fold(0.01, f64::max);
        Self {
            trouble: None,
            n_events: profile.n_events,
            facts,
            shares: profile
                .categories
                .iter()
                .map(|share| Share {
                    category: share.category.clone(),
                    percent: format!("{:.0} %", share.share * 100.0),
                    width: format!("{:.1}", (share.share / largest * 100.0).clamp(0.0, 100.0)),
                })
                .collect(),
            events: profile.recent.iter().map(|event| seen_event(event, now)).collect(),
            rung: Some(profile.rung.as_str()),
            watermark: format!(
                "partition {} · offset {} · {}",
                profile.watermark.partition,
                text::thousands(profile.watermark.offset),
                profile.watermark.time
            ),
        }
    }

    pub(crate) fn nothing(trouble: &'static str) -> Self {
        Self { trouble: Some(trouble), ..Self::default() }
    }
}

fn seen_event(event: &waggle_contracts::api::ProfileEvent, now: Timestamp) -> SeenEvent {
    let id = event.item_id.as_ref().map(waggle_model::ItemId::as_str);
    let verb = match event.kind.as_str() {
        "view" => "looked at",
        "click" => "clicked",
        "cart" => "put into the basket",
        "purchase" => "bought",
        "purchase_cancelled" => "took back",
        "dismiss" => "not interested in",
        "like" => "liked",
        "dislike" => "disliked",
        "rating" => "rated",
        other => other,
    };
    SeenEvent {
        key: format!("{}|{}|{}", event.kind, id.unwrap_or_default(), event.time.as_millis()),
        verb: verb.to_owned(),
        kind: event.kind.clone(),
        title: event
            .title
            .clone()
            .or_else(|| id.map(ToOwned::to_owned))
            .unwrap_or_else(|| "something no longer sold".to_owned()),
        url: id.map(crate::rows::item_url),
        ago: text::ago(event.time, now),
    }
}

/// One answer behind the page.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub name: &'static str,
    pub call: &'static str,
    /// Every rung, best first, and whether it is the one that answered.
    pub ladder: Vec<(&'static str, bool)>,
    pub snapshot: String,
    pub took_ms: String,
    pub round_trip_ms: String,
    pub n_items: usize,
    /// Sources that proposed items of the slate, with how many each proposed.
    pub sources: Vec<(&'static str, usize)>,
    pub watermark: Option<String>,
    pub answer_id: String,
    pub json: String,
}

impl Trace {
    pub(crate) fn of(name: &'static str, call: &'static str, answered: &Answered) -> Self {
        let response = &answered.response;
        let mut sources: BTreeMap<CandidateSource, usize> = BTreeMap::new();
        for opinion in response.items.iter().flat_map(|item| &item.sources) {
            *sources.entry(opinion.source).or_default() += 1;
        }
        let mut sources: Vec<_> = sources.into_iter().map(|(source, n)| (source.as_str(), n)).collect();
        sources.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        Self {
            name,
            call,
            ladder: [Rung::Personal, Rung::Segment, Rung::Trending, Rung::Static]
                .map(|rung| (rung.as_str(), rung == response.rung))
                .to_vec(),
            snapshot: response
                .snapshot
                .as_ref()
                .map_or_else(|| "none needed".to_owned(), |v| v.as_str().to_owned()),
            took_ms: format!("{:.1}", response.took_ms),
            round_trip_ms: format!("{:.1}", answered.round_trip_ms),
            n_items: response.items.len(),
            sources,
            watermark: response
                .watermark
                .map(|mark| format!("partition {}, offset {}", mark.partition, text::thousands(mark.offset))),
            answer_id: response.answer_id.as_str().to_owned(),
            json: serde_json::to_string_pretty(response).unwrap_or_default(),
        }
    }
}
