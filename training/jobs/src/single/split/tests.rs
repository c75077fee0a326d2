use super::*;

fn lists(lists: &[(u32, &[u32])]) -> Lists {
    lists.iter().map(|(user, items)| (*user, items.to_vec())).collect()
}

fn rows(items: &[ItemIdx]) -> Vec<u32> {
    items.iter().map(|item| item.0).collect()
}

fn history(case: &Case) -> Vec<u32> {
    case.history.iter().map(|entry| entry.item.0).collect()
}

#[test]
fn what_was_learned_is_counted_where_it_is_asked_about() {
    let data = |train: &[(u32, &[u32])], test: &[(u32, &[u32])]| {
        PublicData::FixedSplit { train: lists(train), test: lists(test) }.test(1)
    };
    let split = data(&[(0, &[1, 2]), (3, &[])], &[(0, &[2, 9]), (1, &[])]).unwrap();
    assert_eq!((split.n_overlap, split.n_test, split.cases.len()), (1, 2, 1));
    assert_eq!((split.train.n_users(), split.train.n_items()), (4, 10));
    let nothing = data(&[(0, &[])], &[(0, &[1])]).unwrap_err();
    assert_eq!(nothing.to_string(), "there is nothing to learn from");
    let nobody = data(&[(0, &[1])], &[(0, &[])]).unwrap_err();
    assert_eq!(nobody.to_string(), "there is nobody to ask about");
}

#[test]
fn a_fixed_split_is_validated_with_a_fifth_of_what_may_be_learned() {
    let train: Lists = (0..50).map(|user| (user, (0..10).map(|n| n * 3 + user % 3).collect())).collect();
    let test = lists(&[(0, &[33]), (1, &[34])]);
    let data = PublicData::FixedSplit { train: train.clone(), test };
    let split = data.validation(1).unwrap();
    assert_eq!((split.train.len(), split.n_test, split.n_overlap, split.cases.len()), (400, 100, 0, 50));
    assert_eq!(split.train.n_items(), 35, "rows are those of the whole data");
    for (case, (user, items)) in split.cases.iter().zip(&train) {
        let mut all: Vec<u32> = history(case).into_iter().chain(rows(&case.truth)).collect();
        all.sort_unstable();
        assert_eq!(&all, items, "user {user} is asked about other items than were to be learned");
        assert_eq!(rows(&case.exclude), rows(split.train.items(*user as usize)));
    }
    let truths =
        |seed| data.validation(seed).unwrap().cases.iter().map(|c| rows(&c.truth)).collect::<Vec<_>>();
    assert_eq!(truths(1), truths(1));
    assert_ne!(truths(1), truths(2));
}

#[test]
fn the_last_item_is_asked_about_and_the_one_before_it_validates() {
    let data = PublicData::LeaveOneOut {
        sequences: lists(&[(1, &[9, 2, 7, 4]), (2, &[5, 3]), (3, &[8]), (4, &[])]),
    };
    let (test, validation) = (data.test(1).unwrap(), data.validation(1).unwrap());
    for split in [&test, &validation] {
        assert_eq!(rows(split.train.items(1)), [2, 9], "neither of the last two is learned from");
        assert!((2..5).all(|user| split.train.items(user).is_empty()));
    }
    let asked = |split: &Split| -> Vec<_> {
        split.cases.iter().map(|case| (history(case), rows(&case.truth), rows(&case.exclude))).collect()
    };
    assert_eq!(
        asked(&test),
        [(vec![9, 2, 7], vec![4], vec![2, 7, 9]), (vec![5], vec![3], vec![5])],
        "the order of the file is the order of the history"
    );
    assert_eq!(asked(&validation), [(vec![9, 2], vec![7], vec![2, 9])]);
}

#[test]
fn held_out_users_are_not_learned_from() {
    let all: Lists = (0..100).map(|user| (user, (0..10).map(|n| (n * 7 + user) % 101).collect())).collect();
    let data = PublicData::Strong { lists: all.clone(), n_held_out: 10 };
    let (test, validation) = (data.test(5).unwrap(), data.validation(5).unwrap());
    assert_eq!(test.train, validation.train);
    assert_eq!(test.train.len(), 800);
    let mut seen = std::collections::BTreeSet::new();
    for case in test.cases.iter().chain(&validation.cases) {
        assert_eq!((case.history.len(), case.truth.len()), (8, 2));
        let mut items: Vec<u32> = history(case).into_iter().chain(rows(&case.truth)).collect();
        items.sort_unstable();
        let user = all.iter().find(|(user, list)| {
            let mut list = (*list).clone();
            list.sort_unstable();
            list == items && test.train.items(**user as usize).is_empty()
        });
        seen.insert(*user.expect("a held-out user is learned from").0);
    }
    assert_eq!(seen.len(), 20, "nobody is in the test and in the validation");
    let refused = PublicData::Strong { lists: all, n_held_out: 50 }.test(1).unwrap_err().to_string();
    assert!(refused.starts_with("50 users for the test"), "{refused}");
}

#[test]
fn under_the_strong_protocol_unknown_items_and_short_lists_are_left_out() {
    // Every user has an item of their own, which nobody else can have taught.
    let all = (0..60).map(|user| (user, vec![0, 1, 2, 3, 4, 100 + user]));
    let split = PublicData::Strong { lists: all.collect(), n_held_out: 5 }.test(1).unwrap();
    assert!(split.cases.iter().all(|case| case.history.len() + case.truth.len() == 5));
    let short = (0..60).map(|user| (user, vec![0, 1, 2, 3]));
    let refused = PublicData::Strong { lists: short.collect(), n_held_out: 5 }.test(1).unwrap_err();
    assert_eq!(refused.to_string(), "there is nobody to ask about");
}

#[test]
fn cold_items_are_not_learned_from_and_only_they_are_recommended() {
    let all: Lists = (0..40).map(|user| (user, (0..20).map(|n| (n * 3 + user) % 60).collect())).collect();
    let terms: Lists = (0..60).map(|item| (item, vec![item % 5])).collect();
    let data = PublicData::ColdItems { lists: all.clone(), terms };
    let (test, validation) = (data.test(1).unwrap(), data.validation(1).unwrap());
    let cold = |split: &Split| split.among.clone().unwrap();
    assert_eq!((cold(&test).len(), cold(&validation).len()), (6, 5));
    assert!(cold(&validation).iter().all(|item| !cold(&test).contains(item)));
    for split in [&test, &validation] {
        let counts = split.train.item_counts();
        assert!(cold(&test).iter().chain(&cold(split)).all(|item| counts[item.row()] == 0));
        for case in &split.cases {
            let user = case.person.as_ref().and_then(|person| person.user_id.as_ref()).unwrap();
            let list = &all[&user.as_str().parse().unwrap()];
            let expected: Vec<u32> =
                list.iter().copied().filter(|i| cold(split).contains(&ItemIdx(*i))).collect();
            assert_eq!(rows(&case.truth), expected);
        }
        let content = split.content.as_ref().unwrap();
        assert_eq!((content.n_rows(), content.n_columns()), (60, 5));
    }

    struct All;
    impl ItemScorer for All {
        fn name(&self) -> &'static str {
            "all"
        }
        fn n_items(&self) -> usize {
            60
        }
        fn score_items(&self, _: &Query<'_>, scores: &mut [f32]) -> Result<(), RecommendError> {
            scores.iter_mut().zip(0..).for_each(|(score, row)| *score = row as f32);
            Ok(())
        }
    }
    let queries: Vec<_> = test.cases.iter().take(3).map(Case::query).collect();
    let mut best_first = cold(&test);
    best_first.reverse();
    for list in waggle_models::Recommender::recommend_all(&test.restricted(&All), &queries, 20).unwrap() {
        assert_eq!(list.iter().map(|scored| scored.item).collect::<Vec<_>>(), best_first);
    }
}
