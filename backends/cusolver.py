"""Solutions and decompositions by cuSOLVER, which reports failure only when asked; must not know gradients."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import cupy as cp
import cupyx
import numpy as np

from gradcore.backends.graphs import refuse


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*operands: Any, **options: Any) -> Any:
        refuse("a decomposition by cuSOLVER")
        with cupyx.errstate(linalg="raise"):
            return function(*operands, **options)

    return call


inv = checked(cp.linalg.inv)
cholesky = checked(cp.linalg.cholesky)
eigh = checked(cp.linalg.eigh)
eigvalsh = checked(cp.linalg.eigvalsh)
svd = checked(cp.linalg.svd)
qr = checked(cp.linalg.qr)
eig = checked(cp.linalg.eig)
eigvals = checked(cp.linalg.eigvals)


@checked
def solve(a: Any, b: Any) -> Any:
    """Return x with a @ x = b, batched over axes that broadcast; a one-dimensional `b` is a vector."""
    if b.ndim > 1:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = cp.broadcast_to(a, batch + a.shape[-2:]), cp.broadcast_to(b, batch + b.shape[-2:])
        if b.size == 0:  # of which CuPy divides by zero
            return cp.empty(b.shape, np.result_type(a.dtype, b.dtype))
    return cp.linalg.solve(a, b)


@checked
def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """Return (solution, residuals, rank, singular values) of one least-squares problem."""
    return cp.linalg.lstsq(a, b, rcond)


@checked
def pinv(a: Any, rcond: Any = 1e-15) -> Any:
    """Return the Moore-Penrose inverse; singular values up to rcond times the largest count as zero."""
    return cp.linalg.pinv(a, rcond)
