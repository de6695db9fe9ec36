"""The same operands for gradcore and torch, and one look at both results. It must not know any operation.

Import it after `pytest.importorskip("torch")`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

REAL = ["float64", "float32", "float16", "bfloat16"]
COMPLEX = ["complex128", "complex64"]
WHOLE = ["bool", "uint8", "int8", "int16", "int32", "int64"]
TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5, "complex64": 1e-5}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 2.0, math.inf, -math.inf, math.nan]


def numbers(rng: np.random.Generator, dtype: str, n: int = 5, *, positive: bool = False) -> Any:
    """Fresh numbers of a dtype (float32 for bfloat16), the first ones special."""
    if dtype == "bool":
        return rng.uniform(size=n) < 0.5
    if dtype in WHOLE:
        return rng.integers(1 if positive else 0 if dtype == "uint8" else -5, 6, size=n).astype(dtype)
    if dtype in COMPLEX:
        return (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(dtype)
    x = 2 * rng.normal(size=n)
    x[:3] = rng.choice(SPECIAL[:-2] if positive else SPECIAL, size=3)
    return x.astype("float32" if dtype == "bfloat16" else dtype)


def tensor_of(m: Any, values: Any, dtype: str, grad: bool = False) -> Any:
    made = m.tensor(values, dtype=getattr(m, dtype))
    return made.requires_grad_() if grad else made


def host(x: Any) -> Any:
    """The values as a NumPy array, bfloat16 as float32."""
    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    x = np.asarray(x.detach())
    return x.astype("f4") if x.dtype.name == "bfloat16" else x


def outcome(f: Callable[..., Any], m: Any, *args: Any) -> Any:
    try:
        return f(m, *args)
    except Exception as error:
        return error


def assert_same(ours: Any, theirs: Any, what: str) -> None:
    """The same error type (or a subclass), or the same dtype, shape and values."""
    if isinstance(theirs, Exception):
        assert isinstance(ours, type(theirs)) or (isinstance(ours, RuntimeError) and isinstance(theirs, RuntimeError)), (
            f"{what}: torch raises {theirs!r}, we have {ours!r}"
        )
        return
    assert not isinstance(ours, Exception), f"{what}: torch has {theirs}, we raise {ours!r}"
    dtype = str(theirs.dtype).removeprefix("torch.")
    assert str(ours.dtype).removeprefix("torch.") == dtype, what
    tolerance = TOLERANCE.get(dtype, 1e-10 if dtype in (*REAL, *COMPLEX) else 0)
    np.testing.assert_allclose(host(ours), host(theirs), tolerance, tolerance, err_msg=what)
