"""Products of matrices by CuPy, and by cuBLAS itself while a CUDA graph is captured; must not know gradients.

CuPy refuses to call cuBLAS then, which can be captured all the same. It is called here as CuPy calls it, with CuPy's handle,
but with memory to work in that is the graph's own, since other work with the handle may be under way during a replay.
"""
from __future__ import annotations

import ctypes
import os
import threading
from functools import cache, partial
from importlib import import_module
from math import prod
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends import captures, shared
from gradcore.backends.cuda import device_properties

# By dtype, what the library calls it (cudaDataType_t), what it computes in (cublasComputeType_t), and its numbers 1 and 0.
KINDS: dict[str, tuple[int, int, Any]] = {
    "float16": (2, 68, ctypes.c_float * 2),
    "bfloat16": (14, 68, ctypes.c_float * 2),
    "float32": (0, 77 if os.environ.get("CUPY_TF32", "0") == "1" else 68, ctypes.c_float * 2),
    "float64": (1, 70, ctypes.c_double * 2),
    "complex64": (4, 68, ctypes.c_float * 2),
    "complex128": (5, 70, ctypes.c_double * 2),
}
DEFAULT_WAY = -1  # cublasGemmAlgo_t
WORKSPACE, ON_HOPPER = 1 << 23, 1 << 25  # the bytes that NVIDIA advises


_wide_matmul = shared.widened(cp.matmul, "V")


def matmul(x: Any, y: Any) -> Any:
    """Return the matrix product, batched over leading axes; float16 and bfloat16 add up in float32."""
    if captures:
        return product(x, y)
    # CuPy 14 multiplies matrices of bfloat16, but fails on batches of them
    return (_wide_matmul if x.ndim > 2 or y.ndim > 2 else cp.matmul)(x, y)


def dot(x: Any, y: Any) -> Any:
    """Return the product of matrices or vectors."""
    return product(x, y) if captures else cp.dot(x, y)


@partial(shared.widened, kinds="V")
def einsum(subscripts: str, *operands: Any) -> Any:
    """Return the sum of products that `subscripts` describes."""
    return summed(subscripts, *operands) if captures else cp.einsum(subscripts, *operands, optimize=len(operands) > 2)


@cache
def library() -> Any:
    """Return the cuBLAS that CuPy has loaded: a name that its module lacks is looked for in what that is linked to."""
    found = ctypes.CDLL(str(import_module("cupy_backends.cuda.libs.cublas").__file__))
    pointer, number, step = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
    found.cublasSetStream_v2.argtypes = [pointer, pointer]
    found.cublasSetPointerMode_v2.argtypes = [pointer, number]
    found.cublasSetWorkspace_v2.argtypes = [pointer, pointer, ctypes.c_size_t]
    matrices = (pointer, number, number, step)
    found.cublasGemmStridedBatchedEx.argtypes = (
        pointer, number, number, number, number, number, pointer, *matrices, *matrices, pointer, *matrices, number, number,
        number,
    )
    return found


def product(x: Any, y: Any) -> Any:
    """Return the matrix product, batched over leading axes that broadcast, by cuBLAS; integers are CuPy's own."""
    if x.dtype != y.dtype or x.dtype.name not in KINDS or 0 in (x.ndim, y.ndim):
        return cp.matmul(x, y)
    if y.ndim == 1:
        return product(x, y[:, None])[..., 0]
    if x.ndim == 1:
        return product(x[None], y)[..., 0, :]
    (rows, depth), columns = x.shape[-2:], y.shape[-1]
    if depth != y.shape[-2]:
        raise ValueError(f"matmul: {x.shape} and {y.shape} do not fit: {depth} columns and {y.shape[-2]} rows")
    if y.ndim == 2 and x.ndim > 2:
        return product(x.reshape((-1, depth)), y).reshape((*x.shape[:-1], columns))
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    out = cp.empty((*batch, rows, columns), x.dtype)
    if out.size and depth:
        _multiply(_Matrices(x, batch), _Matrices(y, batch), out, depth)
    else:
        out.fill(0)
    return out


def summed(subscripts: str, *operands: Any) -> Any:
    """Return the sum of products that `subscripts` describes, all of which are made first."""
    terms, _, result = subscripts.partition("->")
    letters = result + "".join(sorted({*terms} - {*result, ","}))
    made: Any = 1
    for term, x in zip(terms.split(","), operands, strict=True):
        order = sorted(range(x.ndim), key=lambda axis, term=term: letters.index(term[axis]))  # type: ignore[misc]
        made = made * x.transpose(order)[tuple(slice(None) if letter in term else None for letter in letters)]
    return made.sum(tuple(range(len(result), len(letters))))


class _Matrices:
    """Matrices as the library sees them, column after column: those of C order are transposed."""

    def __init__(self, x: Any, batch: tuple[int, ...]) -> None:
        rows, columns = x.shape[-2:]
        if prod(x.shape[:-2]) > 1 and x.shape[:-2] != batch:
            x = cp.broadcast_to(x, (*batch, rows, columns))
        x = x.reshape((-1, rows, columns))
        if not self._fits(x):
            x = cp.ascontiguousarray(x)
            self._fits(x)
        self.array = x
        self.step = x.strides[0] // x.itemsize if x.shape[0] > 1 else 0

    def _fits(self, x: Any) -> bool:
        rows, columns = x.shape[1:]
        step, down, along = (stride // x.itemsize for stride in x.strides)
        if step < 0 and x.shape[0] > 1:
            return False
        if (along == 1 or columns == 1) and (down >= columns or rows == 1):
            self.turned, self.leading = 0, down if rows > 1 else columns
        elif (down == 1 or rows == 1) and (along >= rows or columns == 1):
            self.turned, self.leading = 1, along if columns > 1 else rows
        else:
            return False
        return True


def _multiply(x: _Matrices, y: _Matrices, out: Any, depth: int) -> None:
    """Give the product to the current stream. Of matrices that are all transposed, the product is y @ x."""
    lib, handle = library(), cp.cuda.Device().cublas_handle
    kind, inside, numbers = KINDS[out.dtype.name]
    rows, columns = out.shape[-2:]
    if max(rows, columns, depth, x.leading, y.leading) >= 1 << 31:
        raise ValueError("matmul: cuBLAS takes no matrices of 2^31 rows or columns")
    stream = cp.cuda.get_current_stream().ptr
    _check(lib.cublasSetStream_v2(handle, stream))
    workspace = _workspace(stream)
    if workspace is not None:
        _check(lib.cublasSetWorkspace_v2(handle, int(workspace.data.ptr), workspace.nbytes))
    _check(lib.cublasSetPointerMode_v2(handle, 0))
    one, zero = numbers(1, 0), numbers(0, 0)
    _check(lib.cublasGemmStridedBatchedEx(
        handle, y.turned, x.turned, columns, rows, depth, ctypes.addressof(one),
        int(y.array.data.ptr), kind, y.leading, y.step,
        int(x.array.data.ptr), kind, x.leading, x.step, ctypes.addressof(zero),
        int(out.data.ptr), kind, columns, rows * columns, prod(out.shape[:-2]), inside, DEFAULT_WAY,
    ))  # fmt: skip


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"cuBLAS failed in a capture, with status {status}")


def _workspace(stream: int) -> Any:
    """The memory that a capture of this thread has for what runs on a stream; None where nothing is captured."""
    for capture in captures:
        if capture.thread == threading.get_ident():
            if stream not in capture.workspaces:
                size = ON_HOPPER if device_properties()[1] >= 9 else WORKSPACE
                capture.workspaces[stream] = cp.empty(size, "u1")
            return capture.workspaces[stream]
    return None
