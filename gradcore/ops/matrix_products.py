"""Products made of other products: powers, chains, cross and Kronecker. It must not know any derivative."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops import arguments, strides
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.cumulative import cumprod
from gradcore.ops.joining import cat
from gradcore.ops.linalg import check_matrices, inv, solve
from gradcore.ops.ordering import movedim, roll
from gradcore.ops.products import matmul
from gradcore.ops.reductions import sum
from gradcore.ops.registry import functions, label, op
from gradcore.primitives import complex_parts, conversion
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s
from gradcore.primitives.selection import where
from gradcore.recorder.errors import broadcast_mismatch
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(out=True)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """Multiply a square matrix by itself: `n` factors, or `-n` factors of its inverse."""
    check_matrices(input, "linalg.matrix_power")
    if isinstance(n, float):
        raise TypeError("linalg_matrix_power(): argument 'n' (position 2) must be int, not float")
    power = abs(index(n))
    if not power:
        F, a = of(input._array), input._array
        places = F.arange(a.shape[-1])
        one = wrap(F.astype(F.broadcast_to(places == F.reshape(places, (-1, 1)), a.shape), a.dtype))
        # Nothing is computed with numbers that may be infinite.
        identity: Tensor = where(wrap(F.ones((), "bool")), one, input)
        label(identity, "torch::autograd::CopyBackwards", (input,))
        return identity
    base = inv(input) if n < 0 else input
    if power == 1:
        return base if n < 0 else conversion.copy(base)
    made = None
    for bit in bin(power)[:1:-1]:
        if bit == "1":
            made = base if made is None else matmul(made, base)
        base = matmul(base, base)
    return made  # type: ignore[return-value]


functions["linalg"]["matrix_power"] = functions[""]["matrix_power"]


@op(namespace="linalg", method=False, out=True, node="View")
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """Multiply matrices in the order that takes fewest multiplications; the first and last may be vectors."""
    n = len(arguments.tensors((tensors,), "linalg.multi_dot"))
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    for i, x in enumerate(tensors):
        ndim = x._array.ndim
        if ndim != 2 and not (ndim == 1 and i in (0, n - 1)):
            raise RuntimeError(f"multi_dot(): tensor {i} must be {'1D or ' if i in (0, n - 1) else ''}2D but got {ndim}D")
    sizes = [x._array.shape for x in tensors]
    for i, (a, b) in enumerate(pairwise(sizes)):
        if a[-1] != b[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a)} and {list(b)} cannot be multiplied"
            )
    lengths = [1 if len(sizes[0]) == 1 else sizes[0][0], *(a[-1] for a in sizes[:-1])]
    lengths.append(1 if len(sizes[-1]) == 1 else sizes[-1][1])

    @functools.cache
    def cheapest(i: int, j: int) -> tuple[int, int]:
        """The fewest multiplications for the factors i to j, and after which factor to split them."""
        if i == j:
            return 0, i
        outer = lengths[i] * lengths[j + 1]
        return min((cheapest(i, k)[0] + cheapest(k + 1, j)[0] + outer * lengths[k + 1], k) for k in range(i, j))

    def chain(i: int, j: int) -> Tensor:
        k = cheapest(i, j)[1]
        return tensors[i] if i == j else matmul(chain(i, k), chain(k + 1, j))

    return chain(0, n - 1)


@op(method=False, out=True)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """Multiply matrices: `linalg.multi_dot`."""
    need_tensor(matrices[0], "chain_matmul", "matrices")
    return multi_dot(matrices) if len(matrices) > 1 else conversion.copy(matrices[0])


@op(namespace="linalg", method=False, out=True, node="LinalgCross")
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Return the vector product of vectors of length 3 along `dim`; other dimensions broadcast."""
    need_tensor(input, "linalg.cross")
    need_tensor(other, "linalg.cross", "other")
    a, b = input._array.shape, other._array.shape
    if len(a) != len(b):
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    at = axis(dim, len(a))
    if not a or a[at] != 3 or b[at] != 3:
        lengths = f"{a[at] if a else 1} and {b[at] if b else 1}"
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {lengths}")
    if input._array.dtype != other._array.dtype:
        have, want = (dtypes.of(x._array.dtype)._title for x in (input, other))
        raise RuntimeError(f"expected scalar type {have} but found {want}; convert one of them")
    first = e.multiply(roll(input, -1, at), roll(other, -2, at))
    return e.subtract(first, e.multiply(roll(input, -2, at), roll(other, -1, at)))  # type: ignore[no-any-return]


@op(out=True)
def cross_(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Return the vector product along `dim`, by default the first dimension of length 3: `linalg.cross`."""
    need_tensor(input, "cross")
    if dim is None:
        if 3 not in input._array.shape:
            raise RuntimeError("no dimension of size 3 in input")
        dim = input._array.shape.index(3)
    return cross(input, other, dim=dim)


@op(out=True, node="UnsafeView")
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: every element of `input` times all of `other`, dimensions multiplied."""
    need_tensor(input, "kron")
    need_tensor(other, "kron", "other")
    n = max(input._array.ndim, other._array.ndim)
    a, b = ((1,) * (n - x._array.ndim) + tuple(x._array.shape) for x in (input, other))
    left = s.reshape(input, shape=tuple(size for length in a for size in (length, 1)))
    right = s.reshape(other, shape=tuple(size for length in b for size in (1, length)))
    shape = tuple(i * j for i, j in zip(a, b, strict=True))
    return s.reshape(e.multiply(left, right), shape=shape)  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Sum conj(x) * y along `dim`; other dimensions broadcast."""
    need_tensor(x, "linalg.vecdot", "x")
    need_tensor(y, "linalg.vecdot", "y")
    have, want = (dtypes.of(each._array.dtype) for each in (x, y))
    if not (have.is_floating_point or have.is_complex):
        raise RuntimeError(f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {have._title}")
    if have is not want:
        raise RuntimeError(
            f"linalg.vecdot: Expected x and y to have the same dtype, but found x of type {have._title} and y of "
            f"type {want._title} instead"
        )
    mismatch = broadcast_mismatch(x._array.shape, y._array.shape)
    if mismatch:
        raise RuntimeError(f"{mismatch} (linalg.vecdot)")
    made = sum(e.multiply(complex_parts.conj(x) if have.is_complex else x, y), dim)
    if x._array.ndim == 1 == y._array.ndim:
        label(made, "VdotBackward0", (x, y))
    return made


@op(namespace="linalg", method=False)
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return the diagonals of matrices, by default those of the last two dimensions."""
    return strides.diagonal(A, offset, dim1, dim2)


@op(namespace="linalg", method=False)
def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Return the powers 0 to N - 1 (by default as many as there are) of the elements in the last dimension."""
    need_tensor(x, "linalg.vander", "x")
    shape = x._array.shape or (1,)
    n = shape[-1] if N is None else N
    if n <= 1 and N is not None:
        raise RuntimeError(f"N must be greater than 1. Got {N} (linalg.vander)")
    column = s.reshape(x, shape=(*shape, 1))
    ones = e.add(e.zero(column), 1)
    rest = s.expand(column, shape=(*shape, max(n - 1, 0)))
    powers = cumprod(rest, -1)
    return cat([ones.to(powers.dtype), powers], -1)


@op(namespace="linalg", method=False, out=True)
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """Invert the linear map from the dimensions of `A` after the first `ind` to these."""
    need_tensor(A, "linalg.tensorinv", "A")
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    shape = A._array.shape
    rows, columns = shape[:ind], shape[ind:]
    n, m = (functools.reduce(lambda a, b: a * b, part, 1) for part in (rows, columns))
    if n != m:
        raise RuntimeError(
            f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {m} != {n}"
        )
    return s.reshape(inv(s.reshape(A, shape=(n, m))), shape=columns + rows)  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True)
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """Solve tensordot(A, X, X.ndim) = B, after moving the dimensions `dims` of `A` to its end."""
    need_tensor(A, "linalg.tensorsolve", "A")
    need_tensor(B, "linalg.tensorsolve", "B")
    if dims is not None:
        A = movedim(A, tuple(dims), tuple(range(A._array.ndim - len(dims), A._array.ndim)))
    solved = A._array.shape[B._array.ndim :]
    size = functools.reduce(lambda a, b: a * b, solved, 1)
    if size != B._array.size:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {size} != {B._array.size}"
        )
    system, right = s.reshape(A, shape=(size, size)), s.reshape(B, shape=(size,))
    return s.reshape(solve(system, right), shape=solved)  # type: ignore[no-any-return]
