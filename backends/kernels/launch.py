"""When a fused kernel serves and how it is launched; must not know any kernel."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

import cupy as cp
import numpy as np

# What a sum or a product of T is computed in: float for half precision, T itself else.
WIDE = {"e": "float", "f": "float", "d": "double"}
SERVED = set(WIDE)
NAMES = {"e": "float16", "f": "float", "d": "double"}
PREAMBLE = "typedef decltype(T(0) + 0.f) A;"

elementwise_kernels: list[Any] = []
row_kernels: list[RowKernel] = []


def serves(*operands: Any) -> bool:
    """Say whether all are device arrays of one of the dtypes that kernels are written for."""
    dtype = getattr(operands[0], "dtype", None)
    return getattr(dtype, "char", "") in SERVED and all(type(x) is cp.ndarray and x.dtype == dtype for x in operands)


def elementwise(name: str, inputs: str, operation: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of arrays, all of type T, and of numbers: one kernel, or `otherwise` where none serves."""
    arrays = [each.split()[1] for each in inputs.split(",") if each.split()[0] == "T"]
    kernel = cp.ElementwiseKernel(inputs, "T y", operation, f"gradcore_{name}", preamble=PREAMBLE)
    elementwise_kernels.append(kernel)

    def call(*operands: Any) -> Any:
        if not serves(*operands[: len(arrays)]):
            return otherwise(*operands)
        wide = np.float64 if operands[0].dtype.char == "d" else np.float32
        return kernel(*operands[: len(arrays)], *map(wide, operands[len(arrays) :]))

    return named(call, name, otherwise)


def named(call: Callable[..., Any], name: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Give `call` a name, and the signature of what it stands for."""
    call.__name__ = call.__qualname__ = name
    call.__signature__ = signature(otherwise)  # type: ignore[attr-defined]
    return call


class RowKernel:
    """A kernel in which one block of threads takes one row of contiguous arrays of type T."""

    def __init__(self, name: str, source: str, *, reduces: bool = True) -> None:
        self.name = name
        self.reduces = reduces
        self.source = source
        self.compiled = cache(self._compiled)
        row_kernels.append(self)

    def text(self, char: str) -> str:
        """The source for T of a dtype character."""
        half = "#include <cupy/carray.cuh>\n#include <cupy/float16.cuh>\n" if char == "e" else ""
        return f"{half}typedef {NAMES[char]} T;\ntypedef {WIDE[char]} A;\n{REDUCTIONS * self.reduces}{self.source}"

    def _compiled(self, char: str) -> Any:
        return cp.RawKernel(self.text(char), self.name)

    def __call__(self, rows: int, length: int, *arguments: Any) -> None:
        """Run on `rows` rows; the length of a row is the kernel's last argument."""
        char = arguments[0].dtype.char
        threads = min(1024, max(32, 1 << (length - 1).bit_length()))
        memory = threads * (8 if char == "d" else 4)
        self.compiled(char)((rows,), (threads,), (*arguments, np.int64(length)), shared_mem=memory)


# Sums in an order that only the length decides: the same numbers in every run.
REDUCTIONS = r"""
extern __shared__ char gradcore_memory[];

__device__ A block_sum(A value) {
    A* part = (A*)gradcore_memory;
    part[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    value = part[0];
    __syncthreads();
    return value;
}

__device__ A block_max(A value) {
    A* part = (A*)gradcore_memory;
    part[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            A other = part[threadIdx.x + half];
            if (other > part[threadIdx.x] || other != other) part[threadIdx.x] = other;
        }
        __syncthreads();
    }
    value = part[0];
    __syncthreads();
    return value;
}
"""
