use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn random(n_rows: usize, n_factors: usize, seed: u64) -> ndarray::Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    ndarray::Array2::from_shape_simple_fn((n_rows, n_factors), || rng.gen_range(-1.0..1.0))
}

fn exact(vectors: ndarray::Array2<f32>) -> ExactIndex {
    ExactIndex::try_new(Arc::new(vectors)).unwrap()
}

fn rows(found: &[Scored]) -> Vec<u32> {
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
        let query: Vec<f32> = random(1, width, !seed).iter().map(|x| x.round()).collect();
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

#[test]
fn a_query_that_does_not_fit_finds_nothing() {
    let vectors = random(50, 4, 1);
    let hnsw = HnswIndex::try_new(exact(vectors.clone()), &HnswParams::default()).unwrap();
    let scan = exact(vectors);
    for index in [&scan as &dyn AnnIndex, &hnsw] {
        assert!(index.search(&[1.0; 3], 5, None).is_empty());
        assert!(index.search(&[1.0, f32::NAN, 0.0, 0.0], 5, None).is_empty());
        assert!(index.search(&[f32::INFINITY, 0.0, 0.0, 0.0], 5, None).is_empty());
        assert!(index.search(&[1.0; 4], 0, None).is_empty());
        assert_eq!(rows(&index.search(&[0.0; 4], 3, None)), [0, 1, 2]);
        assert_eq!(index.search(&[1.0; 4], 100, None).len(), 50);
    }
}

#[test]
fn an_index_over_nothing_finds_nothing() {
    let scan = exact(ndarray::Array2::zeros((0, 4)));
    let hnsw = HnswIndex::try_new(scan.clone(), &HnswParams::default()).unwrap();
    assert!(scan.search(&[1.0; 4], 5, None).is_empty());
    assert!(hnsw.search(&[1.0; 4], 5, None).is_empty());
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
fn the_graph_finds_nearly_everything_and_gives_exact_scores() {
    let vectors = random(3000, 16, 7);
    let scan = exact(vectors.clone());
    let hnsw = HnswIndex::try_new(scan.clone(), &HnswParams::default()).unwrap();
    let queries: Vec<Vec<f32>> = random(20, 16, 8).outer_iter().map(|row| row.to_vec()).collect();
    let (truth, _) = timed_searches(&scan, &queries);
    let (found, _) = timed_searches(&hnsw, &queries);
    assert!(mean_recall(&truth, &found) > 0.95);
    for (query, list) in queries.iter().zip(&found) {
        assert!(list.iter().all(|s| {
            (s.score - vectors.row(s.item.row()).iter().zip(query).map(|(x, q)| x * q).sum::<f32>()).abs()
                < 1e-5
        }));
        assert!(list.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let odd = |item: ItemIdx| item.0 % 2 == 1;
        assert_eq!(hnsw.search(query, 10, Some(&odd)), scan.search(query, 10, Some(&odd)));
    }
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
    let (items, queries) = (random(3000, 16, 7), random(20, 16, 8));
    let (index, report) = choose(items.view(), queries.view(), 0.95).unwrap();
    assert_eq!((index.name(), report.hnsw_build_ms), ("exact", None));
    assert!(report.reason.contains("below 50000 items"), "{}", report.reason);

    let (index, report) =
        choose_above(100, &HnswParams::default(), items.view(), queries.view(), 0.95).unwrap();
    assert_eq!(index.name(), report.engine);
    assert!(report.hnsw_build_ms.is_some() && report.hnsw_us.is_some() && report.recall_at_100 >= 0.95);

    // No graph has a recall above 1: the scan stays.
    let (index, report) =
        choose_above(100, &HnswParams::default(), items.view(), queries.view(), 1.1).unwrap();
    assert_eq!((index.name(), report.recall_at_100), ("exact", 1.0));

    let none = ndarray::Array2::zeros((0, 16));
    let (_, report) = choose_above(100, &HnswParams::default(), items.view(), none.view(), 0.95).unwrap();
    assert!(report.reason.contains("no sample queries"), "{}", report.reason);
}
