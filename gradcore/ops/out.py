"""torch's `out=`: results written into Tensors the caller made. It must not know any op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import modes
from gradcore.recorder.caller import warn
from gradcore.recorder.inplace import bump, receive, refuse_inference, refuse_overlap, write
from gradcore.recorder.value import Value


def put_out(
    name: str,
    f: Callable[..., Any],
    out: Any,
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    *,
    exact: bool = False,
    apart: bool = False,
) -> Any:
    """Run `f` and write what it returns into `out` (a Tensor or a tuple of them); returns `out`.

    Raises RuntimeError if `out` or the result needs a gradient, or if the dtype of `out` cannot hold the result or, with
    `exact`, is another, or if memory is shared that may not be: by elements of `out` or, with `apart`, with an argument.
    """
    outs = tuple(out) if isinstance(out, (tuple, list)) else (out,)
    for into in outs:
        if not isinstance(into, Value):
            raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(into).__name__}")
        refuse_inference(into, f"{name}(out=)")
    given = [*args, *keywords.values()]
    lists = [xs for xs in given if isinstance(xs, (tuple, list))]
    inputs = [x for x in (*given, *(x for xs in lists for x in xs)) if isinstance(x, Value)]
    tracked = modes.is_grad_enabled() and any(x._node is not None for x in inputs)
    _refuse_history(name, outs)
    for into in outs:
        refuse_overlap(into, f"{name}(out=)")
        overlaps = apart and any(isinstance(x, Value) and _share(into, x) for x in given)
        if overlaps or any(x is into for xs in lists for x in xs):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
                f"memory location. Please clone() the tensor before performing the operation. ({name}(out=))"
            )
    # What needs a gradient is welcome where the operation has none: recording says so.
    with modes.set_grad_enabled(tracked):
        result = f(*args, **keywords)
    results = (result,) if isinstance(result, Value) else tuple(result)
    if len(outs) != len(results):
        raise TypeError(f"{name}(): argument 'out' must be tuple of Tensors, one for each of {len(results)} results")
    _refuse_history(name, results)
    for into, from_ in zip(outs, results, strict=True):
        _check_dtype(name, into, from_, exact or apart)
    for into, from_ in zip(outs, results, strict=True):
        _put(name, into, from_)
    return out


def _refuse_history(name: str, values: tuple[Value, ...]) -> None:
    if modes.is_grad_enabled() and any(x._node is not None for x in values):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad."
        )


def _share(a: Value, b: Value) -> bool:
    F = of(a._array)
    return of(b._array) is F and a._array.size > 0 and F.storage(a._array) is F.storage(b._array)


def _check_dtype(name: str, into: Value, result: Value, exact: bool) -> None:
    have, want = dtypes.of(result._array.dtype), dtypes.of(into._array.dtype)
    if have is not want and exact:
        raise RuntimeError(f"Expected out tensor to have dtype {have.name}, but got {want.name} instead ({name})")
    if have is not want and not dtypes.can_cast(have, want):
        raise RuntimeError(
            f"result type {have._title} can't be cast to the desired output type {want._title} ({name}, out=)"
        )


def _put(name: str, into: Value, result: Value) -> None:
    if into._array.shape == result._array.shape:
        receive(into, result)
        write(into, result._array, f"{name}(out=)")
        return
    if into._array.size:
        warn(
            f"An output with one or more elements was resized since it had shape {list(into._array.shape)}, which does "
            f"not match the required output shape {list(result._array.shape)}. This behavior is deprecated, and in a "
            "future PyTorch release outputs will not be resized unless they have zero elements.",
        )
    F = of(into._array)
    into._array = F.owned(F.astype(result._array, into._array.dtype))
    bump(into, f"{name}(out=)")
