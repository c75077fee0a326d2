//! Eigenvalues and eigenvectors of a small symmetric matrix, in `f64`.

/// `matrix = vectors · diag(values) · vectorsᵀ`.
#[derive(Debug, Clone)]
pub struct Eigen {
    /// Ascending.
    pub values: Vec<f64>,
    /// `[n, n]`, row-major; column `j` belongs to `values[j]`.
    pub vectors: Vec<f64>,
}

/// Householder tridiagonalisation, then implicit QL (Wilkinson and Reinsch 1971, *tred2* and *tql2*). `O(n³)`.
///
/// `matrix` is `[n, n]`, row-major; only its lower triangle is read. `None` when QL does not converge, which takes NaN
/// or infinite input.
///
/// # Panics
/// If `matrix` is not `[n, n]`.
pub fn symmetric_eigen(matrix: &[f64], n: usize) -> Option<Eigen> {
    assert_eq!(matrix.len(), n * n, "matrix must be [n, n]");
    if n == 0 {
        return Some(Eigen { values: Vec::new(), vectors: Vec::new() });
    }
    // Transposed storage (`v[j][i]` is component i of vector j) keeps every inner loop contiguous.
    let mut v: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| matrix[i.max(j) * n + i.min(j)]).collect()).collect();
    if v.iter().flatten().any(|x| !x.is_finite()) {
        return None;
    }
    let (mut d, mut e) = (vec![0.0; n], vec![0.0; n]);
    tridiagonalise(&mut v, &mut d, &mut e);
    implicit_ql(&mut v, &mut d, &mut e)?;

    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| d[a].total_cmp(&d[b]).then(a.cmp(&b)));
    let mut vectors = vec![0.0; n * n];
    for (column, &from) in order.iter().enumerate() {
        // A fixed sign, so that equal input gives equal factors whatever the rounding on the way.
        let largest =
            v[from].iter().copied().fold(0.0_f64, |best, x| if x.abs() > best.abs() { x } else { best });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        for (i, x) in v[from].iter().enumerate() {
            vectors[i * n + column] = sign * x;
        }
    }
    Some(Eigen { values: order.iter().map(|&i| d[i]).collect(), vectors })
}

/// On return `d` is the diagonal, `e[1..]` the sub-diagonal, and `v[j]` the j-th column of the orthogonal transform.
fn tridiagonalise(v: &mut [Vec<f64>], d: &mut [f64], e: &mut [f64]) {
    let n = d.len();
    for j in 0..n {
        d[j] = v[j][n - 1];
    }
    for i in (1..n).rev() {
        let scale: f64 = d[..i].iter().map(|x| x.abs()).sum();
        let mut h = 0.0;
        if scale == 0.0 {
            e[i] = d[i - 1];
            for j in 0..i {
                d[j] = v[j][i - 1];
                v[j][i] = 0.0;
                v[i][j] = 0.0;
            }
        } else {
            for x in &mut d[..i] {
                *x /= scale;
                h += *x * *x;
            }
            let f = d[i - 1];
            let g = if f > 0.0 { -h.sqrt() } else { h.sqrt() };
            e[i] = scale * g;
            h -= f * g;
            d[i - 1] = f - g;
            e[..i].fill(0.0);
            for j in 0..i {
                let f = d[j];
                v[i][j] = f;
                let mut g = e[j] + v[j][j] * f;
                for k in j + 1..i {
                    g += v[j][k] * d[k];
                    e[k] += v[j][k] * f;
                }
                e[j] = g;
            }
            let mut f = 0.0;
            for j in 0..i {
                e[j] /= h;
                f += e[j] * d[j];
            }
            let hh = f / (h + h);
            for j in 0..i {
                e[j] -= hh * d[j];
            }
            for j in 0..i {
                let (f, g) = (d[j], e[j]);
                for k in j..i {
                    v[j][k] -= f * e[k] + g * d[k];
                }
                d[j] = v[j][i - 1];
                v[j][i] = 0.0;
            }
        }
        d[i] = h;
    }
    for i in 0..n - 1 {
        v[i][n - 1] = v[i][i];
        v[i][i] = 1.0;
        let h = d[i + 1];
        if h != 0.0 {
            let reflector: Vec<f64> = v[i + 1][..=i].to_vec();
            for (x, r) in d.iter_mut().zip(&reflector) {
                *x = r / h;
            }
            for column in &mut v[..=i] {
                let g: f64 = reflector.iter().zip(&column[..]).map(|(r, x)| r * x).sum();
                for (x, d) in column[..=i].iter_mut().zip(&d[..=i]) {
                    *x -= g * d;
                }
            }
        }
        v[i + 1][..=i].fill(0.0);
    }
    for j in 0..n {
        d[j] = v[j][n - 1];
        v[j][n - 1] = 0.0;
    }
    v[n - 1][n - 1] = 1.0;
    e[0] = 0.0;
}

/// Diagonalises the tridiagonal form, carrying the vectors along.
fn implicit_ql(v: &mut [Vec<f64>], d: &mut [f64], e: &mut [f64]) -> Option<()> {
    const MAX_SWEEPS: usize = 60;
    let n = d.len();
    e.rotate_left(1);
    e[n - 1] = 0.0;
    let (mut shift, mut magnitude) = (0.0, 0.0_f64);
    for l in 0..n {
        magnitude = magnitude.max(d[l].abs() + e[l].abs());
        let m = (l..n).find(|&m| e[m].abs() <= f64::EPSILON * magnitude).unwrap_or(n - 1);
        let mut sweeps = 0;
        while m > l && e[l].abs() > f64::EPSILON * magnitude {
            sweeps += 1;
            if sweeps > MAX_SWEEPS {
                return None;
            }
            let mut g = d[l];
            let mut p = (d[l + 1] - g) / (2.0 * e[l]);
            let r = if p < 0.0 { -p.hypot(1.0) } else { p.hypot(1.0) };
            d[l] = e[l] / (p + r);
            d[l + 1] = e[l] * (p + r);
            let next = d[l + 1];
            let mut h = g - d[l];
            for x in &mut d[l + 2..] {
                *x -= h;
            }
            shift += h;
            p = d[m];
            let (mut c, mut c2, mut c3) = (1.0, 1.0, 1.0);
            let after = e[l + 1];
            let (mut s, mut s2) = (0.0, 0.0);
            for i in (l..m).rev() {
                c3 = c2;
                c2 = c;
                s2 = s;
                g = c * e[i];
                h = c * p;
                let r = p.hypot(e[i]);
                e[i + 1] = s * r;
                s = e[i] / r;
                c = p / r;
                p = c * d[i] - s * g;
                d[i + 1] = h + s * (c * g + s * d[i]);
                let (low, high) = v.split_at_mut(i + 1);
                for (a, b) in low[i].iter_mut().zip(&mut high[0]) {
                    let h = *b;
                    *b = s * *a + c * h;
                    *a = c * *a - s * h;
                }
            }
            p = -s * s2 * c3 * after * e[l] / next;
            e[l] = s * p;
            d[l] = c * p;
        }
        d[l] += shift;
        e[l] = 0.0;
    }
    Some(())
}
