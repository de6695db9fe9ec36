"""Products of vectors, matrices and batches, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import distinct, need_tensor
from gradcore.ops.reductions import sum
from gradcore.ops.registry import functions, methods, op
from gradcore.primitives import complex_parts
from gradcore.primitives import elementwise as e
from gradcore.primitives import products as p
from gradcore.primitives import shape as s
from gradcore.recorder import renamed
from gradcore.recorder.errors import broadcast_mismatch
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Shape = tuple[int, ...]

# torch makes the results of `matmul` by views of other shapes; these nodes are called as its last ones.
_vector_matrix = renamed(p.dot, "SqueezeBackward4")
_batched = renamed(p.matmul, "UnsafeView")
_unfolded = renamed(s.reshape, "UnsafeView", view=False)


def product(x: Any, y: Any) -> Any:
    """Python's operator `@`: what `matmul` gives, NotImplemented if one of them is no Tensor."""
    try:
        a, b = x._array, y._array
    except AttributeError:
        return NotImplemented
    if a.ndim == 2 == b.ndim and a.shape[1] == b.shape[0] and a.dtype is b.dtype:
        return p.mm(x, y)
    return _product(x, y, a.shape, b.shape)


def _product(x: Tensor, y: Tensor, left: Shape, right: Shape) -> Any:
    if not left or not right:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {len(left)}D and {len(right)}D")
    if len(right) <= 2:
        if len(left) > 2:
            _same_dtype(x, y)
            if left[-1] != right[0]:
                raise _not_multiplied((math.prod(left[:-1]), left[-1]), (*right, 1)[:2])
            return p.project(x, y)
        if len(right) == 1:
            return dot(x, y) if len(left) == 1 else mv(x, y)
        if len(left) == 2:
            return mm(x, y)
        _same_dtype(x, y)
        if left[0] != right[0]:
            raise _not_multiplied((1, *left), right)
        return _vector_matrix(x, y)
    if len(left) == 1:
        return _unfolded(_batches(s.reshape(x, shape=(1, *left)), y), shape=right[:-2] + right[-1:])
    return _batches(x, y)


def _batches(x: Tensor, y: Tensor) -> Tensor:
    """The products of two batches of matrices; the batch dimensions broadcast."""
    left, right = x._array.shape, y._array.shape
    mismatch = broadcast_mismatch(left[:-2], right[:-2])
    if mismatch:
        raise RuntimeError(f"{mismatch} (matmul of shapes {list(left)} and {list(right)})")
    lead = broadcast(left[:-2], right[:-2])
    return _checked_bmm(_batched, expanded(x, lead + left[-2:]), expanded(y, lead + right[-2:]))


# -- shapes ------------------------------------------------------------------------------------------------


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape that two shapes broadcast to, which they must."""
    n = max(len(a), len(b))
    pairs = zip((1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b), strict=True)
    return tuple(j if i == 1 else i for i, j in pairs)


def expanded(x: Tensor, shape: Shape) -> Tensor:
    """`x` broadcast to `shape`, itself if it has it."""
    return x if x._array.shape == shape else s.expand(x, shape=shape)


def reshaped(x: Tensor, shape: Shape) -> Tensor:
    """`x` in another shape, itself if it has it."""
    return x if x._array.shape == shape else s.reshape(x, shape=shape)


def permuted(x: Tensor, axes: Shape) -> Tensor:
    """`x` with its axes in another order, itself if that is theirs."""
    return x if axes == tuple(range(len(axes))) else s.transpose(x, axes=axes)


# -- what does not multiply --------------------------------------------------------------------------------


def _title(x: Tensor) -> str:
    return dtypes.of(x._array.dtype)._title


def _same_dtype(x: Tensor, y: Tensor) -> None:
    if x._array.dtype != y._array.dtype:
        have = f"{_title(x).lower()} != {_title(y).lower()}"
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {have}; convert one of them")


def _not_multiplied(a: Shape, b: Shape) -> RuntimeError:
    return RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})")


def _need_ndim(x: Any, ndim: int, op: str, name: str, sentence: str) -> None:
    need_tensor(x, op, name)
    if x._array.ndim != ndim:
        raise RuntimeError(f"{sentence} ({op}: '{name}' has shape {list(x._array.shape)})")


# -- the products ------------------------------------------------------------------------------------------


@op(out=True)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Multiply vectors, matrices or batches of matrices of one dtype; batch dimensions broadcast.

    A vector on the left is a row, on the right a column, and leaves no dimension in the result. Raises
    RuntimeError for shapes that do not fit and for different dtypes.
    """
    made = product(input, other)
    if made is NotImplemented:
        need_tensor(input, "matmul")
        need_tensor(other, "matmul", "other")
    return made  # type: ignore[no-any-return]


functions["linalg"]["matmul"] = functions[""]["matmul"]
methods.update(__matmul__=product, __rmatmul__=lambda y, x: product(x, y))


@op(out=True)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Multiply two matrices, (n, m) and (m, p). Raises RuntimeError for other shapes and dtypes."""
    _need_ndim(input, 2, "mm", "input", "self must be a matrix")
    _need_ndim(mat2, 2, "mm", "mat2", "mat2 must be a matrix")
    _same_dtype(input, mat2)
    a, b = input._array.shape, mat2._array.shape
    if a[1] != b[0]:
        raise _not_multiplied(a, b)
    return p.mm(input, mat2)  # type: ignore[no-any-return]


@op(out=True)
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Multiply batches of matrices, (b, n, m) and (b, m, p). Raises RuntimeError for other shapes, dtypes."""
    _need_ndim(input, 3, "bmm", "input", "batch1 must be a 3D tensor")
    _need_ndim(mat2, 3, "bmm", "mat2", "batch2 must be a 3D tensor")
    return _checked_bmm(p.matmul, input, mat2)


def _checked_bmm(multiply: Any, x: Tensor, y: Tensor) -> Tensor:
    a, b = x._array.shape, y._array.shape
    if (*a[:-2], a[-1]) != b[:-1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: {[*a[:-2], a[-1]]} but got: {list(b[:-1])}."
        )
    if x._array.dtype != y._array.dtype:
        raise RuntimeError(f"expected scalar type {_title(x)} but found {_title(y)}; convert one of them")
    return multiply(x, y)  # type: ignore[no-any-return]


@op(out=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Multiply a matrix (n, m) by a vector (m). Raises RuntimeError for other shapes and dtypes."""
    need_tensor(input, "mv")
    need_tensor(vec, "mv", "vec")
    a, b = input._array.shape, vec._array.shape
    if len(a) != 2 or len(b) != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {len(a)}, {len(b)}")
    if a[1] != b[0]:
        raise RuntimeError(f"size mismatch, got input ({a[0]}), mat ({a[0]}x{a[1]}), vec ({b[0]})")
    if input._array.dtype != vec._array.dtype:
        kinds = f"{_title(vec)}, {_title(input)}, and {_title(vec)}"
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {kinds}; convert one of them")
    return p.mv(input, vec)  # type: ignore[no-any-return]


@op(out=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Multiply two vectors of one length, without conjugation. Raises RuntimeError for others."""
    _check_vectors(input, tensor, "dot", "tensor")
    return p.dot(input, tensor)  # type: ignore[no-any-return]


@op(out=True, node="Vdot")
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """Multiply the conjugate of a vector by a vector. Raises RuntimeError for other shapes, dtypes."""
    _check_vectors(input, other, "vdot", "other")
    return p.dot(complex_parts.conj(input) if input._array.dtype.kind == "c" else input, other)  # type: ignore[no-any-return]


def _check_vectors(x: Tensor, y: Tensor, op: str, name: str) -> None:
    need_tensor(x, op)
    need_tensor(y, op, name)
    a, b = x._array.shape, y._array.shape
    if len(a) != 1 or len(b) != 1:
        raise RuntimeError(f"1D tensors expected, but got {len(a)}D and {len(b)}D tensors")
    if x._array.dtype != y._array.dtype:
        kinds = f"{_title(x)} and {_title(y)}"
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {kinds}; convert one of them")
    if a != b:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor {list(a)} and src {list(b)} to have the same number "
            f"of elements, but got {a[0]} and {b[0]} elements respectively"
        )


@op(out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sum products over the last dimension of both: out[i..., j...] = sum of input[i..., k] other[j..., k].

    With a 0-d tensor it multiplies. Raises RuntimeError for last dimensions or dtypes that differ.
    """
    need_tensor(input, "inner")
    need_tensor(other, "inner", "other")
    a, b = input._array.shape, other._array.shape
    if not a or not b:
        return e.multiply(input, other)  # type: ignore[no-any-return]
    if a[-1] != b[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(a)} and {list(b)}"
        )
    return tensordot(input, other, ([-1], [-1]))


@op("ger", out=True)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Multiply every element of a vector by every one of another: (n) and (m) to (n, m), dtypes promoted."""
    _need_ndim(
        input,
        1,
        "outer",
        "input",
        f"outer: Expected 1-D argument self, but got {getattr(input, 'ndim', 0)}-D",
    )
    _need_ndim(vec2, 1, "outer", "vec2", f"outer: Expected 1-D argument vec2, but got {getattr(vec2, 'ndim', 0)}-D")
    return e.multiply(s.reshape(input, shape=(*input._array.shape, 1)), vec2)  # type: ignore[no-any-return]


@op(node="Trace")
def trace(input: Tensor) -> Tensor:
    """Add up the diagonal of a matrix. Raises RuntimeError for other shapes."""
    need_tensor(input, "trace")
    if input._array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._array.ndim}")
    return sum(s.diagonal(input, offset=0, axes=(0, 1)))


# -- a product and a sum -----------------------------------------------------------------------------------


def _added(input: Tensor, made: Tensor, beta: Any, alpha: Any, op: str) -> Tensor:
    """`beta * input + alpha * made`; where beta is 0 nothing in `input` matters, NaN included."""
    have, want = input._array.shape, made._array.shape
    if broadcast_mismatch(have, want) or len(have) > len(want) or broadcast(have, want) != want:
        raise RuntimeError(
            f"The expanded size of the tensor must match the existing size.  Target sizes: {list(want)}.  "
            f"Tensor sizes: {list(have)} ({op})"
        )
    if made._array.dtype.kind in "biu":
        beta, alpha = int(beta), int(alpha)
    if alpha != 1:
        made = e.multiply(made, alpha)
    if beta == 0:
        return e.add(e.zero(input), made)  # type: ignore[no-any-return]
    return e.add(input if beta == 1 else e.multiply(input, beta), made)  # type: ignore[no-any-return]


def _like(input: Tensor, x: Tensor, y: Tensor, op: str) -> None:
    need_tensor(input, op)
    for name, other in (("first", x), ("second", y)):
        need_tensor(other, op, name)
    if x._array.dtype != y._array.dtype:
        raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {_title(x)} and {_title(y)} ({op})")
    if input._array.dtype != y._array.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {_title(input)} and {_title(y)} ({op})")


@op(inplace=True, out=True, node="Addmm")
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return `beta * input + alpha * (mat1 @ mat2)` of matrices; `input` broadcasts."""
    _like(input, mat1, mat2, "addmm")
    _need_ndim(mat1, 2, "addmm", "mat1", f"mat1 must be a matrix, got {mat1._array.ndim}-D tensor")
    _need_ndim(mat2, 2, "addmm", "mat2", f"mat2 must be a matrix, got {mat2._array.ndim}-D tensor")
    return _added(input, mm(mat1, mat2), beta, alpha, "addmm")


@op(inplace=True, out=True, node="Addmv")
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return `beta * input + alpha * (mat @ vec)` of a matrix and a vector; `input` broadcasts."""
    _like(input, mat, vec, "addmv")
    return _added(input, mv(mat, vec), beta, alpha, "addmv")


@op(inplace=True, out=True, node="Baddbmm")
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return `beta * input + alpha * bmm(batch1, batch2)`; `input` broadcasts."""
    _like(input, batch1, batch2, "baddbmm")
    return _added(input, bmm(batch1, batch2), beta, alpha, "baddbmm")


@op(inplace=True, out=True, node="Addbmm")
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return `beta * input + alpha * bmm(batch1, batch2).sum(0)`; `input` broadcasts."""
    _like(input, batch1, batch2, "addbmm")
    _need_ndim(batch1, 3, "addbmm", "batch1", "batch1 must be a 3D tensor")
    _need_ndim(batch2, 3, "addbmm", "batch2", "batch2 must be a 3D tensor")
    if (a := batch1._array.shape)[::2] != (b := batch2._array.shape)[:2]:
        raise RuntimeError(f"batch1 and batch2 of shapes {list(a)} and {list(b)} cannot be multiplied (addbmm)")
    return _added(input, tensordot(batch1, batch2, ([0, 2], [0, 1])), beta, alpha, "addbmm")


@op(inplace=True, out=True, node="Addr")
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return `beta * input + alpha * outer(vec1, vec2)`; `input` broadcasts, dtypes are promoted."""
    need_tensor(input, "addr")
    return _added(input, outer(vec1, vec2), beta, alpha, "addr")


# -- tensordot ---------------------------------------------------------------------------------------------


@op(out=True, method=False, node="View")
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sum products over the dimensions `dims`: the last n of `a` with the first n of `b`, or a pair of lists.

    The result has the other dimensions of `a`, then those of `b`. Raises RuntimeError for sizes or dtypes
    that differ.
    """
    need_tensor(a, "tensordot", "a")
    need_tensor(b, "tensordot", "b")
    left, right = (distinct(listed, x._array.ndim) for listed, x in zip(_listed(a, b, dims), (a, b), strict=True))
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    if a._array.dtype != b._array.dtype:
        raise RuntimeError(f"both inputs should have same dtype, but got {_title(a)} and {_title(b)}; convert one of them")
    for i, j in zip(left, right, strict=True):
        n, m = a._array.shape[i], b._array.shape[j]
        if n == 1 != m:
            b = sum(b, j, keepdim=True)
        elif m == 1 != n:
            a = sum(a, i, keepdim=True)
        elif n != m:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {i} and second has size {m} in dim {j}"
            )
    kept_a = tuple(i for i in range(a._array.ndim) if i not in left)
    kept_b = tuple(j for j in range(b._array.ndim) if j not in right)
    rows, columns = (tuple(x._array.shape[i] for i in kept) for x, kept in ((a, kept_a), (b, kept_b)))
    shared = math.prod(a._array.shape[i] for i in left)
    x = reshaped(permuted(a, kept_a + left), (math.prod(rows), shared))
    y = reshaped(permuted(b, right + kept_b), (shared, math.prod(columns)))
    return reshaped(p.mm(x, y), rows + columns)


def _listed(a: Tensor, b: Tensor, dims: Any) -> tuple[Sequence[int], Sequence[int]]:
    if isinstance(dims, Value):
        dims = dims.tolist()  # type: ignore[attr-defined]
    if not isinstance(dims, int):
        left, right = dims
        return ([left], [right]) if isinstance(left, int) else (left, right)
    if dims < 0:
        raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
    if dims > min(a._array.ndim, b._array.ndim):
        raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
    return range(-dims, 0) if dims else (), range(dims)
