"""Decompositions on the host, kept from what is not finite, of which LAPACK may make no end; must not know gradients."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from gradcore.backends import shared

_svd: Any = np.linalg.svd  # has an overload for each truth value


def cholesky(a: Any) -> Any:
    """Return the lower factor. Raises LinAlgError for NaN, too, which NumPy passes on to the last pivot, and for what
    would be divided by infinite pivots, which NumPy takes for zeros."""
    made = np.linalg.cholesky(a)
    pivots = np.diagonal(made, axis1=-2, axis2=-1)
    if np.isnan(pivots[..., -1:]).any() or np.isinf(pivots[..., :-1]).any():
        raise LinAlgError("Matrix is not positive definite: NaN or infinity among its pivots")
    return made


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Return U, S, Vh, or S alone. Raises LinAlgError for NaN; of a matrix with infinities all is NaN."""
    finite = np.isfinite(a)
    if finite.all():
        return _svd(a, full_matrices, compute_uv)
    if np.isnan(a).any():
        raise LinAlgError("SVD of NaN")
    u, s, vh = _svd(np.where(finite, a, 0), full_matrices)
    spoilt = np.where(finite.all((-2, -1), keepdims=True), s.dtype.type(1), np.nan)
    return (u * spoilt, s * spoilt[..., 0], vh * spoilt) if compute_uv else s * spoilt[..., 0]


def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """Return (solution, residuals, rank, singular values) of one least-squares problem. Raises LinAlgError for NaN."""
    if not np.isfinite(a).all():
        raise LinAlgError("least squares with what is not finite")
    return np.linalg.lstsq(a, b, rcond)


def solve_triangular(F: Any, a: Any, b: Any, lower: bool) -> Any:
    """Return the solution of a @ out = b for triangular `a`. Raises LinAlgError for a zero on the diagonal.

    By SciPy's LAPACK, which gets `a` transposed: so its columns are contiguous, as it wants them.
    """
    trtrs = _scipy("trtrs", a.dtype.char)
    if trtrs is None or not b.size:
        return shared.solve_triangular(F, a, b, lower)
    out = np.empty(b.shape, b.dtype)
    for at in np.ndindex(a.shape[:-2]):
        out[at], singular = trtrs(a[at].T, b[at], lower=not lower, trans=1)
        if singular:
            raise LinAlgError("Singular matrix")
    return out


def eliminate(F: Any, a: Any, pivot: bool) -> tuple[Any, Any, Any]:
    """Return what the function of this name in shared.py does, by SciPy's LAPACK where it is installed."""
    getrf = _scipy("getrf", a.dtype.char)
    if getrf is None or not a.size or not np.isfinite(a).all():
        return shared.eliminate(F, a, pivot)
    factors, rows = np.empty(a.shape, a.dtype), np.empty(a.shape[:-1], "i8")
    pivots = np.empty((*a.shape[:-2], min(a.shape[-2:])), "i4")
    for at in np.ndindex(a.shape[:-2]):
        factors[at], exchanged, _ = getrf(a[at])
        order = list(range(a.shape[-2]))
        for i, p in enumerate(exchanged.tolist()):
            order[i], order[p] = order[p], order[i]
        pivots[at], rows[at] = exchanged, order
    if not pivot and (pivots != np.arange(pivots.shape[-1])).any():
        return shared.eliminate(F, a, pivot)
    return factors, pivots, rows


def ldl(a: Any, hermitian: bool) -> tuple[Any, Any, Any]:
    """Return the factors of symmetric (`hermitian`) matrices, of which it reads the lower triangle, LAPACK's pivots, and
    the number of the first zero on the diagonal. Raises ImportError without SciPy."""
    factorise = _needed("hetrf" if hermitian and a.dtype.kind == "c" else "sytrf", a.dtype.char)
    factors, pivots, info = np.empty(a.shape, a.dtype), np.empty(a.shape[:-1], "i4"), np.empty(a.shape[:-2], "i4")
    for at in np.ndindex(a.shape[:-2]):
        if a.shape[-1]:
            factors[at], pivots[at], info[at] = factorise(a[at], lower=1)
        else:
            info[at] = 0
    return np.tril(factors), pivots, info


def ldl_solve(factors: Any, pivots: Any, b: Any, hermitian: bool) -> Any:
    """Return the solutions for the factors that `ldl` made. Raises ImportError without SciPy."""
    solve = _needed("hetrs" if hermitian and b.dtype.kind == "c" else "sytrs", b.dtype.char)
    out = np.empty(b.shape, b.dtype)
    for at in np.ndindex(b.shape[:-2]):
        if out[at].size:
            out[at], _ = solve(factors[at], pivots[at], b[at], lower=1)
    return out


def _needed(function: str, kind: str) -> Callable[..., Any]:
    found = _scipy(function, kind)
    if found is None:
        raise ImportError(f"LAPACK's {function} comes with SciPy: pip install scipy")
    return found


@cache
def _scipy(function: str, kind: str) -> Callable[..., Any] | None:
    """A function of LAPACK's for a kind of numbers, None without SciPy."""
    try:
        from scipy.linalg import lapack  # here, not above: it takes longer than importing gradcore
    except ImportError:
        return None
    letter = {"f": "s", "d": "d", "F": "c", "D": "z"}.get(kind)
    return getattr(lapack, letter + function) if letter else None
