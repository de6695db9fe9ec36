"""Every function and ufunc of NumPy's, on tensors and in functions of plain arrays: it computes what NumPy does, with the
derivative that differences have, or refuses. It must not know which does what."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import func

RNG = np.random.default_rng()
A, B, V, W = (RNG.uniform(0.3, 1.7, shape) for shape in ((3, 3), (3, 3), 4, 4))

# How functions may be called with one array and others; what NumPy itself does not take is left out.
CALLS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "matrix": (lambda f, x: f(x), A),
    "vector": (lambda f, x: f(x), V),
    "batch": (lambda f, x: f(x), np.stack([A, B])),
    "first": (lambda f, x: f(x, B.copy()), A),
    "second": (lambda f, x: f(B.copy(), x), A),
    "vectors": (lambda f, x: f(x, W.copy()), V),
    "of three": (lambda f, x: f(W > 1, np.cumsum(x), W.copy()), V),  # ascending, for np.interp
    "with itself": (lambda f, x: f(x, x), A),
    "and a number": (lambda f, x: f(x, 1), A),
    "a number and": (lambda f, x: f(2, x), V),
    "a fraction": (lambda f, x: f(x, 0.5), V),
    "a shape": (lambda f, x: f(x, (3, 3)), A),
    "places": (lambda f, x: f(x, [0, 2]), V),
    "four places": (lambda f, x: f(x, [1, 2, 3, 4]), V),
    "list": (lambda f, x: f([x, B.copy()]), A),
    "tuple": (lambda f, x: f((x, W.copy())), V),
    "axis": (lambda f, x: f(x, axis=0), A),
    "keepdims": (lambda f, x: f(x, axis=-1, keepdims=True), A),
    "axes": (lambda f, x: f(x, axis=(0, 1)), A),
    "where": (lambda f, x: f(x, axis=0, where=B > 1), A),
    "initial": (lambda f, x: f(x, initial=0.7), V),
    "positive definite": (lambda f, x: f(x @ x.T + 3 * np.eye(3)), A),
    "complex": (lambda f, x: f(x + 1j * x**2), V),
    "ddof": (lambda f, x: f(x, ddof=1), V),
    "k": (lambda f, x: f(x, k=1), A),
    "n": (lambda f, x: f(x, n=5), V),
    "condition": (lambda f, x: f(x > 1, x), V),
    "bounds": (lambda f, x: f(x, 0.6, 1.2), V),
    "subscripts": (lambda f, x: f("ij,jk", x, B), A),
    "descending": (lambda f, x: f(x, np.sort(W)[::-1]), V),
}
OF_ARRAYS_ALONE = ("first", "second", "vectors", "with itself", "and a number", "a number and", "condition")


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    seen = set()
    for prefix, module in (("", np), ("linalg.", np.linalg), ("fft.", np.fft)):
        for name in sorted(dir(module)):
            found = getattr(module, name)
            if id(found) in seen:  # under another name
                continue
            seen.add(id(found))
            if isinstance(found, np.ufunc):
                yield prefix + name, found
                for method in ("reduce", "accumulate", "outer", "reduceat"):
                    yield f"{prefix}{name}.{method}", getattr(found, method)
            elif hasattr(found, "_implementation") and not name.startswith("save"):
                yield prefix + name, found


FUNCTIONS = dict(functions())
# What NumPy leaves open, reads only a part of, or has no derivative in torch either; and orders that differ.
SPARED = {
    "empty_like": "memory", "nextafter": "no derivative", "nextafter.outer": "no derivative", "linalg.eigh": "a triangle",
    "linalg.eigvalsh": "a triangle", "unique_values": "order", "setdiff1d": "dtype", "linalg.cholesky": "a triangle",
    "logical_and.reduce": "objects", "logical_or.reduce": "objects", "logical_and.accumulate": "objects",
    "logical_or.accumulate": "objects", "linalg.svd": "signs", "linalg.eig": "phases", "may_share_memory": "",
    "shares_memory": "", "broadcast_arrays": "dtype", "meshgrid": "dtype", "poly": "dtype", "ones_like": "lists",
    "zeros_like": "lists", "imag": "lists", "fix": "lists", "linalg.eigvals": "real ones stay complex on tensors",
    "roots": "order",
}  # fmt: skip
REFUSALS = (TypeError, NotImplementedError, RuntimeError, ValueError, IndexError)


def flat(result: Any) -> list[Any]:
    return [x for each in result for x in flat(each)] if isinstance(result, (tuple, list)) else [result]


def numbers(result: Any) -> list[Any] | None:
    """The results as arrays; None if there is anything else among them."""
    made = [np.asarray(x.detach().numpy() if isinstance(x, gradcore.Tensor) else x) for x in flat(result)]
    return made if all(x.dtype.kind in "fciub" for x in made) else None


def scalar(result: Any, weights: list[Any]) -> Any:
    return sum(np.real(np.sum(x * w)) for x, w in zip(flat(result), weights, strict=True) if w is not None)


def faults(name: str, function: Any, how: str) -> str:
    """What is wrong with a function called in one way; nothing if NumPy does not take it, or gradcore refuses it."""
    call, x = CALLS[how]
    try:
        expected = numbers(call(function, x.copy()))
    except Exception:
        return ""
    if expected is None or not expected or any(not np.isfinite(e).all() for e in expected):
        return ""
    weights = [RNG.normal(size=e.shape) if e.dtype.kind in "fc" else None for e in expected]
    for traced in (False, True):
        got: list[Any] = []

        def program(y: Any, traced: bool = traced, got: list[Any] = got) -> Any:
            made = call(function, y)
            got[:] = [x._tensor if hasattr(x, "is_constant") else x for x in flat(made)] if traced else flat(made)
            total = scalar(made, [w if w is None or traced else gradcore.tensor(w) for w in weights])
            return total + 0 * y.sum()

        try:
            if traced:
                gradient = func.grad(program)(x)
            else:
                leaf = gradcore.tensor(x, requires_grad=True)
                program(leaf).backward()
                gradient = leaf.grad.numpy()
        except REFUSALS as error:
            if not str(error):
                return "refused without a word"
            continue
        except (AttributeError, AssertionError) as error:
            if any(kind in str(error) for kind in ("'float'", "'int'", "'Traced' object has no attribute")):
                continue  # lists of numbers and tensors are NumPy's own arrays of objects
            return f"{type(error).__name__}: {error}"
        found = numbers(got)
        if found is None:
            continue
        if [e.shape for e in found] != [e.shape for e in expected]:
            return f"shapes {[e.shape for e in found]}, not {[e.shape for e in expected]} (traced: {traced})"
        if not all(np.allclose(a, b, 1e-6, 1e-8) for a, b in zip(found, expected, strict=True)):
            return f"values {found}, not {expected} (traced: {traced})"
        kinds = [(a.dtype, b.dtype) for a, b in zip(found, expected, strict=True)]
        if any(a != b for a, b in kinds if a.kind in "fc" or b.kind in "fc"):
            return f"dtypes {kinds} (traced: {traced})"
        slopes = differences(lambda at: scalar(call(function, at), weights), x)
        if slopes is not None and not np.allclose(gradient, slopes, 1e-3, 1e-4):
            return f"gradient {gradient.tolist()}, not {slopes.tolist()} (traced: {traced})"
    return ""


def differences(f: Callable[[Any], Any], x: Any) -> Any:
    slopes = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        try:
            slopes[place] = (f(x + step) - f(x - step)) / 2e-6
        except Exception:
            return None
    return slopes if np.abs(slopes).max(initial=0) < 1e4 else None  # else a jump is near


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in SPARED])
def test_numpys_functions_are_right_or_refused(name: str) -> None:
    function = FUNCTIONS[name]
    ways = [how for how in CALLS if how != "subscripts" or name == "einsum"]
    if isinstance(function, np.ufunc):
        ways = [how for how in ways if how not in ("of three", "list", "tuple", "where", "bounds")]
        ways = [how for how in ways if function.nin > 1 or how not in OF_ARRAYS_ALONE]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = {how: fault for how in ways if (fault := faults(name, function, how))}
    assert not found


def test_most_of_numpy_is_there() -> None:
    """What has no derivative here, though NumPy's result moves with its argument, is a short list."""
    tensor = gradcore.tensor(V, requires_grad=True)
    refused = set()
    for name, function in FUNCTIONS.items():
        if "." not in name or not isinstance(getattr(np, name.partition(".")[0], None), np.ufunc):
            try:
                function(tensor)
            except TypeError as error:
                if "is not supported on tensors that require grad" in str(error):
                    refused.add(name)
            except Exception:
                pass
    assert refused <= {
        "bitwise_count", "common_type", "datetime_as_string", "einsum_path", "histogramdd", "is_busday", "isnat",
        "min_scalar_type", "packbits", "sort_complex", "spacing", "unpackbits",
    }  # fmt: skip
