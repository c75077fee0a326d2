//! What one person can do to everybody's lists.

use waggle_features::{LiveLists, MemoryStates, fold, person::DailyCaps};
use waggle_model::{
    Event, EventBody, Interaction, InteractionKind, ItemId, ItemKey, Person, SessionId, Timestamp,
};
use waggle_simulator::{Market, SimulatorParams};

const END: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn market() -> Vec<Event> {
    let params = SimulatorParams { n_items: 800, n_users: 2_000, days: 20, ..SimulatorParams::default() };
    Market::new(params).unwrap().events(END).collect()
}

fn act(who: &str, kind: InteractionKind, item: &ItemId, at: Timestamp) -> Event {
    Event {
        event_id: None,
        timestamp: at,
        person: Person::session(SessionId::try_new(who).unwrap()),
        body: EventBody::Interaction(Interaction::new(kind, item.clone())),
        context: serde_json::Map::new(),
    }
}

/// The market with something more, in order of time.
fn trending(more: Vec<Event>) -> (MemoryStates, Vec<ItemKey>) {
    let mut events = market();
    events.extend(more);
    events.sort_by_key(|event| event.timestamp);
    let mut states = MemoryStates::default();
    events.iter().for_each(|event| fold(event, &mut states));
    let lists = LiveLists::compute(states.items.iter().map(|(key, state)| (*key, state, None)), END);
    (states, lists.trending.into_iter().map(|(item, _)| item).collect())
}

fn item(n: usize) -> ItemId {
    let params = SimulatorParams { n_items: 800, n_users: 2_000, days: 20, ..SimulatorParams::default() };
    Market::new(params).unwrap().items(END)[n].item_id.clone()
}

/// Milliseconds before the end, on its UTC day.
fn before_end(millis: i64) -> Timestamp {
    END.shifted_by_millis(-millis)
}

const FARMED: [InteractionKind; 3] =
    [InteractionKind::Click, InteractionKind::Cart, InteractionKind::Purchase];

#[test]
fn a_click_farm_moves_the_lists_no_more_than_one_eager_person() {
    let unloved = item(799);
    let farm = FARMED
        .iter()
        .flat_map(|kind| (0..3_000).map(|n| act("farm", kind.clone(), &unloved, before_end(1 + n * 1_000))));
    let (states, farmed) = trending(farm.collect());

    // As much as counts of one person in a day, and in the order of time the same last acts.
    let shares = [DailyCaps::ATTENTION, DailyCaps::CART, DailyCaps::PURCHASE];
    let eager = FARMED.iter().zip(shares).flat_map(|(kind, share)| {
        (0..i64::from(share)).map(|n| act("eager", kind.clone(), &unloved, before_end(2_999_000 - n * 1_000)))
    });
    let (_, with_eager) = trending(eager.collect());
    assert_eq!(farmed, with_eager);

    let (_, undisturbed) = trending(Vec::new());
    let others =
        |list: &[ItemKey]| list.iter().copied().filter(|key| *key != unloved.key()).collect::<Vec<_>>();
    assert_eq!(others(&farmed)[..100], others(&undisturbed)[..100]);

    let farmer = &states.people[&SessionId::try_new("farm").unwrap().key()];
    assert_eq!((farmer.n_events, farmer.items[0].n_purchases), (9_000, 3_000), "the history tells all");

    // The same acts of many people do move the list: they are what trending means.
    let crowd = FARMED.iter().flat_map(|kind| {
        (0..300).map(|n| act(&format!("visitor-{n}"), kind.clone(), &unloved, before_end(1 + n * 1_000)))
    });
    assert_eq!(trending(crowd.collect()).1[0], unloved.key());
}

#[test]
fn a_farm_that_cycles_over_many_items_lifts_none_of_them() {
    let unloved = item(799);
    let made_up = |n: i64| ItemId::try_new(format!("made-up-{n}")).unwrap();
    // Six hundred items between two clicks on the one that matters, twenty rounds in one day.
    let farm = (0..12_000).map(|n| {
        let about = if n % 600 == 0 { unloved.clone() } else { made_up(n % 600) };
        act("farm", InteractionKind::Purchase, &about, before_end(13_000_000 - n * 1_000))
    });
    let (states, _) = trending(farm.collect());
    let (undisturbed, _) = trending(Vec::new());
    let purchases = |states: &MemoryStates| {
        states.items.get(&unloved.key()).map_or(0.0, |state| state.demand_in_days(1, END))
    };
    let gained = purchases(&states) - purchases(&undisturbed);
    assert!(gained <= f64::from(DailyCaps::PURCHASE), "{gained}");
}
