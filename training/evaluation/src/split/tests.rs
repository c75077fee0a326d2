use waggle_model::UserId;

use super::*;

fn touch(user: &str, item: &str, time: i64) -> TimedInteraction {
    TimedInteraction {
        person: if user.is_empty() {
            Person::default()
        } else {
            Person::user(UserId::try_new(user).unwrap())
        },
        item: ItemId::try_new(item).unwrap(),
        weight: 1.0,
        time: Timestamp::from_millis(time),
    }
}

fn market() -> Vec<TimedInteraction> {
    vec![
        touch("ann", "tea", 150),
        touch("ann", "tea", 10),
        touch("ann", "cup", 20),
        touch("ann", "tea", 30),
        touch("", "pot", 40),
        touch("bob", "cup", 50),
        touch("ann", "new", 100),
        touch("cid", "pot", 120),
        touch("dan", "cup", 200),
    ]
}

fn split(repeats: Repeats) -> SplitCases {
    TimeSplit { at: Timestamp::from_millis(100) }
        .cases(&market(), Timestamp::from_millis(200), repeats)
        .unwrap()
}

#[test]
fn nothing_from_the_split_on_is_known() {
    let split = split(Repeats::Count);
    let names: Vec<String> = split.vocabulary.ids().map(|id| id.to_string()).collect();
    assert_eq!(names, ["tea", "cup", "pot"]);
    assert_eq!(split.n_new_items, 1);
    let [ann] = &split.warm[..] else { panic!("only ann is warm: bob did nothing after the split") };
    let history: Vec<_> = ann.history.iter().map(|e| (e.item.0, e.weight, e.time.as_millis())).collect();
    assert_eq!(history, [(1, 1.0, 20), (0, 2.0, 30)]);
    assert!(ann.history.iter().all(|entry| entry.time < ann.now));
}

#[test]
fn new_items_stay_in_the_truth_beyond_the_vocabulary() {
    assert_eq!(split(Repeats::Count).warm[0].truth, [ItemIdx(0), ItemIdx(3)]);
}

#[test]
fn new_persons_are_cold_cases_apart() {
    let split = split(Repeats::Count);
    let [cid] = &split.cold[..] else { panic!("only cid is cold: dan came after the end") };
    assert_eq!((cid.history.len(), &cid.truth[..]), (0, &[ItemIdx(2)][..]));
}

#[test]
fn repeats_are_excluded_where_that_is_asked_for() {
    let split = split(Repeats::Exclude);
    assert_eq!(split.warm[0].truth, [ItemIdx(3)]);
    assert_eq!(split.warm[0].exclude, [ItemIdx(0), ItemIdx(1)]);
}
