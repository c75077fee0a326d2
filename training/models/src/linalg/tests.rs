use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.gen_range(-1.0..1.0)).collect()
}

fn slow_dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

#[track_caller]
fn close(got: f32, expected: f64) {
    assert!((f64::from(got) - expected).abs() < 1e-4 * expected.abs().max(1.0), "{got} is not {expected}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn dot_products_agree_with_plain_sums(width in 0_usize..140, n in 0_usize..11, seed in any::<u64>()) {
        let (rows, query) = (random(n * width, seed), random(width, !seed));
        let mut out = vec![7.0; n];
        dot_rows(&rows, &query, &mut out);
        for (r, got) in out.iter().enumerate() {
            close(*got, slow_dot(&rows[r * width..(r + 1) * width], &query));
        }
    }

    #[test]
    fn gram_matrices_agree_with_plain_sums(n in 0_usize..20, tiles in 1_usize..5, seed in any::<u64>()) {
        let stride = tiles * LANES;
        let rows = random(n * stride, seed);
        let mut out = vec![1.0; stride * stride];
        add_gram(&rows, stride, &mut out);
        for i in 0..stride {
            for j in i..stride {
                let expected: f64 =
                    rows.chunks(stride).map(|row| f64::from(row[i]) * f64::from(row[j])).sum();
                close(out[i * stride + j], 1.0 + expected);
            }
        }
    }

    #[test]
    fn row_gram_matrices_agree_with_plain_sums(fours in 0_usize..6, width in 1_usize..70, seed in any::<u64>()) {
        let n = 4 * fours;
        let stride = padded(n.max(1));
        let rows = random(n * width, seed);
        let mut out = vec![1.0; stride * stride];
        add_row_gram(&rows, width, stride, &mut out);
        for i in 0..n {
            for j in i..n {
                let expected = slow_dot(&rows[i * width..][..width], &rows[j * width..][..width]);
                close(out[i * stride + j], 1.0 + expected);
            }
        }
    }

    #[test]
    fn cholesky_solves_what_was_multiplied(n in 1_usize..90, seed in any::<u64>()) {
        let stride = padded(n) + LANES;
        let rows = random(2 * n * stride, seed);
        let mut a = vec![0.0; stride * stride];
        add_gram(&rows, stride, &mut a);
        (0..n).for_each(|j| a[j * stride + j] += 1.0);
        let at = |i: usize, j: usize| f64::from(a[i.min(j) * stride + i.max(j)]);
        let x = random(n, !seed);
        let mut b = vec![9.0; padded(n)];
        for (i, b) in b[..n].iter_mut().enumerate() {
            *b = (0..n).map(|j| at(i, j) * f64::from(x[j])).sum::<f64>() as f32;
        }
        cholesky(&mut a, n, stride).unwrap();
        cholesky_solve(&a, n, stride, &mut b);
        for (got, expected) in b.iter().zip(&x) {
            prop_assert!((got - expected).abs() < 2e-3, "{} is not {}", got, expected);
        }
        prop_assert!(b[n..].iter().all(|x| *x == 0.0));
    }

    #[test]
    fn eigenvectors_rebuild_their_matrix(n in 0_usize..40, seed in any::<u64>()) {
        let noise = random(n * n, seed);
        let matrix: Vec<f64> =
            (0..n * n).map(|k| { let (i, j) = (k / n, k % n); f64::from(noise[i.max(j) * n + i.min(j)]) }).collect();
        let Eigen { values, vectors } = symmetric_eigen(&matrix, n).unwrap();
        prop_assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        for i in 0..n {
            for j in 0..n {
                let rebuilt: f64 = (0..n).map(|k| vectors[i * n + k] * values[k] * vectors[j * n + k]).sum();
                prop_assert!((rebuilt - matrix[i * n + j]).abs() < 1e-10);
                let product: f64 = (0..n).map(|k| vectors[k * n + i] * vectors[k * n + j]).sum();
                prop_assert!((product - f64::from(u8::from(i == j))).abs() < 1e-10);
            }
        }
    }
}

#[test]
fn a_matrix_that_is_not_positive_definite_is_refused_at_its_row() {
    let refused = |row: usize, value: f32| {
        let mut a = vec![0.0; 32 * 32];
        (0..20).for_each(|j| a[j * 32 + j] = 2.0);
        a[row * 32 + row] = value;
        assert_eq!(cholesky(&mut a, 20, 32), Err(NotPositiveDefinite { row }));
    };
    refused(0, 0.0);
    refused(17, -1.0);
    refused(19, f32::NAN);
    refused(3, f32::INFINITY);
}

#[test]
fn a_matrix_that_is_not_finite_has_no_eigenvectors() {
    assert!(symmetric_eigen(&[f64::NAN, 0.0, 0.0, 1.0], 2).is_none());
    let diagonal = symmetric_eigen(&[3.0, 0.0, 0.0, -1.0], 2).unwrap();
    assert_eq!(diagonal.values, [-1.0, 3.0]);
}
