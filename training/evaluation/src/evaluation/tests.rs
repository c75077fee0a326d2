use waggle_model::{Scored, UserId};

use super::*;

/// Recommends the same rows to everybody, without those excluded.
struct Fixed(Vec<u32>);

impl Recommender for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }

    fn recommend(&self, query: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError> {
        if query.history.iter().any(|entry| entry.item == ItemIdx(666)) {
            return Err(RecommendError::Failed("as told".to_owned()));
        }
        let items = self.0.iter().map(|&row| ItemIdx(row)).filter(|item| !query.is_excluded(*item));
        Ok(items.take(k).map(|item| Scored { item, score: 1.0 }).collect())
    }
}

pub(crate) fn case(person: Option<&str>, truth: &[u32]) -> Case {
    Case {
        person: person.map(|id| Person::user(UserId::try_new(id).unwrap())),
        history: Vec::new(),
        truth: truth.iter().map(|&row| ItemIdx(row)).collect(),
        exclude: Vec::new(),
        now: Timestamp::default(),
    }
}

#[test]
fn every_case_keeps_its_value_and_empty_truths_are_counted_apart() {
    let mut blocked = case(Some("b"), &[1]);
    blocked.exclude = vec![ItemIdx(1)];
    let cases =
        [case(Some("a"), &[1]), case(None, &[]), blocked, case(Some("a"), &[9, 2]), case(None, &[99])];
    let evaluation = evaluate(&Fixed(vec![1, 2, 3]), &cases, &[1, 2], 10).unwrap();
    assert_eq!(evaluation.n_cases(), 4);
    assert_eq!(evaluation.n_left_out, 1);
    assert_eq!(evaluation.persons, [0, 1, 0, 2]);
    assert_eq!(evaluation.values("recall_of_truth@2").unwrap(), [1.0, 0.0, 0.5, 0.0]);
    assert_eq!(evaluation.mean("hit_rate@1"), Some(0.25));
    assert_eq!(evaluation.metrics[0], "ndcg@1");
    assert_eq!(evaluation.mean("ndcg@7"), None);
    assert_eq!(evaluation.coverage[&1], Coverage { n_distinct: 2, share: 0.2 });
    assert_eq!(evaluation.coverage[&2], Coverage { n_distinct: 3, share: 0.3 });
}

#[test]
fn a_recommender_that_fails_is_named_with_the_case() {
    let mut failing = case(None, &[1]);
    failing.history.push(HistoryEntry { item: ItemIdx(666), weight: 1.0, time: Timestamp::default() });
    let error = evaluate(&Fixed(vec![1]), &[case(None, &[1]), failing], &[1], 10).unwrap_err();
    assert!(matches!(error, EvaluationError::Recommend { case: 1, .. }), "{error}");
}

#[test]
fn useless_cutoffs_are_refused() {
    for ks in [&[][..], &[0], &[10, 0]] {
        assert!(matches!(evaluate(&Fixed(vec![1]), &[], ks, 10), Err(EvaluationError::Cutoffs)));
    }
}
