//! The few dense kernels that solving and scoring need, for rows of some dozens to some hundreds of `f32`.
//!
//! Every kernel is compiled for AVX-512, for AVX2 with FMA and for the baseline (on ARM: NEON) and chosen at run time, so
//! one portable binary runs at full speed. Results are the same bits for any number of threads; between machines
//! with different vectors the last bits may differ.
//!
//! Matrices are row-major slices with a *stride*: the row length rounded up to [`LANES`], the rest zero. Symmetric
//! matrices keep their upper triangle only.

mod eigen;
pub mod int8;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use pulp::{Arch, Simd, WithSimd};

pub use eigen::{Eigen, symmetric_eigen};

/// Width the kernels work in; rows are padded to a multiple of it.
pub const LANES: usize = 16;

static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

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
    ARCH.dispatch(DotRows { rows, query, out });
}

/// `x · y`.
///
/// # Panics
/// If the lengths differ.
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    assert_eq!(x.len(), y.len(), "both vectors must have the same length");
    let mut out = [0.0];
    ARCH.dispatch(DotRows { rows: x, query: y, out: &mut out });
    out[0]
}

/// `out[i] = rows[places[i]] · query` for rows of length `query.len()`, tightly packed.
///
/// # Panics
/// If a row is outside, or the lengths of `places` and `out` differ.
pub fn dot_gathered(rows: &[f32], query: &[f32], places: &[u32], out: &mut [f32]) {
    assert_eq!(places.len(), out.len(), "there must be a place for every row");
    ARCH.dispatch(DotGathered { rows, query, places, out });
}

/// Asks the processor to bring the line of the cache with this element, if there is one.
#[inline(always)]
pub fn prefetch<T>(values: &[T], place: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(value) = values.get(place) {
        #[expect(
            unsafe_code,
            reason = "there is no safe form; without it a search for the best 100 of 100,000 × 64 takes a tenth longer"
        )]
        // SAFETY: a prefetch reads nothing, and the address is of an element.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
                std::ptr::from_ref(value).cast(),
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, place);
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
    ARCH.dispatch(AddGram { rows, stride, out });
}

/// Adds `rows·rowsᵀ` to the upper triangle of `out`; `rows` is `[n, width]` with `n` a multiple of 4, `out` is
/// `[≥ n, stride]`. Costs `n²·width/2` multiply-adds. What is written below the diagonal is unspecified.
///
/// # Panics
/// If the shapes do not agree.
pub fn add_row_gram(rows: &[f32], width: usize, stride: usize, out: &mut [f32]) {
    assert!(
        width > 0 && rows.len().is_multiple_of(4 * width),
        "rows must be [n, width] with n a multiple of 4"
    );
    let n = rows.len() / width;
    assert!(n <= stride && out.len() >= n * stride, "out must be [n, stride] with stride at least n");
    ARCH.dispatch(AddRowGram { rows, width, stride, out });
}

/// `out += Σ_r weights[r] · rows[r]` for rows of length `out.len()`, tightly packed.
///
/// # Panics
/// If `rows` is not `[weights.len(), out.len()]`.
pub fn add_weighted_rows(rows: &[f32], weights: &[f32], out: &mut [f32]) {
    assert_eq!(rows.len(), weights.len() * out.len(), "rows must be [weights.len(), out.len()]");
    ARCH.dispatch(AddWeightedRows { rows, weights, out });
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
    ARCH.dispatch(Cholesky { a, n, stride })
}

/// Solves `UᵀU x = b` in place, with `U` from [`cholesky`]: the first `n` elements of `b`, which has `padded(n)`; the
/// rest of it is zero afterwards.
///
/// # Panics
/// If the shapes do not agree.
pub fn cholesky_solve(u: &[f32], n: usize, stride: usize, b: &mut [f32]) {
    assert_eq!(b.len(), padded(n), "b must have padded(n) elements");
    assert!(b.len() <= stride && u.len() >= b.len() * stride, "u must be [padded(n), stride]");
    ARCH.dispatch(CholeskySolve { u, n, stride, b });
}

struct DotRows<'a> {
    rows: &'a [f32],
    query: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for DotRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, query, out } = self;
        let width = query.len();
        if width == 0 {
            out.fill(0.0);
            return;
        }
        let mut fours = rows.chunks_exact(4 * width);
        let mut out_fours = out.chunks_exact_mut(4);
        for (four, out) in (&mut fours).zip(&mut out_fours) {
            out.copy_from_slice(&dots::<S, 4>(simd, four, query));
        }
        for (row, out) in fours.remainder().chunks_exact(width).zip(out_fours.into_remainder()) {
            *out = dots::<S, 1>(simd, row, query)[0];
        }
    }
}

struct DotGathered<'a> {
    rows: &'a [f32],
    query: &'a [f32],
    places: &'a [u32],
    out: &'a mut [f32],
}

impl WithSimd for DotGathered<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, query, places, out } = self;
        let width = query.len();
        for (&place, out) in places.iter().zip(out) {
            let row = &rows[place as usize * width..][..width];
            *out = dots::<S, 1>(simd, row, query)[0];
        }
    }
}

struct AddGram<'a> {
    rows: &'a [f32],
    stride: usize,
    out: &'a mut [f32],
}

impl WithSimd for AddGram<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, stride, out } = self;
        for left in (0..stride).step_by(LANES) {
            update_tiles::<S, true>(simd, rows, stride, left, 0..left + LANES, out);
        }
    }
}

struct Cholesky<'a> {
    a: &'a mut [f32],
    n: usize,
    stride: usize,
}

impl WithSimd for Cholesky<'_> {
    type Output = Result<(), NotPositiveDefinite>;

    /// Left-looking by bands of eight rows: subtract what the finished rows above contribute, then finish the band row
    /// by row. A band's columns start at a multiple of [`LANES`], so some places left of the diagonal are worked on
    /// too; nobody reads them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        const BAND: usize = 8;
        let Self { a, n, stride } = self;
        let width = padded(n);
        for top in (0..n).step_by(BAND) {
            let (above, band) = a.split_at_mut(top * stride);
            let first = top - top % LANES;
            for left in (first..width).step_by(LANES) {
                update_tiles::<S, false>(simd, above, stride, left, top..top + BAND, band);
            }
            for r in 0..BAND.min(n - top) {
                let (done, rest) = band.split_at_mut(r * stride);
                let row = &mut rest[first..width];
                for s in 0..r {
                    let finished = &done[s * stride..][..width];
                    axpy(simd, -finished[top + r], &finished[first..], row);
                }
                let pivot = row[top + r - first];
                // Not `pivot <= 0.0`: a NaN must be refused too.
                if !(pivot > 0.0 && pivot.is_finite()) {
                    return Err(NotPositiveDefinite { row: top + r });
                }
                let scale = 1.0 / pivot.sqrt();
                for value in row.iter_mut() {
                    *value *= scale;
                }
            }
        }
        Ok(())
    }
}

struct CholeskySolve<'a> {
    u: &'a [f32],
    n: usize,
    stride: usize,
    b: &'a mut [f32],
}

impl WithSimd for CholeskySolve<'_> {
    type Output = ();

    /// By blocks of [`LANES`]: the triangle on the diagonal element by element, the rest of the rows in whole vectors.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { u, n, stride, b } = self;
        let width = b.len();
        b[n..].fill(0.0);
        for start in (0..n).step_by(LANES) {
            let end = start + LANES;
            let (block, rest) = b[start..].split_at_mut(LANES);
            for k in start..end.min(n) {
                let row = &u[k * stride..][..width];
                let value = block[k - start] / row[k];
                block[k - start] = value;
                for j in k + 1..end.min(n) {
                    block[j - start] -= row[j] * value;
                }
                axpy(simd, -value, &row[end..], rest);
            }
        }
        b[n..].fill(0.0);
        for start in (0..n).step_by(LANES).rev() {
            let end = start + LANES;
            let (block, rest) = b[start..].split_at_mut(LANES);
            for k in start..end.min(n) {
                let [sum] = dots::<S, 1>(simd, &u[k * stride..][end..width], rest);
                block[k - start] -= sum;
            }
            // Column by column, so that the divisions wait for one another and nothing else does.
            for k in (start..end.min(n)).rev() {
                let value = block[k - start] / u[k * stride + k];
                block[k - start] = value;
                for j in start..k {
                    block[j - start] -= u[j * stride + k] * value;
                }
            }
        }
    }
}

struct AddRowGram<'a> {
    rows: &'a [f32],
    width: usize,
    stride: usize,
    out: &'a mut [f32],
}

impl WithSimd for AddRowGram<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, width, stride, out } = self;
        let n = rows.len() / width;
        for left in (0..n).step_by(4) {
            let right = &rows[left * width..][..4 * width];
            for (top, above) in rows.chunks_exact(width).take(left + 4).enumerate() {
                let products = dots::<S, 4>(simd, right, above);
                for (o, product) in out[top * stride + left..][..4].iter_mut().zip(products) {
                    *o += product;
                }
            }
        }
    }
}

struct AddWeightedRows<'a> {
    rows: &'a [f32],
    weights: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for AddWeightedRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (row, &weight) in self.rows.chunks_exact(self.out.len().max(1)).zip(self.weights) {
            axpy(simd, weight, row, self.out);
        }
    }
}

/// `out[i − tops.start, left..left + LANES] ∓= Σ_rows row[i] · row[left..left + LANES]` for `i` in `tops`: added if
/// `ADD`, else subtracted. The tile's shape fills the registers of the machine.
#[inline(always)]
fn update_tiles<S: Simd, const ADD: bool>(
    simd: S,
    rows: &[f32],
    stride: usize,
    left: usize,
    tops: std::ops::Range<usize>,
    out: &mut [f32],
) {
    let first = tops.start;
    match S::F32_LANES {
        16 => {
            for top in tops.step_by(8) {
                tile::<S, 8, 1, ADD>(simd, rows, stride, left, top, &mut out[(top - first) * stride..]);
            }
        }
        8 => {
            for top in tops.step_by(4) {
                tile::<S, 4, 2, ADD>(simd, rows, stride, left, top, &mut out[(top - first) * stride..]);
            }
        }
        4 => {
            for top in tops.step_by(4) {
                tile::<S, 4, 4, ADD>(simd, rows, stride, left, top, &mut out[(top - first) * stride..]);
            }
        }
        _ => {
            for top in tops {
                tile::<S, 1, LANES, ADD>(simd, rows, stride, left, top, &mut out[(top - first) * stride..]);
            }
        }
    }
}

/// `HEIGHT × LANES` sums over all rows, held in registers; `VECTORS` vectors make [`LANES`].
#[inline(always)]
fn tile<S: Simd, const HEIGHT: usize, const VECTORS: usize, const ADD: bool>(
    simd: S,
    rows: &[f32],
    stride: usize,
    left: usize,
    top: usize,
    out: &mut [f32],
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; HEIGHT];
    for row in rows.chunks_exact(stride) {
        let a: &[f32; HEIGHT] = row[top..top + HEIGHT].try_into().expect("the slice has HEIGHT elements");
        let (b, _) = S::as_simd_f32s(&row[left..left + LANES]);
        for r in 0..HEIGHT {
            let a = simd.splat_f32s(a[r]);
            for v in 0..VECTORS {
                sums[r][v] = simd.mul_add_e_f32s(a, b[v], sums[r][v]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let (out, _) = S::as_mut_simd_f32s(&mut out[r * stride + left..][..LANES]);
        for (o, &sum) in out.iter_mut().zip(sums) {
            *o = if ADD { simd.add_f32s(*o, sum) } else { simd.sub_f32s(*o, sum) };
        }
    }
}

/// `ROWS` dot products at once: independent sums hide the latency of the additions.
#[inline(always)]
fn dots<S: Simd, const ROWS: usize>(simd: S, rows: &[f32], query: &[f32]) -> [f32; ROWS] {
    let width = query.len();
    let (q, q_rest) = S::as_simd_f32s(query);
    let rows: [(&[S::f32s], &[f32]); ROWS] = std::array::from_fn(|r| {
        let (vectors, rest) = S::as_simd_f32s(&rows[r * width..(r + 1) * width]);
        (&vectors[..q.len()], rest)
    });
    let mut sums = [simd.splat_f32s(0.0); ROWS];
    for (at, &q) in q.iter().enumerate() {
        for r in 0..ROWS {
            sums[r] = simd.mul_add_e_f32s(rows[r].0[at], q, sums[r]);
        }
    }
    let mut products = [0.0; ROWS];
    for r in 0..ROWS {
        products[r] = simd.reduce_sum_f32s(sums[r]);
        for (x, q) in rows[r].1.iter().zip(q_rest) {
            products[r] += x * q;
        }
    }
    products
}

/// `out += weight · row`.
#[inline(always)]
fn axpy<S: Simd>(simd: S, weight: f32, row: &[f32], out: &mut [f32]) {
    debug_assert_eq!(row.len(), out.len());
    let weights = simd.splat_f32s(weight);
    let (row, row_rest) = S::as_simd_f32s(row);
    let (out, out_rest) = S::as_mut_simd_f32s(out);
    for (o, &r) in out.iter_mut().zip(row) {
        *o = simd.mul_add_e_f32s(weights, r, *o);
    }
    for (o, &r) in out_rest.iter_mut().zip(row_rest) {
        *o += weight * r;
    }
}
