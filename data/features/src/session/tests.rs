use waggle_model::InteractionKind;

use super::*;
use crate::testing::{act, days, item, order_line};

const MINUTE: f64 = 1.0 / 1440.0;

fn person(acts: &[(InteractionKind, usize, f64)]) -> PersonState {
    let mut person = PersonState::default();
    for (kind, n, minutes_ago) in acts {
        person.apply(&act(kind.clone(), *n), days(100.0 - minutes_ago * MINUTE));
    }
    person
}

#[test]
fn a_cart_weighs_more_than_a_click_and_a_click_more_than_a_view() {
    let acts =
        [(InteractionKind::View, 1, 0.0), (InteractionKind::Click, 2, 0.0), (InteractionKind::Cart, 3, 0.0)];
    let session = session_items(&person(&acts), &[], days(100.0));
    let order: Vec<_> = session.iter().map(|s| s.item).collect();
    assert_eq!(order, [item(3).key(), item(2).key(), item(1).key()]);
    assert_eq!(session.iter().map(|s| s.is_in_basket).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn an_act_fades_by_the_hour_and_is_gone_the_next_day() {
    let acts = [(InteractionKind::Cart, 1, 60.0), (InteractionKind::Cart, 2, 1440.0)];
    let session = session_items(&person(&acts), &[], days(100.0));
    assert_eq!(session.len(), 1);
    assert!((session[0].weight - 0.5).abs() < 1e-3);
}

#[test]
fn a_verdict_against_an_item_takes_it_out_and_its_purchase_out_of_the_basket() {
    let dismissed = [(InteractionKind::Click, 1, 5.0), (InteractionKind::Dismiss, 1, 1.0)];
    assert!(session_items(&person(&dismissed), &[], days(100.0)).is_empty());
    let mut bought = person(&[(InteractionKind::Cart, 1, 5.0)]);
    bought.apply(&order_line(1, "a"), days(100.0));
    let session = session_items(&bought, &[], days(100.0));
    assert!(!session[0].is_in_basket && session[0].weight > 0.9);
}

#[test]
fn the_page_counts_as_an_act_of_this_moment() {
    let context: Vec<_> = (0..MAX_SESSION_ITEMS + 4).map(|n| item(n).key()).collect();
    let session = session_items(&PersonState::default(), &context, days(100.0));
    assert_eq!(session.len(), MAX_SESSION_ITEMS);
    assert!(session.iter().all(|s| (s.weight - 1.0).abs() < 1e-6));
}
