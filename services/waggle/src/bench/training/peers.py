"""implicit and scipy, asked line by line over standard input; answers in JSON on standard output.

The training pairs lie as plain arrays in the folder that is the only argument: `indptr.i64` and `items.i32` of the rows of
users. Factors are written there.
"""

import json
import sys
import time

import implicit
import numpy as np
import scipy
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

folder, n_items, n_threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
indptr = np.fromfile(f"{folder}/indptr.i64", dtype="<i8")
items = np.fromfile(f"{folder}/items.i32", dtype="<i4")
pairs = scipy.sparse.csr_matrix(
    (np.ones(len(items), dtype=np.float32), items, indptr), shape=(len(indptr) - 1, n_items)
)


def ials(factors, iterations, alpha, regularization):
    """Two threads over rows, each with a BLAS of one, as implicit asks for."""
    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=factors,
            iterations=iterations,
            alpha=alpha,
            regularization=regularization,
            num_threads=n_threads,
            dtype=np.float32,
            random_state=42,
        )
        started = time.perf_counter()
        model.fit(pairs, show_progress=False)
        fit_s = time.perf_counter() - started
    model.user_factors.tofile(f"{folder}/users.f32")
    model.item_factors.tofile(f"{folder}/items.f32")
    return {"fit_s": fit_s, "version": implicit.__version__}


def inverse(n):
    """Of the regularised Gram matrix of the first n items; the upper triangle, as LAPACK gives it."""
    part = pairs[:, :n]
    gram = np.asfortranarray((part.T @ part).toarray(), dtype=np.float32)
    gram[np.diag_indices(n)] += 100.0
    started = time.perf_counter()
    factor, info = lapack.spotrf(gram, lower=0, overwrite_a=1, clean=0)
    if info == 0:
        factor, info = lapack.spotri(factor, lower=0, overwrite_c=1)
    fit_s = time.perf_counter() - started
    if info != 0:
        raise ValueError(f"LAPACK says {info}")
    return {"fit_s": fit_s, "version": scipy.__version__}


asked = {"ials": ials, "inverse": inverse}

for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = asked[question.pop("do")](**question)
    except Exception as error:  # whatever it is, the other side says it
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
