use super::*;

fn evaluation(name: &str, values: &[f64]) -> Evaluation {
    Evaluation {
        name: name.to_owned(),
        metrics: vec!["ndcg@10".to_owned(), "recall@10".to_owned()],
        values: vec![values.to_vec(), vec![0.5; values.len()]],
        persons: (0..values.len() as u32).collect(),
        n_left_out: 2,
        lists: Vec::new(),
        coverage: BTreeMap::new(),
    }
}

fn comparison() -> Comparison {
    let rows =
        [evaluation("popularity", &[0.0, 0.0, 0.0, 0.0]), evaluation("ials-64", &[0.5, 0.5, 0.5, 0.5])];
    Comparison::of("toys", &rows, &Bootstrap::default()).unwrap()
}

#[test]
fn the_best_row_is_the_one_that_leads_in_the_first_metric() {
    let comparison = comparison();
    assert_eq!(comparison.best().unwrap().name, "ials-64");
    let behind = comparison.rows[0].vs_best.unwrap();
    assert_eq!((behind.value, behind.low, behind.high), (-0.5, -0.5, -0.5));
    assert!(behind.p_value < 0.01);
}

#[test]
fn the_table_is_aligned_and_marks_the_best() {
    let expected = "\
toys  (4 cases, 2 without a truth left out)
model                ndcg@10        recall@10                           ndcg@10 vs best
───────────────────────────────────────────────────────────────────────────────────────
popularity  0.0000 ±0.0000   0.5000 ±0.0000*  -0.5000 [-0.5000, -0.5000] p=0.001
ials-64     0.5000 ±0.0000*  0.5000 ±0.0000*                                       best
";
    let table = comparison().to_table(&["ndcg@10", "recall@10", "unheard_of@3"]);
    let words = |text: &str| {
        text.lines().map(|l| l.split_whitespace().map(str::to_owned).collect()).collect::<Vec<Vec<_>>>()
    };
    let without_rules =
        |text: &str| words(text).into_iter().filter(|l| !l[0].starts_with('─')).collect::<Vec<_>>();
    assert_eq!(without_rules(&table), without_rules(expected), "{table}");
    let ends: Vec<usize> =
        table.lines().skip(3).map(|line| line.chars().take_while(|c| *c != '±').count()).collect();
    assert_eq!(ends[0], ends[1], "{table}");
}

#[test]
fn programs_get_every_figure() {
    let json = serde_json::to_value(comparison()).unwrap();
    assert_eq!(json["rows"][1]["metrics"]["ndcg@10"]["value"], 0.5);
    assert_eq!(json["rows"][0]["vs_best"]["value"], -0.5);
    assert!(json["rows"][1].get("vs_best").is_none());
    assert_eq!(json["n_left_out"], 2);
}

#[test]
fn nothing_cannot_be_compared() {
    assert!(matches!(Comparison::of("x", &[], &Bootstrap::default()), Err(EvaluationError::NoCases)));
    let other = evaluation("other", &[1.0]);
    let both = [evaluation("one", &[0.0, 1.0]), other];
    assert!(matches!(
        Comparison::of("x", &both, &Bootstrap::default()),
        Err(EvaluationError::DifferentCases(..))
    ));
}
