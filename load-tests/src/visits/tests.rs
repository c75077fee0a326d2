use waggle_model::{ItemId, Person, SessionId, UserId};

use super::*;

const CATALOGUE: [&str; 3] = ["a", "b", "c"];

fn known() -> HashMap<&'static str, usize> {
    CATALOGUE.into_iter().zip(0..).collect()
}

fn event(at_s: i64, person: Person, kind: InteractionKind, item: &str, order: Option<&str>) -> Event {
    let mut act = Interaction::new(kind, ItemId::try_new(item).unwrap());
    act.order_id = order.map(ToOwned::to_owned);
    act.quantity = order.map(|_| 3.0);
    let timestamp = Timestamp::default().shifted_by_millis(at_s * 1000);
    Event {
        event_id: None,
        timestamp,
        person,
        body: EventBody::Interaction(act),
        context: Default::default(),
    }
}

fn user(id: &str) -> Person {
    Person::user(UserId::try_new(id).unwrap())
}

/// What a visit does, a word per request.
fn words(visit: &Visit) -> Vec<String> {
    let word = |step: &Step| match step.deeds.as_slice() {
        [] => "ask".to_owned(),
        deeds => {
            deeds.iter().map(|d| format!("{} {}", d.kind, CATALOGUE[d.item])).collect::<Vec<_>>().join(" + ")
        }
    };
    visit.steps.iter().map(word).collect()
}

#[test]
fn an_order_becomes_a_page_and_a_cart_per_line_and_one_purchase_of_all() {
    use InteractionKind::{Purchase, PurchaseCancelled};
    let events = [
        event(0, user("ada"), Purchase, "b", Some("1")),
        event(0, user("ada"), Purchase, "unknown", Some("1")),
        event(0, user("bob"), Purchase, "c", Some("2")),
        event(0, user("ada"), Purchase, "a", Some("1")),
        event(9, user("bob"), PurchaseCancelled, "c", Some("2")),
    ];
    let visits = orders(&events, &known(), 1);
    assert_eq!(visits.len(), 2);
    assert_eq!(visits[0].user.as_deref(), Some("ada"));
    assert_eq!(
        words(&visits[0]),
        ["ask", "view b", "ask", "cart b", "view a", "ask", "cart a", "purchase b + purchase a"]
    );
    assert_eq!(words(&visits[1]), ["ask", "view c", "ask", "cart c", "purchase c"]);
    assert_eq!(visits[1].steps[4].deeds[0].quantity, Some(3.0));
    for visit in &visits {
        assert!(visit.steps.is_sorted_by(|a, b| a.at < b.at), "{visit:?}");
    }
}

#[test]
fn pages_of_orders_take_a_quarter_of_a_minute_in_the_median() {
    let events: Vec<_> = (0..2000)
        .map(|n| event(0, user("ada"), InteractionKind::Purchase, "a", Some(&n.to_string())))
        .collect();
    let mut times: Vec<_> =
        orders(&events, &known(), 1).iter().map(|visit| visit.steps[1].at.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    assert!((times[1000] - 15.0).abs() < 1.5, "{}", times[1000]);
    assert!((times[1680] / times[1000] - PAGE_SPREAD.exp()).abs() < 0.3, "{}", times[1680]);
}

#[test]
fn a_simulated_visit_keeps_its_own_times_and_stays_nameless() {
    use InteractionKind::{Cart, Click, Purchase};
    let somebody = || Person::session(SessionId::try_new("s").unwrap());
    let events = [
        event(100, somebody(), Click, "a", None),
        event(140, somebody(), Cart, "a", None),
        event(170, somebody(), Purchase, "a", Some("1")),
        event(170, somebody(), Purchase, "b", Some("1")),
        event(100 + 3600, somebody(), Click, "c", None),
    ];
    let visits = simulated(events.into_iter(), &known());
    assert_eq!(visits.len(), 1);
    assert_eq!(visits[0].user, None);
    assert_eq!(words(&visits[0]), ["ask", "click a", "ask", "cart a", "purchase a + purchase b"]);
    let at: Vec<_> = visits[0].steps.iter().map(|step| step.at.as_secs_f64()).collect();
    assert_eq!(at, [0.0, 0.2, 0.3, 40.2, 70.2]);
}

fn simulated_market() -> Rc<Visits> {
    let catalogue: Vec<_> = (0..300).map(|n| format!("sim-{n:07}")).collect();
    Rc::new(Visits::load(Source::Sim, None, &catalogue, 5).unwrap())
}

#[test]
fn the_rate_asked_for_leaves_from_the_first_second_on_and_visits_keep_their_order() {
    let visits = simulated_market();
    let length = Duration::from_secs(120);
    let arrivals: Vec<_> = visits.open("200".parse().unwrap(), length).collect();
    assert!(arrivals.is_sorted_by_key(|a| a.at));
    for second in [0, 60, 110] {
        let span = Duration::from_secs(second)..Duration::from_secs(second + 10);
        let n = arrivals.iter().filter(|a| span.contains(&a.at)).count() as f64;
        // A visit's requests come together, so counts vary more than a Poisson process's.
        assert!((n - 2000.0).abs() < 400.0, "{n} in the ten seconds from {second}");
    }
    let mut seen: HashMap<u64, u32> = HashMap::new();
    for arrival in &arrivals {
        let next = seen.entry(arrival.index).or_insert(arrival.step);
        assert_eq!(arrival.step, *next);
        *next += 1;
    }
    assert!(visits.open("200".parse().unwrap(), length).eq(arrivals), "the same seed, the same moments");
}

#[test]
fn a_closed_loop_plays_every_visit_from_its_first_request_to_its_last() {
    let visits = simulated_market();
    let mut seen: HashMap<u64, u32> = HashMap::new();
    for arrival in visits.in_turns().take(20_000) {
        let next = seen.entry(arrival.index).or_default();
        assert_eq!(arrival.step, *next);
        *next += 1;
    }
    let n_whole = seen.iter().filter(|(index, n)| **n as usize == visits.get(**index).steps.len()).count();
    assert!(n_whole + N_LANES >= seen.len(), "{n_whole} of {} visits are whole", seen.len());
}

#[test]
fn a_target_that_sells_other_things_is_told_so() {
    let error = Visits::load(Source::Sim, None, &["a".to_owned()], 1).unwrap_err().to_string();
    assert!(error.contains("sells none of the items"), "{error}");
}
