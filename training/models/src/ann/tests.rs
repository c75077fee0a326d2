use std::sync::Arc;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

pub(super) fn random(n_rows: usize, n_factors: usize, seed: u64) -> ndarray::Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    ndarray::Array2::from_shape_simple_fn((n_rows, n_factors), || rng.gen_range(-1.0..1.0))
}

pub(super) fn exact(vectors: ndarray::Array2<f32>) -> ExactIndex {
    ExactIndex::try_new(Arc::new(vectors)).unwrap()
}

pub(super) fn rows(found: &[Scored]) -> Vec<u32> {
    found.iter().map(|scored| scored.item.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_scan_finds_what_sorting_everything_finds(
        n in 0_usize..1500, width in 1_usize..40, k in 0_usize..50, modulus in 1_u32..5, seed in any::<u64>(),
    ) {
        // Few different values, so that there are ties.
        let vectors = random(n, width, seed).mapv(|x| x.round());
        let mut query: Vec<f32> = random(1, width, !seed).iter().map(|x| x.round()).collect();
        // Zeros would find nothing.
        query[0] += if query.iter().all(|x| *x == 0.0) { 1.0 } else { 0.0 };
        let allow = |item: ItemIdx| item.0.is_multiple_of(modulus);
        let mut expected: Vec<Scored> = (0..n)
            .map(|row| Scored { item: ItemIdx::from_row(row), score: vectors.row(row).iter().zip(&query).map(|(x, q)| x * q).sum() })
            .filter(|scored| allow(scored.item))
            .collect();
        expected.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(a.item.cmp(&b.item)));
        expected.truncate(k);
        prop_assert_eq!(rows(&exact(vectors).search(&query, k, Some(&allow))), rows(&expected));
    }
}

/// Every engine over the same vectors.
fn engines(vectors: &ndarray::Array2<f32>) -> Vec<Box<dyn AnnIndex>> {
    let scan = exact(vectors.clone());
    let graph = Graph::build(&scan, &GraphParams::default()).unwrap();
    vec![
        Box::new(scan.clone()),
        Box::new(Int8Index::new(scan.clone())),
        Box::new(GraphIndex::try_new(scan.clone(), Arc::new(graph)).unwrap()),
        Box::new(HnswIndex::try_new(scan, &HnswParams::default()).unwrap()),
    ]
}

#[test]
fn a_query_that_does_not_fit_finds_nothing() {
    for index in engines(&random(50, 4, 1)) {
        assert!(index.search(&[1.0; 3], 5, None).is_empty());
        assert!(index.search(&[1.0, f32::NAN, 0.0, 0.0], 5, None).is_empty());
        assert!(index.search(&[f32::INFINITY, 0.0, 0.0, 0.0], 5, None).is_empty());
        assert!(index.search(&[1.0; 4], 0, None).is_empty());
        assert!(index.search(&[0.0; 4], 3, None).is_empty(), "zeros have no opinion");
        assert!(index.search_rows(&[0.0; 4], &[ItemIdx(1)], 5).is_empty());
        assert_eq!(index.search(&[1.0; 4], 100, None).len(), 50);
        assert_eq!(index.search(&[1.0; 4], usize::MAX, None).len(), 50);
        assert!(index.search_rows(&[f32::NAN; 4], &[ItemIdx(1)], 5).is_empty());
    }
}

#[test]
fn an_index_over_nothing_finds_nothing() {
    for index in engines(&ndarray::Array2::zeros((0, 4))) {
        assert!(index.search(&[1.0; 4], 5, None).is_empty());
        assert!(index.search_rows(&[1.0; 4], &[ItemIdx(0)], 5).is_empty());
    }
}

#[test]
fn vectors_of_extreme_length_do_no_harm() {
    let mut vectors = random(200, 4, 3);
    vectors.row_mut(7).fill(0.0);
    vectors.row_mut(8).fill(1e-38);
    vectors.row_mut(9).fill(1e18);
    for index in engines(&vectors) {
        for query in [[1.0; 4], [1e30; 4], [1e-30; 4], [f32::MAX; 4], [f32::MIN_POSITIVE; 4]] {
            let found = index.search(&query, 300, None);
            assert!(found.len() <= 200 && found.iter().all(|s| s.score.is_finite()));
        }
        assert_eq!(rows(&index.search(&[1.0; 4], 1, None)), [9]);
    }
}

#[test]
fn just_the_rows_that_are_named_are_scored() {
    let vectors = random(300, 8, 5);
    let query = random(1, 8, 6).row(0).to_vec();
    let named: Vec<ItemIdx> = [250, 3, 17, 3, 299, 300, u32::MAX].map(ItemIdx).to_vec();
    let allow = |item: ItemIdx| named.contains(&item);
    let expected = exact(vectors.clone()).search(&query, 3, Some(&allow));
    for index in engines(&vectors) {
        let found = index.search_rows(&query, &named, 3);
        assert_eq!(rows(&found), rows(&expected), "{}", index.name());
        assert_eq!(index.search_rows(&query, &named, 100).len(), 4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn among_some_rows_is_a_search_that_allows_those(
        n in 1_usize..2_000, one_in in 1_u64..40, n_words in 0_usize..32, k in 1_usize..80, seed in any::<u64>(),
    ) {
        let vectors = random(n, 8, seed);
        let query = random(1, 8, seed ^ 1).row(0).to_vec();
        // Fewer words than there are rows for, too.
        let mut bits = vec![0_u64; n_words];
        for row in 0..n_words as u64 * 64 {
            if row.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17).is_multiple_of(one_in) {
                bits[row as usize / 64] |= 1 << (row % 64);
            }
        }
        let is_even = |item: ItemIdx| item.0.is_multiple_of(2);
        let both = |item: ItemIdx| {
            bits.get(item.row() / 64).is_some_and(|word| word >> (item.row() % 64) & 1 == 1) && is_even(item)
        };
        for index in engines(&vectors) {
            let among = index.search_among(&query, k, &bits, &is_even);
            prop_assert_eq!(rows(&among), rows(&index.search(&query, k, Some(&both))), "{}", index.name());
        }
    }
}

#[test]
fn many_queries_at_once_find_what_each_finds() {
    let scan = exact(random(700, 9, 5));
    let queries: Vec<Vec<f32>> = random(20, 9, 6).outer_iter().map(|row| row.to_vec()).collect();
    let each: Vec<_> = queries.iter().map(|query| rows(&scan.search(query, 30, None))).collect();
    let at_once: Vec<_> = best_of_all(&scan, &queries, 30).iter().map(|list| rows(list)).collect();
    assert_eq!(at_once, each);
}

#[test]
fn the_scan_of_rounded_vectors_finds_nearly_everything() {
    let vectors = random(3000, 24, 7);
    let (scan, int8) = (exact(vectors.clone()), Int8Index::new(exact(vectors)));
    let odd = |item: ItemIdx| item.0 % 2 == 1;
    for allow in [None, Some(&odd as Allow<'_>)] {
        let queries = random(50, 24, 8);
        let search = |index: &dyn AnnIndex| -> Vec<Vec<Scored>> {
            queries.outer_iter().map(|query| index.search(&query.to_vec(), 50, allow)).collect()
        };
        assert!(mean_recall(&search(&scan), &search(&int8)) > 0.995);
    }
}

#[test]
fn vectors_that_are_not_finite_and_wild_parameters_are_refused() {
    let mut vectors = random(5, 4, 1);
    vectors[[3, 0]] = f32::NAN;
    assert_eq!(ExactIndex::try_new(Arc::new(vectors)).unwrap_err(), AnnError::NotFinite { row: 3 });
    assert_eq!(
        ExactIndex::try_new(Arc::new(ndarray::Array2::zeros((3, 0)))).unwrap_err(),
        AnnError::NoDimensions
    );
    let huge = exact(ndarray::Array2::from_elem((2, 4), f32::MAX));
    assert_eq!(HnswIndex::try_new(huge, &HnswParams::default()).err(), Some(AnnError::NotFinite { row: 0 }));
    let params = HnswParams { max_connections: 500, ..HnswParams::default() };
    assert!(HnswIndex::try_new(exact(random(5, 4, 1)), &params).is_err());
}

#[test]
fn the_graph_of_hnsw_rs_finds_nearly_everything_also_when_frozen() {
    let vectors = random(3000, 16, 7);
    let scan = exact(vectors);
    let hnsw = HnswIndex::try_new(scan.clone(), &HnswParams::default()).unwrap();
    let frozen = GraphIndex::try_new(scan.clone(), Arc::new(hnsw.freeze().unwrap())).unwrap();
    let queries: Vec<Vec<f32>> = random(20, 16, 8).outer_iter().map(|row| row.to_vec()).collect();
    let search = |index: &dyn AnnIndex| -> Vec<Vec<Scored>> {
        queries.iter().map(|query| index.search(query, 100, None)).collect()
    };
    assert!(mean_recall(&search(&scan), &search(&hnsw)) > 0.95);
    assert!(mean_recall(&search(&scan), &search(&frozen.with_ef_search(256))) > 0.95);
}

#[test]
fn the_same_vectors_give_the_same_graph() {
    let build = || {
        HnswIndex::try_new(exact(random(2000, 8, 7)), &HnswParams { ef_search: 20, ..HnswParams::default() })
            .unwrap()
    };
    let (a, b) = (build(), build());
    for query in random(20, 8, 9).outer_iter() {
        assert_eq!(a.search(&query.to_vec(), 10, None), b.search(&query.to_vec(), 10, None));
    }
}

#[test]
fn the_choice_is_measured_and_says_why() {
    let (items, queries) = (Arc::new(random(3000, 16, 7)), random(20, 16, 8));
    let (index, report) = choose(items.clone(), queries.view(), 0.95).unwrap();
    assert_eq!((index.name(), report.engines.len()), ("exact", 1));
    assert!(report.reason.contains("below 10000 items"), "{}", report.reason);

    let low = Thresholds { int8_min_items: 100, graph_min_items: 100, ..Thresholds::default() };
    let choose = |queries: &ndarray::Array2<f32>, min_recall| {
        choose_with(&low, None, items.clone(), queries.view(), min_recall).unwrap()
    };
    let (index, report, graph) = choose(&queries, 0.95);
    assert_eq!(index.name(), report.engine);
    assert_eq!(report.engines.len(), 3);
    assert!(report.graph_build_ms.is_some() && graph.is_some() && report.recall_at_100 >= 0.95);
    assert!(report.reason.contains("judged by 20 queries only"), "{}", report.reason);

    // A graph that came along is not built again.
    let (_, report, _) = choose_with(&low, graph.clone(), items.clone(), queries.view(), 0.95).unwrap();
    assert_eq!(report.graph_build_ms, None);
    let fewer = Arc::new(items.slice(ndarray::s![..2999, ..]).to_owned());
    let refused = choose_with(&low, graph, fewer, queries.view(), 0.95).map(|_| ());
    assert_eq!(refused, Err(AnnError::OtherGraph { expected: 2999, got: 3000 }));

    // Nothing has a recall above 1: the exact scan stays.
    let (index, report, _) = choose(&queries, 1.1);
    assert_eq!(index.name(), "exact");
    assert!((report.recall_at_100 - 1.0).abs() < 1e-9);

    let (_, report, graph) = choose(&ndarray::Array2::zeros((0, 16)), 0.95);
    assert!(report.reason.contains("no sample queries") && graph.is_none(), "{}", report.reason);
}

#[test]
fn of_many_items_fewer_queries_judge() {
    let queries = random(1_500, 4, 9);
    assert_eq!(choice::judges(queries.view(), 3_000).len(), 1_500);
    let few = choice::judges(queries.view(), 300);
    assert_eq!(few.len(), 300);
    assert_eq!(few[299], queries.row(1_495).to_vec());
    assert_eq!(choice::judges(queries.view(), 0).len(), 1);
}
