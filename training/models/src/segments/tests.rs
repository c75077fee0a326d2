use ndarray::{Array2, array};

use super::*;

fn idx(rows: &[u32]) -> Vec<ItemIdx> {
    rows.iter().map(|row| ItemIdx(*row)).collect()
}

fn two() -> Segments {
    let centroids = array![[1.0, 0.0], [0.6, 0.8]];
    Segments::try_new(centroids, vec![50, 70], vec![0, 2, 3], idx(&[4, 1, 4]), vec![0.5, 0.2, 0.1]).unwrap()
}

#[test]
fn a_vector_belongs_to_the_centroid_of_its_direction() {
    let segments = two();
    assert_eq!(segments.nearest(&[9.0, 1.0]), Some(0));
    assert_eq!(segments.nearest(&[0.01, 0.02]), Some(1));
    assert_eq!(segments.nearest(&[-1.0, -0.1]), Some(1), "the lesser of two evils");
    assert_eq!(segments.nearest(&[0.0, 0.0]), None);
    assert_eq!((segments.list(0).0, segments.list(1).1), (&idx(&[4, 1])[..], &[0.1][..]));
}

#[test]
fn a_tie_goes_to_the_first_segment() {
    let centroids = array![[0.0, 1.0], [0.0, 1.0]];
    let twins = Segments::try_new(centroids, vec![1, 1], vec![0, 0, 0], vec![], vec![]).unwrap();
    assert_eq!(twins.nearest(&[0.3, 0.5]), Some(0));
}

#[test]
fn without_segments_nobody_belongs_to_one() {
    let none = Segments::try_new(Array2::zeros((0, 2)), vec![], vec![0], vec![], vec![]).unwrap();
    assert_eq!(none.nearest(&[1.0, 2.0]), None);
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let centroids = || array![[1.0_f32, 0.0], [0.0, 1.0]];
    let refused = |centroids, n_people, indptr: &[usize], items: &[u32], scores: &[f32]| {
        Segments::try_new(centroids, n_people, indptr.to_vec(), idx(items), scores.to_vec()).unwrap_err()
    };
    let lengths = |what, expected, got| SegmentsError::Lengths { n_centroids: 2, what, expected, got };
    assert_eq!(refused(centroids(), vec![1], &[0, 0, 0], &[], &[]), lengths("counts of people", 2, 1));
    assert_eq!(refused(centroids(), vec![1, 1], &[0, 0], &[], &[]), lengths("list pointers", 3, 2));
    assert_eq!(refused(centroids(), vec![1, 1], &[0, 0, 1], &[3], &[]), lengths("scores", 1, 0));
    for indptr in [[1, 1, 1], [0, 2, 1], [0, 0, 0]] {
        let error = refused(centroids(), vec![1, 1], &indptr, &[3], &[1.0]);
        assert!(matches!(error, SegmentsError::Pointers { .. }), "{indptr:?}: {error}");
    }
    for centroid in [[0.5, 0.5], [f32::NAN, 0.0], [f32::INFINITY, 0.0], [0.0, 0.0]] {
        let error = refused(array![[1.0, 0.0], centroid], vec![1, 1], &[0, 0, 0], &[], &[]);
        assert!(matches!(error, SegmentsError::Centroid { segment: 1, .. }), "{centroid:?}: {error}");
    }
    assert_eq!(
        refused(centroids(), vec![1, 1], &[0, 2, 2], &[3, 3], &[0.2, 0.1]),
        SegmentsError::Repeated { segment: 0 }
    );
    for scores in [[0.1, 0.2], [0.1, 0.0], [f32::NAN, 0.1]] {
        let error = refused(centroids(), vec![1, 1], &[0, 0, 2], &[3, 4], &scores);
        assert_eq!(error, SegmentsError::Scores { segment: 1 });
    }
}
