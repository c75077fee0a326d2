use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::ann::{
    mean_recall,
    tests::{exact, random, rows},
};

/// Vectors as a factorisation makes them: some directions matter more, and norms are log-normal.
fn factors(n: usize, width: usize, seed: u64) -> ndarray::Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut factors = random(n, width, seed);
    for mut row in factors.outer_iter_mut() {
        let about_normal: f32 = (0..12).map(|_| rng.gen_range(-0.5..0.5)).sum();
        let norm = (0.45 * about_normal).exp();
        for (dimension, x) in row.iter_mut().enumerate() {
            *x *= norm / (1.0 + dimension as f32 / 8.0).sqrt();
        }
    }
    factors
}

fn index(vectors: ndarray::Array2<f32>, params: &GraphParams) -> GraphIndex {
    let exact = exact(vectors);
    let graph = Graph::build(&exact, params).unwrap();
    GraphIndex::try_new(exact, Arc::new(graph)).unwrap()
}

/// The arrays of a graph.
fn arrays(graph: &Graph) -> (Vec<u32>, Vec<u8>, Vec<u32>) {
    let lists: Vec<Vec<u32>> = (0..graph.n_items()).map(|node| graph.neighbours(node).to_vec()).collect();
    (graph.order().to_vec(), lists.iter().map(|list| list.len() as u8).collect(), lists.concat())
}

#[test]
fn the_graph_finds_nearly_everything_and_gives_exact_scores() {
    let vectors = factors(6000, 32, 7);
    let scan = exact(vectors.clone());
    // Few hubs, so that it is the graph that finds them.
    let graph = index(vectors, &GraphParams { n_hubs: 32, ..GraphParams::default() });
    let queries = factors(100, 32, 8);
    let half = |item: ItemIdx| item.0 % 2 == 1;
    let few = |item: ItemIdx| item.0.is_multiple_of(500);
    for (allow, floor) in [(None, 0.95), (Some(&half as Allow<'_>), 0.95), (Some(&few as Allow<'_>), 0.995)] {
        for k in [10, 100] {
            let search = |index: &dyn AnnIndex| -> Vec<Vec<Scored>> {
                queries.outer_iter().map(|query| index.search(&query.to_vec(), k, allow)).collect()
            };
            let (truth, found) = (search(&scan), search(&graph));
            let recall = mean_recall(&truth, &found);
            assert!(recall > floor, "recall {recall} at {k}");
            for (query, (truth, found)) in queries.outer_iter().zip(truth.iter().zip(&found)) {
                assert_eq!(truth.len(), found.len());
                assert!(found.is_sorted_by(|a, b| Scored::best_first(a, b).is_lt()));
                for scored in found {
                    assert!(allow.is_none_or(|allow| allow(scored.item)));
                    let exact: f32 = scan.row(scored.item.0).iter().zip(&query).map(|(x, q)| x * q).sum();
                    assert!((scored.score - exact).abs() < 1e-4);
                }
            }
        }
    }
}

#[test]
fn the_same_vectors_give_the_same_graph_and_its_arrays_give_it_again() {
    let scan = exact(factors(1500, 20, 3));
    let params = GraphParams { max_neighbours: 12, ..GraphParams::default() };
    let graph = Graph::build(&scan, &params).unwrap();
    let (order, degrees, neighbours) = arrays(&graph);
    assert_eq!(
        arrays(&Graph::build(&scan, &params).unwrap()),
        (order.clone(), degrees.clone(), neighbours.clone())
    );
    assert!(degrees.iter().all(|&degree| degree <= 12));

    let again = Graph::try_new(order, &degrees, neighbours, graph.n_hubs()).unwrap();
    let (built, read) =
        [graph, again].map(|graph| GraphIndex::try_new(scan.clone(), Arc::new(graph)).unwrap()).into();
    for query in factors(20, 20, 4).outer_iter() {
        assert_eq!(built.search(&query.to_vec(), 20, None), read.search(&query.to_vec(), 20, None));
    }
}

#[test]
fn items_that_are_all_alike_are_found_all_the_same() {
    let mut vectors = ndarray::Array2::from_elem((2000, 5), 0.5);
    for row in 1000..2000 {
        vectors.row_mut(row).fill(0.0);
    }
    let graph = index(vectors, &GraphParams { n_hubs: 8, ..GraphParams::default() });
    assert_eq!(graph.search(&[1.0; 5], 1500, None).len(), 1500);
    assert_eq!(graph.search(&[1.0; 5], 50, None).len(), 50);
}

#[test]
fn a_filter_may_search_itself() {
    let graph = index(factors(800, 8, 1), &GraphParams::default());
    let query = [1.0; 8];
    let allow = |item: ItemIdx| rows(&graph.search(&query, 5, None)).contains(&item.0);
    assert_eq!(rows(&graph.search(&query, 10, Some(&allow))).len(), 5);
}

#[test]
fn every_thread_searches_alike() {
    let graph = index(factors(2000, 16, 1), &GraphParams { n_hubs: 16, ..GraphParams::default() });
    let other = index(factors(300, 16, 2), &GraphParams { n_hubs: 4, ..GraphParams::default() });
    let queries = factors(40, 16, 3);
    let search = || -> Vec<_> {
        let both = queries.outer_iter().map(|query| query.to_vec());
        // More searches than a number of a byte counts, and of two graphs in turn.
        (0..8)
            .flat_map(|_| both.clone())
            .map(|q| (graph.search(&q, 10, None), other.search(&q, 10, None)))
            .collect()
    };
    let expected = search();
    assert_eq!(expected[..40], expected[280..]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(search)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == expected));
    });
}

#[test]
fn wild_parameters_and_overflowing_vectors_are_refused() {
    let scan = exact(random(5, 4, 1));
    for params in [
        GraphParams { max_neighbours: 1, ..GraphParams::default() },
        GraphParams { max_neighbours: 65, ..GraphParams::default() },
        GraphParams { ef_construction: 0, ..GraphParams::default() },
        GraphParams { n_hubs: 0, ..GraphParams::default() },
    ] {
        assert!(matches!(Graph::build(&scan, &params), Err(AnnError::Param { .. })));
    }
    let huge = exact(ndarray::Array2::from_elem((2, 4), f32::MAX));
    assert_eq!(Graph::build(&huge, &GraphParams::default()).err(), Some(AnnError::NotFinite { row: 0 }));
}

#[test]
fn arrays_that_are_no_graph_are_refused() {
    let refused = |order: &[u32], degrees: &[u8], neighbours: &[u32]| {
        Graph::try_new(order.to_vec(), degrees, neighbours.to_vec(), 1).unwrap_err()
    };
    let order = [2, 0, 1];
    assert!(Graph::try_new(order.to_vec(), &[2, 1, 1], vec![1, 2, 0, 0], 1).is_ok());
    assert_eq!(refused(&[2, 0, 3], &[0; 3], &[]), GraphError::Order { node: 2, item: 3, n: 3 });
    assert_eq!(refused(&[2, 0, 2], &[0; 3], &[]), GraphError::Order { node: 2, item: 2, n: 3 });
    assert!(matches!(refused(&order, &[0; 2], &[]), GraphError::Param { .. }));
    assert_eq!(refused(&order, &[1; 3], &[1, 2]), GraphError::Length { expected: 3, got: 2 });
    assert!(matches!(refused(&order, &[65, 0, 0], &[1; 65]), GraphError::Degree { got: 65, .. }));
    for neighbours in [[1, 3, 0, 0], [1, u32::MAX, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]] {
        assert!(matches!(refused(&order, &[2, 1, 1], &neighbours), GraphError::Neighbour { node: 0, .. }));
    }
    assert!(matches!(Graph::try_new(order.to_vec(), &[0; 3], vec![], 0), Err(GraphError::Param { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever passes the checks, however senseless the links, can be searched.
    #[test]
    fn any_arrays_are_refused_or_searchable(
        n in 1_usize..40, width in 1_usize..6, n_hubs in 1_usize..6, seed in any::<u64>(), slips in 0_usize..2, k in 1_usize..50,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<u32> = (0..n as u32).collect();
        rand::seq::SliceRandom::shuffle(order.as_mut_slice(), &mut rng);
        let (mut degrees, mut neighbours) = (Vec::new(), Vec::new());
        for node in 0..n as u32 {
            let own: Vec<u32> = (0..n as u32).filter(|&other| other != node && rng.gen_bool(0.2)).collect();
            degrees.push(own.len() as u8);
            neighbours.extend(own);
        }
        for _ in 0..slips {
            if let Some(slip) = rand::seq::SliceRandom::choose_mut(neighbours.as_mut_slice(), &mut rng) {
                *slip = rng.r#gen();
            }
        }
        if let Ok(graph) = Graph::try_new(order, &degrees, neighbours, n_hubs) {
            let graph = GraphIndex::try_new(exact(random(n, width, seed)), Arc::new(graph)).unwrap();
            let found = graph.search(&vec![1.0; width], k, None);
            prop_assert_eq!(found.len(), k.min(n));
            let mut distinct = rows(&found);
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), found.len());
        }
    }
}
