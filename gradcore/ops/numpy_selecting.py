"""NumPy's functions that choose, look up, write anew and compare, composed of operations in NumPy's spelling. It must not
know how NumPy calls, nor any derivative."""

from __future__ import annotations

from functools import reduce
from math import prod
from operator import or_
from typing import Any, NamedTuple

from gradcore import dtypes
from gradcore.ops.numpy_functions import answers, argsort, flat, op, take
from gradcore.ops.numpy_shapes import concatenate, host
from gradcore.recorder.value import Value

# -- choosing ---------------------------------------------------------------------------------------------------------


@answers()
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    condition = condition if str(condition.dtype) == "torch.bool" else condition != 0
    return condition.nonzero(as_tuple=True) if x is None else op.where(condition, x, y)


@answers()
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = op.where(condition, choice, result)
    return result


@answers()
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    conditions = condlist if isinstance(condlist, (list, tuple)) else [condlist]
    conditions = [op.as_tensor(each).to(dtypes.bool).expand(x.shape) for each in conditions]
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        conditions.append(~reduce(or_, conditions))
    elif len(functions) != len(conditions):
        raise ValueError(
            f"with {len(conditions)} condition(s), either {len(conditions)} or {len(conditions) + 1} functions are expected"
        )
    result = op.zeros_like(x)
    for condition, f in zip(conditions, functions, strict=True):
        # A function sees only the elements that it is for: elsewhere it need not be defined.
        value: Any = f(x[condition], *args, **kw) if callable(f) else f
        known = isinstance(value, Value)
        value = value.to(x.dtype) if known else op.as_tensor(value, dtype=x.dtype, device=x.device)
        result = result.index_put((condition,), value)
    return result


@answers()
def clip(a: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    bounds = [a_min if min is None else min, a_max if max is None else max]
    if any(isinstance(each, Value) for each in bounds):
        bounds = [each if each is None else op.as_tensor(each, dtype=None if isinstance(each, Value) else a.dtype)
                  for each in bounds]
    return a if bounds == [None, None] else a.clamp(*bounds)


@answers()
def nonzero(a: Any) -> Any:
    return a.nonzero(as_tuple=True)


@answers()
def flatnonzero(a: Any) -> Any:
    return a.reshape(-1).nonzero().reshape(-1)


@answers()
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return op.searchsorted(a, v, side=side, sorter=sorter)


@answers()
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    if bins.shape[0] > 1 and bool(bins.detach()[0] > bins.detach()[-1]):  # they descend
        return bins.shape[0] - op.searchsorted(bins.flip(0), x, side="right" if right else "left")
    return op.searchsorted(bins, x, side="left" if right else "right")


@answers()
def choose(a: Any, choices: Any) -> Any:
    rows = op.stack(list(op.broadcast_tensors(a, *choices))[1:])
    return op.take_along_dim(rows, a.expand(rows.shape[1:]).unsqueeze(0), 0)[0]


@answers()
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    arr, axis = flat(arr, axis)
    kept = op.ones(arr.shape[axis], dtype=dtypes.bool, device=arr.device)
    kept[obj if isinstance(obj, (slice, int)) else op.as_tensor(host(obj))] = False
    return take(arr, kept.nonzero().reshape(-1), axis)


@answers()
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    arr, axis = flat(arr, axis)
    at = host(obj)
    if not isinstance(at, int):
        raise TypeError("np.insert(): only one place, a number, is supported on tensors; join the parts with np.concatenate")
    at = at + arr.shape[axis] if at < 0 else at
    before, after = arr.narrow(axis, 0, at), arr.narrow(axis, at, arr.shape[axis] - at)
    shape = list(arr.shape)
    shape[axis] = values.numel() // max(prod(shape[:axis] + shape[axis + 1 :]), 1) or 1
    return concatenate([before, values.to(arr.dtype).expand(shape), after], axis)


@answers()
def trim_zeros(filt: Any, trim: str = "fb") -> Any:
    kept = [i for i, x in enumerate(host(filt.detach())) if x != 0] or [filt.shape[0]]
    first = kept[0] if "f" in trim.lower() else 0
    return filt[first : kept[-1] + 1 if "b" in trim.lower() else None]


@answers()
def unravel_index(indices: Any, shape: Any) -> Any:
    places = []
    for n in reversed(shape):
        places.append(indices % n)
        indices = indices // n
    return tuple(reversed(places))


@answers()
def lexsort(keys: Any, axis: int = -1) -> Any:
    order = None
    for key in keys:
        here = argsort(key if order is None else op.take_along_dim(key, order, axis), axis)
        order = here if order is None else op.take_along_dim(order, here, axis)
    return order


@answers()
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    return tuple(op.triu_indices(*arr.shape, offset=k, device=arr.device))


@answers()
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    return tuple(op.tril_indices(*arr.shape, offset=k, device=arr.device))


@answers()
def diag_indices_from(arr: Any) -> Any:
    return (op.arange(min(arr.shape), device=arr.device),) * arr.ndim


@answers("ix_")
def ix_(*args: Any) -> Any:
    given = [x.nonzero().reshape(-1) if x.dtype is dtypes.bool else x for x in map(op.as_tensor, args)]
    return tuple(x.reshape([-1 if i == j else 1 for j in range(len(given))]) for i, x in enumerate(given))


# -- sets -------------------------------------------------------------------------------------------------------------


class Unique(NamedTuple):
    """What np.unique_all returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


@answers()
def unique_all(x: Any) -> Unique:
    _, inverse, counts = op.unique(x.detach(), return_inverse=True, return_counts=True)
    order = op.argsort(inverse.reshape(-1), stable=True)
    indices = order[counts.cumsum(0) - counts]  # where each value is first
    return Unique(x.reshape(-1)[indices], indices, inverse, counts)


@answers()
def unique_counts(x: Any) -> tuple[Any, Any]:
    found = unique_all(x)
    return found.values, found.counts


@answers()
def unique_inverse(x: Any) -> tuple[Any, Any]:
    found = unique_all(x)
    return found.values, found.inverse_indices


@answers()
def unique_values(x: Any) -> Any:
    return unique_all(x).values


@answers()
def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None
) -> Any:
    if axis is not None:
        if return_index or ar.requires_grad:
            raise TypeError("np.unique(): axis= with return_index, or on tensors that require grad, is not supported")
        return op.unique(ar, return_inverse=return_inverse, return_counts=return_counts, dim=axis)
    found = unique_all(ar)
    wanted = (True, return_index, return_inverse, return_counts)
    made = tuple(x for x, on in zip(found, wanted, strict=True) if on)
    return made[0] if len(made) == 1 else made


@answers()
def union1d(ar1: Any, ar2: Any) -> Any:
    return unique_values(concatenate([ar1, ar2], None))


@answers()
def intersect1d(ar1: Any, ar2: Any) -> Any:
    values = unique_values(ar1)
    return values[op.isin(values, ar2)]


@answers()
def setdiff1d(ar1: Any, ar2: Any) -> Any:
    values = unique_values(ar1)
    return values[~op.isin(values, ar2)]


@answers()
def setxor1d(ar1: Any, ar2: Any) -> Any:
    return union1d(setdiff1d(ar1, ar2), setdiff1d(ar2, ar1))


@answers("imag")
def imag(val: Any) -> Any:
    return op.imag(val) if val.is_complex() else op.zeros_like(val)


@answers("array_equal", "array_equiv")
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    if a1.shape != a2.shape:
        return False
    same = a1 == a2
    return bool((same | ((a1 != a1) & (a2 != a2)) if equal_nan else same).all())
