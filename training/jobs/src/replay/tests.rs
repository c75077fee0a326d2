use waggle_model::{Person, UserId};

use super::*;

fn purchase(user: &str, item: &str, order: Option<&str>, minute: i64) -> Event {
    let interaction = Interaction {
        order_id: order.map(str::to_owned),
        ..Interaction::new(InteractionKind::Purchase, ItemId::try_new(item).unwrap())
    };
    Event {
        event_id: None,
        timestamp: Timestamp::from_millis(minute * 60_000),
        person: Person::user(UserId::try_new(user).unwrap()),
        body: EventBody::Interaction(interaction),
        context: Default::default(),
    }
}

fn contents(baskets: &[Basket]) -> Vec<String> {
    let names = |basket: &Basket| basket.items.iter().map(ItemId::as_str).collect::<Vec<_>>().join(" ");
    baskets.iter().map(names).collect()
}

#[test]
fn a_basket_is_an_order_of_one_person_however_long_it_takes() {
    let events = [
        purchase("ann", "a", Some("1"), 0),
        purchase("bob", "x", Some("2"), 1),
        purchase("ann", "b", Some("1"), 500),
        purchase("ann", "a", Some("1"), 501),
        purchase("ann", "c", Some("3"), 502),
    ];
    assert_eq!(contents(&baskets(&events)), ["a b", "x", "c"]);
}

#[test]
fn without_orders_half_an_hour_makes_a_basket() {
    let events = [0, 20, 30, 31].map(|minute| purchase("ann", &format!("i{minute}"), None, minute));
    assert_eq!(contents(&baskets(&events)), ["i0 i20 i30", "i31"]);
}

#[test]
fn a_replay_knows_nothing_from_the_moment_on() {
    let events = [0, 1, 2].map(|minute| purchase("ann", &format!("i{minute}"), None, minute));
    let mut states = Replay::default();
    let rest = states.fold_until(&events, Timestamp::from_millis(60_000));
    assert_eq!(rest.len(), 2);
    assert_eq!(states.people()[0].1.n_purchases, 1);
    assert!(states.known_item(ItemId::try_new("i1").unwrap().key()).is_none());
}

#[test]
fn a_basket_in_progress_is_the_person_with_lines_in_the_cart() {
    let events = [0, 1, 2].map(|minute| purchase("ann", &format!("i{minute}"), None, minute));
    let basket = &baskets(&events)[0];
    let person = basket.in_progress(&PersonState::default(), 2);
    assert_eq!((person.items.len(), person.n_purchases, person.items[0].n_carts), (2, 0, 1));
}

#[test]
fn a_pause_of_more_than_half_an_hour_ends_a_session() {
    let act = |user: &str, kind: InteractionKind, item: &str, minute: i64| {
        let mut event = purchase(user, item, None, minute);
        event.body = EventBody::Interaction(Interaction::new(kind, ItemId::try_new(item).unwrap()));
        event
    };
    let events = [
        act("ann", InteractionKind::View, "a", 0),
        act("bob", InteractionKind::Click, "x", 10),
        act("ann", InteractionKind::Cart, "b", 30),
        act("ann", InteractionKind::Dislike, "c", 31),
        act("ann", InteractionKind::Purchase, "a", 60),
        act("ann", InteractionKind::View, "d", 91),
    ];
    let keys = |items: &[&str]| items.iter().map(|id| ItemId::try_new(*id).unwrap().key()).collect();
    let at = |minute: i64, items: &[&str]| Session {
        end: Timestamp::from_millis(minute * 60_000),
        items: keys(items),
    };
    assert_eq!(sessions(&events), [at(10, &["x"]), at(60, &["b", "a"]), at(91, &["d"])]);
}
