//! The few dense kernels that solving and scoring need, for rows of some dozens to some hundreds of `f32`.
//!
//! Every kernel is compiled three times (AVX-512, AVX2 with FMA, the baseline) and chosen when first called, so one
//! portable binary runs at full speed. Results are the same bits for any number of threads; between machines with
//! and without FMA the last bits may differ.
//!
//! Matrices are row-major slices with a *stride*: the row length rounded up to [`LANES`], the rest zero. Symmetric
//! matrices keep their upper triangle only.

mod eigen;
#[cfg(test)]
mod tests;

use multiversion::{multiversion, target::target_cfg_f};

pub use eigen::{Eigen, symmetric_eigen};

/// Width the kernels work in; rows are padded to a multiple of it.
pub const LANES: usize = 16;

/// The matrix is not positive definite at this row (or holds a NaN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system is not positive definite at row {row}")]
pub struct NotPositiveDefinite {
    pub row: usize,
}

/// `n` rounded up to a multiple of [`LANES`].
pub const fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// `out[r] = rows[r] · query` for rows of length `query.len()`, tightly packed.
///
/// # Panics
/// If `rows` is not `[out.len(), query.len()]`.
pub fn dot_rows(rows: &[f32], query: &[f32], out: &mut [f32]) {
    assert_eq!(rows.len(), query.len() * out.len(), "rows must be [out.len(), query.len()]");
    dot_rows_kernel(rows, query, out);
}

/// `x · y`.
///
/// # Panics
/// If the lengths differ.
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    assert_eq!(x.len(), y.len(), "both vectors must have the same length");
    let mut out = [0.0];
    dot_rows_kernel(x, y, &mut out);
    out[0]
}

/// Adds `rowsᵀ·rows` to the upper triangle of `out`; `rows` is `[n, stride]`, `out` is `[stride, stride]`.
///
/// Costs `n·stride²/2` multiply-adds. What is written below the diagonal is unspecified.
///
/// # Panics
/// If the shapes do not agree or `stride` is no multiple of [`LANES`].
pub fn add_gram(rows: &[f32], stride: usize, out: &mut [f32]) {
    assert!(stride.is_multiple_of(LANES) && stride > 0, "stride must be a multiple of {LANES}");
    assert!(rows.len().is_multiple_of(stride), "rows must be [n, stride]");
    assert_eq!(out.len(), stride * stride, "out must be [stride, stride]");
    add_gram_kernel(rows, stride, out);
}

/// Replaces the upper triangle of `a` by `U` with `UᵀU = a` (Cholesky), for the leading `n` rows.
///
/// `a` is `[≥ n, stride]` with finite values; columns from `n` to the stride are carried along and must be finite.
/// Costs `n³/6` multiply-adds.
///
/// # Errors
/// [`NotPositiveDefinite`] when a pivot is not greater than zero; `a` is then half overwritten.
///
/// # Panics
/// If the shapes do not agree.
pub fn cholesky(a: &mut [f32], n: usize, stride: usize) -> Result<(), NotPositiveDefinite> {
    assert!(
        stride.is_multiple_of(LANES) && n <= stride,
        "stride must be a multiple of {LANES} and at least n"
    );
    assert!(a.len() >= padded(n) * stride, "a must have padded(n) rows");
    cholesky_kernel(a, n, stride).map_or(Ok(()), |row| Err(NotPositiveDefinite { row }))
}

/// Solves `UᵀU x = b` in place, with `U` from [`cholesky`].
///
/// # Panics
/// If the shapes do not agree.
pub fn cholesky_solve(u: &[f32], stride: usize, b: &mut [f32]) {
    assert!(b.len() <= stride && u.len() >= b.len() * stride, "u must be [≥ b.len(), stride]");
    cholesky_solve_kernel(u, stride, b);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn dot_rows_kernel(rows: &[f32], query: &[f32], out: &mut [f32]) {
    const FMA: bool = target_cfg_f!(target_feature = "fma");
    let width = query.len();
    if width == 0 {
        out.fill(0.0);
        return;
    }
    let mut fours = rows.chunks_exact(4 * width);
    let mut out_fours = out.chunks_exact_mut(4);
    for (four, out) in (&mut fours).zip(&mut out_fours) {
        out.copy_from_slice(&dot_of::<4, FMA>(four, query));
    }
    for (row, out) in fours.remainder().chunks_exact(width).zip(out_fours.into_remainder()) {
        *out = dot_of::<1, FMA>(row, query)[0];
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_gram_kernel(rows: &[f32], stride: usize, out: &mut [f32]) {
    const FMA: bool = target_cfg_f!(target_feature = "fma");
    const HEIGHT: usize = if target_cfg_f!(target_feature = "avx512f") { 8 } else { 4 };
    for top in (0..stride).step_by(HEIGHT) {
        for left in (top - top % LANES..stride).step_by(LANES) {
            let tile = gram_tile::<HEIGHT, FMA>(rows, stride, top, left);
            for (r, sums) in tile.iter().enumerate() {
                let place = (top + r) * stride + left;
                for (o, s) in out[place..place + LANES].iter_mut().zip(sums) {
                    *o += s;
                }
            }
        }
    }
}

/// Left-looking by bands of `HEIGHT` rows: subtract what the finished rows above contribute (one Gram tile each), then
/// finish the band row by row. The band's columns start at a multiple of [`LANES`], so up to `LANES − 1` places left
/// of the diagonal are worked on too; nobody reads them.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn cholesky_kernel(a: &mut [f32], n: usize, stride: usize) -> Option<usize> {
    const FMA: bool = target_cfg_f!(target_feature = "fma");
    const HEIGHT: usize = if target_cfg_f!(target_feature = "avx512f") { 8 } else { 4 };
    let width = padded(n);
    for top in (0..n).step_by(HEIGHT) {
        let (above, band) = a.split_at_mut(top * stride);
        let first = top - top % LANES;
        for left in (first..width).step_by(LANES) {
            let tile = gram_tile::<HEIGHT, FMA>(above, stride, top, left);
            for (r, sums) in tile.iter().enumerate() {
                for (o, s) in band[r * stride + left..][..LANES].iter_mut().zip(sums) {
                    *o -= s;
                }
            }
        }
        for r in 0..HEIGHT.min(n - top) {
            let (done, rest) = band.split_at_mut(r * stride);
            let row = &mut rest[first..width];
            for s in 0..r {
                let finished = &done[s * stride..][..width];
                axpy::<FMA>(-finished[top + r], &finished[first..], row);
            }
            let pivot = row[top + r - first];
            // Not `pivot <= 0.0`: a NaN must be refused too.
            if !(pivot > 0.0 && pivot.is_finite()) {
                return Some(top + r);
            }
            let scale = 1.0 / pivot.sqrt();
            for value in row.iter_mut() {
                *value *= scale;
            }
        }
    }
    None
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn cholesky_solve_kernel(u: &[f32], stride: usize, b: &mut [f32]) {
    const FMA: bool = target_cfg_f!(target_feature = "fma");
    let n = b.len();
    for k in 0..n {
        let row = &u[k * stride..][..n];
        b[k] /= row[k];
        let value = b[k];
        axpy::<FMA>(-value, &row[k + 1..], &mut b[k + 1..]);
    }
    for k in (0..n).rev() {
        let row = &u[k * stride..][..n];
        let [sum] = dot_of::<1, FMA>(&row[k + 1..], &b[k + 1..]);
        b[k] = (b[k] - sum) / row[k];
    }
}

/// `rows[.., top..top + HEIGHT]ᵀ · rows[.., left..left + LANES]`, held in registers over all rows.
#[inline(always)]
fn gram_tile<const HEIGHT: usize, const FMA: bool>(
    rows: &[f32],
    stride: usize,
    top: usize,
    left: usize,
) -> [[f32; LANES]; HEIGHT] {
    let mut sums = [[0.0_f32; LANES]; HEIGHT];
    for row in rows.chunks_exact(stride) {
        let a: &[f32; HEIGHT] = row[top..top + HEIGHT].try_into().expect("the slice has HEIGHT elements");
        let b: &[f32; LANES] = row[left..left + LANES].try_into().expect("the slice has LANES elements");
        for (sums, &a) in sums.iter_mut().zip(a) {
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = multiply_add::<FMA>(a, b, *sum);
            }
        }
    }
    sums
}

/// `ROWS` dot products at once, each in [`LANES`] independent sums that are added up in a fixed tree.
#[inline(always)]
fn dot_of<const ROWS: usize, const FMA: bool>(rows: &[f32], query: &[f32]) -> [f32; ROWS] {
    let width = query.len();
    let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &rows[r * width..(r + 1) * width]);
    let mut sums = [[0.0_f32; LANES]; ROWS];
    let whole = width - width % LANES;
    for at in (0..whole).step_by(LANES) {
        let q: &[f32; LANES] = query[at..at + LANES].try_into().expect("the slice has LANES elements");
        for (sums, row) in sums.iter_mut().zip(rows) {
            let x: &[f32; LANES] = row[at..at + LANES].try_into().expect("the slice has LANES elements");
            for ((sum, &x), &q) in sums.iter_mut().zip(x).zip(q) {
                *sum = multiply_add::<FMA>(x, q, *sum);
            }
        }
    }
    for (sums, row) in sums.iter_mut().zip(rows) {
        for ((sum, &x), &q) in sums.iter_mut().zip(&row[whole..]).zip(&query[whole..]) {
            *sum = multiply_add::<FMA>(x, q, *sum);
        }
    }
    sums.map(|mut sums| {
        let mut half = LANES / 2;
        while half > 0 {
            let (low, high) = sums.split_at_mut(half);
            for (l, h) in low.iter_mut().zip(high) {
                *l += *h;
            }
            half /= 2;
        }
        sums[0]
    })
}

/// `out += weight · row`.
#[inline(always)]
fn axpy<const FMA: bool>(weight: f32, row: &[f32], out: &mut [f32]) {
    debug_assert_eq!(row.len(), out.len());
    for (o, &r) in out.iter_mut().zip(row) {
        *o = multiply_add::<FMA>(weight, r, *o);
    }
}

/// `a·b + c`, fused where the target has the instruction: elsewhere `mul_add` would be a slow library call.
#[inline(always)]
fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
