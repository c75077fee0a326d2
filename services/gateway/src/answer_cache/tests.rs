use std::collections::{BTreeMap, HashSet};

use serde_json::json;
use waggle_contracts::policy::OddsRule;
use waggle_model::{ItemId, Person, Placement, Timestamp, UserId};

use super::*;
use crate::{GatewayConfig, Placements, recommend::Checked};

fn request(pin: &[&str], exclude: &[&str]) -> Checked {
    let ids = |ids: &[&str]| ids.iter().map(|id| ItemId::try_new(id).unwrap()).collect();
    Checked { k: Some(10), pin: ids(pin), exclude: ids(exclude), ..Checked::default() }
}

fn key_of(request: &Checked) -> Vec<u8> {
    keyed(request, &PersonState::default(), 1)
}

fn keyed(request: &Checked, state: &PersonState, catalog_version: u64) -> Vec<u8> {
    let wanted = Wanted::new(request, &Placements::default().load(), &GatewayConfig::default());
    key(&wanted, state, None, catalog_version)
}

#[test]
fn what_narrows_or_changes_the_list_is_part_of_the_key() {
    let plain = request(&[], &[]);
    let boost = |when: &str, by| vec![OddsRule { when: when.to_owned(), by }];
    let changed = [
        Checked { filter: Some("price < 3".to_owned()), ..plain.clone() },
        Checked { filter: Some("price < 4".to_owned()), ..plain.clone() },
        Checked { boost: boost("price < 3", 2.0), ..plain.clone() },
        Checked { boost: boost("price < 3", 3.0), ..plain.clone() },
        Checked { max_per: BTreeMap::from([("brand".to_owned(), 1)]), ..plain.clone() },
        Checked { max_per: BTreeMap::from([("brand".to_owned(), 2)]), ..plain.clone() },
        Checked { new_share: Some(0.5), ..plain.clone() },
        Checked { k: Some(11), ..plain.clone() },
        plain,
    ];
    let keys: HashSet<Vec<u8>> = changed.iter().map(key_of).collect();
    assert_eq!(keys.len(), changed.len());
}

#[test]
fn what_was_shown_too_often_and_whose_turn_it_is_are_part_of_the_key_where_rules_ask_for_it() {
    let placements = |policy: serde_json::Value| {
        let configs = serde_json::from_value(json!({ "home": { "policy": policy } })).unwrap();
        Placements::try_new(configs).unwrap()
    };
    let shown = |n: usize| {
        let mut state = PersonState::default();
        for _ in 0..n {
            state.see(ItemId::try_new("a").unwrap().key(), &Placement::Home, Timestamp::from_millis(1));
        }
        state
    };
    let key_at = |placements: &Placements, who: &str, state: &PersonState| {
        let person = Person::user(UserId::try_new(who).unwrap());
        let request = Checked { person, is_impersonal: false, ..request(&[], &[]) };
        let mut wanted = Wanted::new(&request, &placements.load(), &GatewayConfig::default());
        // Of two keys only what the rules say may differ.
        wanted.placements_fingerprint = 0;
        key(&wanted, state, None, 1)
    };
    let (plain, tiring) =
        (placements(json!({})), placements(json!({ "fatigue": { "after": 2, "by": 0.5 } })));
    let [twice, thrice, four_times] = [2, 3, 4].map(shown);
    assert_eq!(key_at(&plain, "anna", &twice), key_at(&plain, "anna", &four_times));
    assert_eq!(key_at(&tiring, "anna", &shown(0)), key_at(&tiring, "anna", &twice), "it costs nothing yet");
    assert_ne!(key_at(&tiring, "anna", &twice), key_at(&tiring, "anna", &thrice));
    assert_ne!(key_at(&tiring, "anna", &thrice), key_at(&tiring, "anna", &four_times));
    let turning = placements(json!({ "rotation": { "by": 1.5, "every_h": 720 } }));
    assert_ne!(key_at(&plain, "anna", &twice), key_at(&turning, "anna", &twice));
}

#[test]
fn lists_do_not_run_into_each_other() {
    assert_ne!(key_of(&request(&["a", "b"], &[])), key_of(&request(&["a"], &["b"])));
    assert_ne!(key_of(&request(&["ab"], &[])), key_of(&request(&["a", "b"], &[])));
    assert_ne!(key_of(&request(&["pin"], &[])), key_of(&request(&[], &["pin"])));
}

#[test]
fn the_catalogue_and_the_person_are_part_of_the_key() {
    let request = request(&[], &[]);
    let state = PersonState { n_events: 1, ..PersonState::default() };
    assert_ne!(key_of(&request), keyed(&request, &PersonState::default(), 2));
    assert_ne!(key_of(&request), keyed(&request, &state, 1));
}

#[test]
fn who_asks_for_an_impersonal_list_does_not_matter() {
    let asked = |user: &str, is_impersonal| {
        let person = Person::user(UserId::try_new(user).unwrap());
        key_of(&Checked { person, is_impersonal, ..request(&[], &[]) })
    };
    assert_eq!(asked("anna", true), asked("bert", true));
    assert_ne!(asked("anna", false), asked("bert", false));
}

#[test]
fn what_another_version_wrote_is_not_read() {
    let mut bytes = encode(&an_answer(3)).to_vec();
    assert_eq!(decode(&bytes).unwrap().n_candidates, 3);
    bytes[0] += 1;
    assert!(decode(&bytes).is_none());
    assert!(decode(&[]).is_none());
    assert!(decode(&[VERSION]).is_none());
}

pub(crate) fn an_answer(n_candidates: u32) -> CachedAnswer {
    let served = serde_json::from_str(
        r#"{"answer_id": "a", "placement": "home", "rung": "trending", "snapshot": null, "watermark": null,
            "items": [], "took_ms": 1.0}"#,
    );
    CachedAnswer {
        served: served.unwrap(),
        n_candidates,
        computed_at: Timestamp::from_millis(1_700_000_000_000),
    }
}

#[test]
fn an_answer_is_fresh_for_its_time_and_one_from_a_faster_clock_is_new() {
    let answer = an_answer(3);
    let (computed, ttl) = (answer.computed_at.as_millis(), Duration::from_secs(30));
    let is_fresh = |after_ms: i64| answer.is_fresh(ttl, Timestamp::from_millis(computed + after_ms));
    assert_eq!([-5_000, 0, 29_999, 30_000].map(is_fresh), [true, true, true, false]);
}
