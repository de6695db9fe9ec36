"""Norms of vectors and matrices, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import converted, need_tensor, python_number
from gradcore.ops.conversion import contiguous
from gradcore.ops.extrema import amax, amin
from gradcore.ops.factorizations import svdvals
from gradcore.ops.ordering import movedim
from gradcore.ops.reductions import sum
from gradcore.ops.registry import op
from gradcore.ops.shaping import unsqueeze
from gradcore.primitives import comparison as compare
from gradcore.primitives import elementwise as e
from gradcore.primitives import reductions as r
from gradcore.primitives import selection as choose

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _prepared(x: Tensor, dtype: Any, name: str) -> Tensor:
    """`x` in `dtype`, both checked as torch's norms check them."""
    need_tensor(x, name)
    have = dtypes.of(x._array.dtype)
    if not (have.is_floating_point or have.is_complex):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {have._title}")
    if dtype is None:
        return x
    want = dtypes.as_dtype(dtype, op=name)
    if not (want.is_floating_point or want.is_complex):
        raise RuntimeError(f"{name}: dtype should be floating point or complex, but got {want._title}")
    if want.is_complex is not have.is_complex:
        kind = "complex" if have.is_complex else "real"
        raise RuntimeError(f"{name}: dtype should be {kind} for {kind} inputs, but got {want._title}")
    if dtypes.promote_types(have, want) is not want:
        raise RuntimeError(
            f"{name}: the dtype of the input ({have._title}) should be convertible without narrowing to the "
            f"specified dtype ({want._title})"
        )
    return converted(x, dtype, name)  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out="exact")
def vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return (sum of |x|**ord)**(1/ord) over `dim` (all by default); `ord` is any number."""
    x = _prepared(x, dtype, "linalg.vector_norm")
    ord = python_number(ord, "linalg_vector_norm", "ord")
    axes = arguments.axes(dim, x._array.ndim)
    if not x._array.size and (ord == inf or ord < 0):
        _refuse_empty(x, ord, axes, dim is None)
    return r.vector_norm(x, order=float(ord), axis=axes, keepdims=keepdim)  # type: ignore[no-any-return]


def _refuse_empty(x: Tensor, order: float, axes: arguments.Axes, whole: bool) -> None:
    name = f"linalg.vector_norm cannot compute the {order} norm"
    if whole:
        raise RuntimeError(f"{name} on an empty tensor because the operation does not have an identity")
    for i in axes:
        if not x._array.shape[i]:
            raise RuntimeError(
                f"{name} on the dimension {i} because this dimension is empty and the operation does not have an identity"
            )


@op(namespace="linalg", method=False, out="exact")
def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return a norm of the matrices in the two dimensions `dim`: 'fro', 'nuc', 1, -1, 2, -2, inf or -inf."""
    need_tensor(A, "linalg.matrix_norm", "A")
    if A._array.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    dims = tuple(dim) if isinstance(dim, Iterable) else (dim,)
    if len(dims) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dims))}")
    x = _prepared(A, dtype, "linalg.matrix_norm")
    rows, columns = (arguments.axis(d, x._array.ndim) for d in dims)
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dims[0]}, {dims[1]})")
    if ord == "fro":
        return vector_norm(x, 2, (rows, columns), keepdim)
    if ord in (1, -1, inf, -inf):
        summed, compared = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = sum(e.absolute(x), summed, keepdim=True)
        return _largest(sums, (summed, compared), keepdim, ord > 0)
    if ord not in ("nuc", 2, -2):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    values = svdvals(movedim(x, (rows, columns), (-2, -1)))
    out = sum(values, -1, keepdim) if ord == "nuc" else _largest(values, (-1,), keepdim, ord == 2)
    return movedim(unsqueeze(out, -1), (-2, -1), (rows, columns)) if keepdim else out


def _largest(x: Tensor, dim: tuple[int, ...], keepdim: bool, largest: bool) -> Tensor:
    """The largest, or smallest, over `dim`; 0 is the largest of none, since norms are compared."""
    if largest and not x._array.size:
        return sum(x, dim, keepdim)
    return (amax if largest else amin)(x, dim, keepdim)


@op(namespace="linalg", method=False, out="exact")
def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return a norm of vectors or matrices, as `ord` and `dim` say; by default the 2-norm of all elements."""
    need_tensor(A, "linalg.norm", "A")
    dims = dim if dim is None or isinstance(dim, Iterable) else (dim,)
    if dims is not None:
        dims = tuple(dims)
        if len(dims) not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got [{', '.join(map(str, dims))}]"
            )
    if ord is None:
        return vector_norm(A, 2, dims, keepdim, dtype=dtype)
    if dims is None and A._array.ndim not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A._array.ndim}D."
        )
    if isinstance(ord, str) or (len(dims) if dims is not None else A._array.ndim) == 2:
        return matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype)
    return vector_norm(A, ord, dims, keepdim, dtype=dtype)


# torch.norm, beside torch.linalg.norm above.
@op(out="exact")
def norm_(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """Return the p-norm of the elements over `dim` (all by default); 'nuc' is that of matrices."""
    need_tensor(input, "norm")
    dims = dim if dim is None or isinstance(dim, Iterable) else (dim,)
    dims = tuple(dims) if dims else None
    if isinstance(p, str) and (p != "fro" or (dims is not None and len(dims) > 2)):
        every = tuple(range(input._array.ndim))
        return matrix_norm(input, p, every if dims is None else dims, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p is None or p == "fro" else p, dims, keepdim, dtype=dtype)


@op(node="Dist")
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Return the p-norm of the difference of two Tensors that broadcast together."""
    need_tensor(input, "dist")
    need_tensor(other, "dist", "other")
    return vector_norm(e.subtract(input, other), p)


@op(inplace=True, out=True, node="Renorm")
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Scale every slice along `dim` whose p-norm exceeds `maxnorm` down to it."""
    need_tensor(input, "renorm")
    x, n = _prepared(input, None, "renorm"), input._array.ndim
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if n < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {n} dimensions")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    axis, x = arguments.axis(dim, n), contiguous(x)
    others = tuple(i for i in range(n) if i != axis)
    beyond = compare.greater(vector_norm(x.detach(), p, others, True), maxnorm)
    size = vector_norm(choose.where(beyond, x, 1.0), p, others, True)  # what is NaN is no part of the derivative
    scale = choose.where(beyond, e.divide(maxnorm, e.add(size, 1e-7)), 1.0)
    return e.multiply(x, scale)  # type: ignore[no-any-return]
