"""NumPy's decompositions, kept from what is not finite, of which LAPACK may make no end; must not know gradients."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

_svd: Any = np.linalg.svd  # has an overload for each truth value


def cholesky(a: Any) -> Any:
    """Return the lower factor. Raises LinAlgError for NaN, too, which NumPy passes on to the last pivot."""
    made = np.linalg.cholesky(a)
    if np.isnan(made[..., -1:, -1:]).any():
        raise LinAlgError("Matrix is not positive definite: NaN among its pivots")
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
