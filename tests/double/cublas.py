"""The pretended library cuBLAS, which is called by addresses: matrices column after column. It must not know gradcore."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tests.double import graphs, queues
from tests.double.arrays import living, ndarray, owner, to_host
from tests.double.machine import current

DTYPES = {0: "f4", 1: "f8", 2: "f2", 4: "c8", 5: "c16"}  # cudaDataType_t, but for bfloat16
INSIDE = {"f4": {68, 77}, "f8": {70}, "f2": {68}, "c8": {68}, "c16": {70}}  # cublasComputeType_t


def dtype_of(kind: int) -> Any:
    if kind == 14:
        from ml_dtypes import bfloat16

        return np.dtype(bfloat16)
    return np.dtype(DTYPES[kind])


class Library:
    """What gradcore calls, by the names of the library."""

    def __init__(self) -> None:
        self.stream = self.workspace = 0
        self.products = 0

    def cublasSetStream_v2(self, handle: int, stream: int) -> int:
        assert handle == 0xB1A5 + current.id
        self.stream, self.workspace = stream, 0  # which takes a workspace away
        return 0

    def cublasSetPointerMode_v2(self, handle: int, mode: int) -> int:
        assert mode == 0, "the numbers lie on the host"
        return 0

    def cublasSetWorkspace_v2(self, handle: int, pointer: int, size: int) -> int:
        memory, start = found(pointer, size)
        assert start == 0
        assert memory.nbytes == size
        self.workspace = pointer
        return 0

    def cublasGemmStridedBatchedEx(
        self, handle: int, op_a: int, op_b: int, m: int, n: int, k: int, alpha: int,
        a: int, kind_a: int, lda: int, step_a: int, b: int, kind_b: int, ldb: int, step_b: int, beta: int,
        c: int, kind_c: int, ldc: int, step_c: int, batch: int, inside: int, way: int,
    ) -> int:  # fmt: skip
        assert self.stream == queues.get_current_stream().ptr
        assert current.capturing is None or self.workspace, "a graph's product in memory that others use"
        assert way == -1
        dtype = dtype_of(kind_c)
        assert kind_a == kind_b == kind_c
        assert inside in INSIDE.get(dtype.str[1:], {68})
        number = ctypes.c_double if inside == 70 else ctypes.c_float
        for address, value in ((alpha, 1), (beta, 0)):
            assert tuple((number * 2).from_address(address)) == (value, 0)
        ends = [
            seen(a, dtype, batch, step_a, lda, (k, m) if op_a else (m, k)),
            seen(b, dtype, batch, step_b, ldb, (n, k) if op_b else (k, n)),
            seen(c, dtype, batch, step_c, ldc, (m, n)),
        ]
        self.products += 1
        multiplied(*(memory for memory, _ in ends), [how for _, how in ends], (op_a, op_b))
        return 0


def found(pointer: int, size: int) -> tuple[ndarray, int]:
    """The array whose memory holds so many bytes from an address on, and how far from its beginning."""
    for x in list(living.values()):
        start = owner(x._host).__array_interface__["data"][0]
        if x._device == current.id and start <= pointer and pointer + size <= start + owner(x._host).nbytes:
            return x, pointer - start
    raise AssertionError("an address of no array, or matrices that end outside of it")


def seen(pointer: int, dtype: Any, batch: int, step: int, leading: int, shape: tuple[int, int]) -> tuple[ndarray, Any]:
    """The array with matrices, and how they lie in it."""
    rows, columns = shape
    assert leading >= max(rows, 1), "cuBLAS refuses it"
    last = (batch - 1) * step + (columns - 1) * leading + rows
    memory, start = found(pointer, last * dtype.itemsize)
    strides = tuple(stride * dtype.itemsize for stride in (step, 1, leading))
    return memory, (start, dtype, (batch, rows, columns), strides)


@graphs.replayed
def multiplied(a: ndarray, b: ndarray, c: ndarray, ways: list[Any], turned: tuple[int, int]) -> None:
    x, y, out = (matrices(memory, how) for memory, how in zip((a, b, c), ways, strict=True))
    wide = "c16" if out.dtype.kind == "c" else "f8"
    x, y = (z.swapaxes(1, 2) if turn else z for z, turn in zip((x.astype(wide), y.astype(wide)), turned, strict=True))
    out[...] = (x @ y).astype(out.dtype)


def matrices(memory: ndarray, how: Any) -> Any:
    to_host(memory, "cublasGemmStridedBatchedEx")
    start, dtype, shape, strides = how
    flat = owner(memory._host).ravel("K").view("u1")[start:]
    assert np.shares_memory(flat, memory._host)
    whole = flat[: flat.size // dtype.itemsize * dtype.itemsize].view(dtype)
    return np.lib.stride_tricks.as_strided(whole, shape, strides)


library = Library()
