//! From an answer to the rows of a page: each row has one honest reason, no item comes twice.

use std::collections::HashSet;

use askama::Template;
use waggle_contracts::api::{Profile, ProfileEvent, Reason, RecommendationResponse, RecommendedItem};
use waggle_model::{Item, Timestamp};

use crate::text;

/// A reason with fewer items shares a row with its like.
const MIN_ROW: usize = 3;
/// A row of this length needs no help.
const GOOD_ROW: usize = 6;
/// Most rows of one kind of reason, so that one busy purchase does not fill a page.
const MAX_ROWS_OF_A_KIND: usize = 3;
/// Longest row.
const MAX_CARDS: usize = 16;

/// Cards side by side under a heading that says why.
#[derive(Debug, Clone, Template)]
#[template(path = "row.html")]
pub(crate) struct Row {
    /// Stable name of the kind, for styles and tests.
    pub kind: &'static str,
    pub title: String,
    /// One sentence for the curious.
    pub note: String,
    pub cards: Vec<Card>,
    /// Whether "not interested" makes sense: the row was chosen for this person.
    pub is_personal: bool,
}

/// One item as pages show it.
#[derive(Debug, Clone, PartialEq, Template)]
#[template(path = "card.html")]
pub(crate) struct Card {
    pub item_id: String,
    pub url: String,
    pub tile_url: String,
    pub title: String,
    /// The title as HTML, where words of it are marked.
    pub marked: Option<String>,
    pub category: Option<String>,
    pub price: Option<String>,
    /// Why this one, where the row's heading does not say it.
    pub because: Option<String>,
    /// The engineer's line: rank, sources, score.
    pub how: String,
    pub answer_id: String,
    /// 1-based place in the answer; 0 where no answer led here.
    pub position: u32,
    pub can_dismiss: bool,
    pub is_search_result: bool,
}

impl Card {
    /// A card for an item that no answer proposed.
    pub(crate) fn plain(item: &Item) -> Self {
        Self {
            item_id: item.item_id.as_str().to_owned(),
            url: item_url(item.item_id.as_str()),
            tile_url: tile_url(item),
            title: item.title.clone(),
            marked: None,
            category: item.category.clone(),
            price: item.price.map(|amount| text::price(amount, item.currency.as_deref())),
            because: None,
            how: String::new(),
            answer_id: String::new(),
            position: 0,
            can_dismiss: false,
            is_search_result: false,
        }
    }

    fn recommended(place: &RecommendedItem, answer: &RecommendationResponse) -> Self {
        let plain = match &place.item {
            Some(item) => Self::plain(item),
            None => Self::plain(&Item::new(place.item_id.clone(), place.item_id.as_str())),
        };
        let answer_id = answer.answer_id.as_str();
        let sources: Vec<String> =
            place.sources.iter().map(|s| format!("{} #{}", s.source.as_str(), s.rank)).collect();
        Self {
            url: format!("{}?a={}&pos={}", plain.url, text::encode(answer_id), place.rank),
            how: format!("#{} · {} · score {:.3}", place.rank, sources.join(", "), place.score),
            answer_id: answer_id.to_owned(),
            position: place.rank,
            ..plain
        }
    }
}

pub(crate) fn item_url(item_id: &str) -> String {
    format!("/p/{}", text::encode(item_id))
}

pub(crate) fn category_url(category: &str) -> String {
    format!("/c/{}", text::encode(category))
}

/// All that the drawing needs travels in the address: a tile costs no call to the API and can be cached for good.
pub(crate) fn tile_url(item: &Item) -> String {
    let id = text::encode(item.item_id.as_str());
    let title: String = item.title.chars().take(120).collect();
    let mut url = format!("/tile/{id}.svg?t={}", text::encode(&title));
    if let Some(category) = &item.category {
        url.push_str("&c=");
        url.push_str(&text::encode(category));
    }
    url
}

/// What the shop knows of the person when it words a reason.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub profile: Option<&'a Profile>,
    pub now: Timestamp,
}

/// One row with the whole answer, in its order, without what the page already shows.
pub(crate) fn single(
    kind: &'static str,
    title: &str,
    note: &str,
    answer: &RecommendationResponse,
    shown: &mut HashSet<String>,
) -> Option<Row> {
    let cards: Vec<Card> = answer
        .items
        .iter()
        .filter(|place| shown.insert(place.item_id.as_str().to_owned()))
        .map(|place| Card::recommended(place, answer))
        .take(MAX_CARDS)
        .collect();
    (!cards.is_empty()).then(|| Row {
        kind,
        title: title.to_owned(),
        note: note.to_owned(),
        cards,
        is_personal: false,
    })
}

/// Adds the rows of a further answer: under a heading that is there already, or as rows of their own.
pub(crate) fn join(rows: &mut Vec<Row>, more: Vec<Row>) {
    for row in more {
        match rows.iter_mut().find(|known| known.title == row.title) {
            Some(known) => {
                known.cards.extend(row.cards);
                known.cards.truncate(MAX_CARDS);
            }
            None => rows.push(row),
        }
    }
}

/// Adds a live list to a page. A good row of that kind stays as it is; a thin one gives its items back and the list takes
/// its place, at the end.
pub(crate) fn complete(
    rows: &mut Vec<Row>,
    kind: &'static str,
    title: &str,
    note: &str,
    answer: &RecommendationResponse,
    shown: &mut HashSet<String>,
) {
    if rows.iter().any(|row| row.kind == kind && row.cards.len() >= GOOD_ROW) {
        return;
    }
    for row in rows.iter().filter(|row| row.kind == kind) {
        for card in &row.cards {
            shown.remove(&card.item_id);
        }
    }
    let thin = rows.iter().position(|row| row.kind == kind).map(|at| rows.remove(at));
    match single(kind, title, note, answer, shown) {
        Some(row) => rows.push(row),
        None => rows.extend(thin),
    }
}

/// Rows by reason, in the order in which the answer first gives each reason; small ones are put together.
pub(crate) fn by_reason(
    answer: &RecommendationResponse,
    context: Context<'_>,
    shown: &mut HashSet<String>,
) -> Vec<Row> {
    let mut groups: Vec<Group> = Vec::new();
    for place in &answer.items {
        if !shown.insert(place.item_id.as_str().to_owned()) {
            continue;
        }
        let heading = heading(place, context);
        let mut card = Card::recommended(place, answer);
        card.because = heading.per_card.clone();
        card.can_dismiss = heading.is_personal;
        match groups.iter_mut().find(|group| group.heading.title == heading.title) {
            Some(group) => group.cards.push(card),
            None => groups.push(Group { heading, cards: vec![card] }),
        }
    }
    gather(groups)
}

struct Group {
    heading: Heading,
    cards: Vec<Card>,
}

#[derive(Clone)]
struct Heading {
    kind: &'static str,
    title: String,
    note: &'static str,
    /// Title and note of the row that takes this one in when it is too small.
    together: (&'static str, &'static str),
    /// What a card says in that row, or in its own.
    per_card: Option<String>,
    is_personal: bool,
    /// The row's heading already says what `per_card` says.
    says_it: bool,
}

fn gather(groups: Vec<Group>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for Group { heading, mut cards } in groups {
        let n_of_kind =
            rows.iter().filter(|row| row.kind == heading.kind && row.title != heading.together.0).count();
        let stands_alone = heading.title == heading.together.0;
        if stands_alone || (cards.len() >= MIN_ROW && n_of_kind < MAX_ROWS_OF_A_KIND) {
            if heading.says_it {
                cards.iter_mut().for_each(|card| card.because = None);
            }
            push_row(&mut rows, heading.kind, heading.title, heading.note, cards, heading.is_personal);
        } else {
            let (title, note) = heading.together;
            push_row(&mut rows, heading.kind, title.to_owned(), note, cards, heading.is_personal);
        }
    }
    for row in &mut rows {
        row.cards.sort_by_key(|card| card.position);
        row.cards.truncate(MAX_CARDS);
    }
    rows
}

fn push_row(
    rows: &mut Vec<Row>,
    kind: &'static str,
    title: String,
    note: &str,
    cards: Vec<Card>,
    is_personal: bool,
) {
    match rows.iter_mut().find(|row| row.title == title) {
        Some(row) => row.cards.extend(cards),
        None => rows.push(Row { kind, title, note: note.to_owned(), cards, is_personal }),
    }
}

fn heading(place: &RecommendedItem, context: Context<'_>) -> Heading {
    let plain = |kind, title: &'static str, note| Heading {
        kind,
        title: title.to_owned(),
        note,
        together: (title, note),
        per_card: None,
        is_personal: false,
        says_it: true,
    };
    match &place.reason {
        Reason::BuyAgain { times, last } => Heading {
            per_card: Some(match times {
                0 | 1 => format!("bought {}", text::ago(*last, context.now)),
                n => format!("bought {n} times, last {}", text::ago(*last, context.now)),
            }),
            is_personal: true,
            says_it: false,
            ..plain(
                "again",
                "Time to buy again?",
                "You bought these before, and by your own rhythm they are due.",
            )
        },
        Reason::BecauseOf { item_id, title } => {
            let name = title.as_deref().unwrap_or(item_id.as_str());
            Heading {
                kind: "because",
                title: because_title(context.profile, item_id.as_str(), name),
                note: "People whose baskets held that one chose these too.",
                together: (
                    "More that goes with what you chose",
                    "Each of these goes with something in your history.",
                ),
                per_card: Some(format!("goes with {name}")),
                is_personal: true,
                says_it: true,
            }
        }
        Reason::YourTaste => match place.item.as_ref().and_then(|item| item.category.as_deref()) {
            Some(category) if is_favourite(context.profile, category) => Heading {
                kind: "taste",
                title: format!("From your taste in {category}"),
                note: "Close to everything you have liked, in a corner of the shop you come back to.",
                together: (
                    "Picked for your taste",
                    "Close to everything you have liked so far, taken as a whole.",
                ),
                per_card: None,
                is_personal: true,
                says_it: true,
            },
            _ => Heading {
                is_personal: true,
                ..plain(
                    "taste",
                    "Picked for your taste",
                    "Close to everything you have liked so far, taken as a whole.",
                )
            },
        },
        Reason::Trending => {
            plain("trending", "Trending today", "What many people want right now. The same for everybody.")
        }
        Reason::New => plain(
            "new",
            "New in the shop",
            "Fresh on the shelves, before anybody's clicks can speak for them.",
        ),
        Reason::PopularHere { category: Some(category) } => Heading {
            kind: "popular_here",
            title: format!("Popular in {category}"),
            note: "What people who look around here choose most.",
            together: ("Popular around here", "What people who look around in these categories choose most."),
            per_card: Some(format!("popular in {category}")),
            is_personal: false,
            says_it: true,
        },
        Reason::PopularHere { category: None } => {
            plain("popular_here", "Popular around here", "What people who look around here choose most.")
        }
        Reason::PopularAlike => plain(
            "popular_alike",
            "Popular with people like you",
            "What people with a taste like this choose more than others do.",
        ),
        Reason::Pinned => {
            plain("pinned", "From the shop window", "We put these first ourselves; no algorithm did.")
        }
        Reason::Popular => plain(
            "popular",
            "All-time favourites",
            "A list fixed in advance, for when nothing better is known.",
        ),
    }
}

/// Only says "bought" when the profile shows a purchase.
fn because_title(profile: Option<&Profile>, item_id: &str, name: &str) -> String {
    let of_item = |event: &&ProfileEvent| event.item_id.as_ref().is_some_and(|id| id.as_str() == item_id);
    let strength = |event: &ProfileEvent| match event.kind.as_str() {
        "purchase" => 3,
        "cart" => 2,
        "view" | "click" => 1,
        _ => 0,
    };
    let recent = profile.into_iter().flat_map(|profile| &profile.recent);
    match recent.filter(of_item).map(strength).max() {
        Some(3) => format!("Because you bought {name}"),
        Some(2) => format!("Because you put {name} in your basket"),
        Some(1) => format!("Because you looked at {name}"),
        _ => format!("Goes with {name}, from your history"),
    }
}

/// A shop's corner for what fits nowhere says nothing about a taste.
fn is_favourite(profile: Option<&Profile>, category: &str) -> bool {
    const CATCH_ALL: [&str; 4] = ["everything else", "other", "miscellaneous", "unknown"];
    let names_a_taste = !CATCH_ALL.contains(&category.to_lowercase().as_str());
    names_a_taste
        && profile.is_some_and(|profile| profile.categories.iter().any(|share| share.category == category))
}
