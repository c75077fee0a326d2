//! Whether an answer is right, not only whether it came.

use serde::Deserialize;

/// Length of the lists that are asked for.
pub(crate) const K: usize = 10;

/// What a request must be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Status 200 and a list of so many items.
    Slate { n_items: usize },
    /// Status 202 and so many accepted events.
    Receipt { n_events: u64 },
    /// Status 200 and anything.
    Anything,
}

impl Expected {
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Slate { .. } | Self::Anything => 200,
            Self::Receipt { .. } => 202,
        }
    }

    /// Reads the body of an answer of the right status.
    ///
    /// # Errors
    /// The first thing that is wrong, as the name under which such answers are counted.
    pub(crate) fn check(self, body: &[u8]) -> Result<(), &'static str> {
        match self {
            Self::Slate { n_items } => check_slate(body, n_items),
            Self::Receipt { n_events } => check_receipt(body, n_events),
            Self::Anything => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Slate<'a> {
    rung: &'a str,
    items: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    item_id: String,
    rank: usize,
}

fn check_slate(body: &[u8], n_items: usize) -> Result<(), &'static str> {
    let slate: Slate<'_> = serde_json::from_slice(body).map_err(|_| "not a list of items in JSON")?;
    if !["personal", "segment", "trending", "static"].contains(&slate.rung) {
        return Err("unknown rung");
    }
    match slate.items.len() {
        n if n == n_items => (),
        0 => return Err("empty list"),
        n if n < n_items => return Err("too few items"),
        _ => return Err("too many items"),
    }
    if slate.items.iter().zip(1..).any(|(place, rank)| place.rank != rank) {
        return Err("ranks are not 1, 2, … in order");
    }
    let mut ids: Vec<_> = slate.items.iter().map(|place| &place.item_id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("an item twice");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Receipt {
    accepted: u64,
    rejected: Vec<serde::de::IgnoredAny>,
}

fn check_receipt(body: &[u8], n_events: u64) -> Result<(), &'static str> {
    let receipt: Receipt = serde_json::from_slice(body).map_err(|_| "not a receipt in JSON")?;
    let is_right = receipt.accepted == n_events && receipt.rejected.is_empty();
    if is_right { Ok(()) } else { Err("event not accepted") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TEN: Expected = Expected::Slate { n_items: K };

    fn slate(change: impl FnOnce(&mut Value)) -> Value {
        let items: Vec<_> =
            (1..=10).map(|n| json!({"item_id": format!("i{n}"), "rank": n, "score": 0.5})).collect();
        let mut slate = json!({"answer_id": "a", "rung": "personal", "items": items, "took_ms": 1.0});
        change(&mut slate);
        slate
    }

    #[track_caller]
    fn check(expected: Expected, body: &Value, verdict: Result<(), &'static str>) {
        assert_eq!(expected.check(body.to_string().as_bytes()), verdict);
    }

    #[test]
    fn ten_distinct_items_in_order_on_a_named_rung_are_right() {
        check(TEN, &slate(|_| ()), Ok(()));
        check(Expected::Slate { n_items: 9 }, &slate(|_| ()), Err("too many items"));
    }

    #[test]
    fn each_fault_of_a_list_has_its_name() {
        check(TEN, &json!([]), Err("not a list of items in JSON"));
        check(TEN, &slate(|s| s["rung"] = json!("top")), Err("unknown rung"));
        check(TEN, &slate(|s| s["items"] = json!([])), Err("empty list"));
        check(TEN, &slate(|s| s["items"].as_array_mut().unwrap().truncate(9)), Err("too few items"));
        check(TEN, &slate(|s| s["items"][3]["rank"] = json!(3)), Err("ranks are not 1, 2, … in order"));
        check(TEN, &slate(|s| s["items"][3]["item_id"] = json!("i9")), Err("an item twice"));
    }

    #[test]
    fn a_receipt_accepts_exactly_the_events_that_were_sent() {
        let refused = json!({"accepted": 1, "duplicates": 0, "rejected": [{"index": 0, "detail": "no"}]});
        let (one, two) = (Expected::Receipt { n_events: 1 }, Expected::Receipt { n_events: 2 });
        check(one, &json!({"accepted": 1, "duplicates": 0, "rejected": []}), Ok(()));
        check(two, &json!({"accepted": 2, "duplicates": 0, "rejected": []}), Ok(()));
        check(two, &json!({"accepted": 1, "duplicates": 1, "rejected": []}), Err("event not accepted"));
        check(one, &refused, Err("event not accepted"));
        check(one, &json!({"accepted": 0, "rejected": []}), Err("event not accepted"));
        check(one, &json!({}), Err("not a receipt in JSON"));
    }
}
