"""When a fused kernel serves and how it is launched; must not know any kernel."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

import cupy as cp
import numpy as np

# What a sum or a product of T is computed in: float for 16 bits (E is ml_dtypes' bfloat16), T itself else.
WIDE = {"e": "float", "E": "float", "f": "float", "d": "double"}
SERVED = set(WIDE)
NAMES = {"e": "float16", "E": "bfloat16", "f": "float", "d": "double"}
PREAMBLE = "typedef decltype(T(0) + 0.f) A;"

USUAL_MEMORY = 48 << 10  # bytes that the threads of a block may share without asking
BLOCKS = (1 << 31) - 1  # of one launch

elementwise_kernels: list[Any] = []
raw_kernels: list[Kernel] = []


def serves(*operands: Any) -> bool:
    """Say whether all are device arrays of one of the dtypes that kernels are written for."""
    dtype = getattr(operands[0], "dtype", None)
    return getattr(dtype, "char", "") in SERVED and all(type(x) is cp.ndarray and x.dtype == dtype for x in operands)


def fits(blocks: int) -> bool:
    """Say whether a launch takes so many blocks."""
    return blocks <= BLOCKS


def elementwise(name: str, inputs: str, operation: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of arrays, all of type T, and of numbers: one kernel, or `otherwise` where none serves."""
    arrays = [each.split()[1] for each in inputs.split(",") if each.split()[0] == "T"]
    kernel = cp.ElementwiseKernel(inputs, "T y", operation, f"gradcore_{name}", preamble=PREAMBLE)
    elementwise_kernels.append(kernel)

    def call(*operands: Any) -> Any:
        if not serves(*operands[: len(arrays)]):
            return otherwise(*operands)
        return kernel(*operands[: len(arrays)], *map(wide(operands[0]), operands[len(arrays) :]))

    return named(call, name, otherwise)


def named(call: Callable[..., Any], name: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Give `call` a name, and the signature of what it stands for."""
    call.__name__ = call.__qualname__ = name
    call.__signature__ = signature(otherwise)  # type: ignore[attr-defined]
    return call


def wide(x: Any) -> Any:
    """The dtype that a kernel computes in for elements such as those of `x`."""
    return np.float64 if x.dtype.char == "d" else np.float32


def headers(chars: str) -> str:
    """The lines that define the types of these dtype characters."""
    names = ["carray", *(each for char, each in (("e", "float16"), ("E", "bfloat16")) if char in chars)]
    return "".join(f"#include <cupy/{each}.cuh>\n" for each in names) if len(names) > 1 else ""


def team(length: int) -> int:
    """How many threads work on so many elements."""
    return min(1024, max(32, 1 << (length - 1).bit_length()))


class Kernel:
    """A CUDA source over contiguous arrays of type T, computed in A, compiled once for each T.

    `uses` are the sources of functions that it calls.
    """

    def __init__(self, name: str, source: str, *uses: str) -> None:
        self.name = name
        self.source = "".join((*uses, source))
        self.compiled = cache(self._compiled)
        raw_kernels.append(self)

    def text(self, char: str) -> str:
        """The source for T of a dtype character."""
        return f"{headers(char)}typedef {NAMES[char]} T;\ntypedef {WIDE[char]} A;\n{self.source}"

    def _compiled(self, char: str) -> Any:
        return cp.RawKernel(self.text(char), self.name)

    def blocks(self, grid: tuple[int, ...], threads: int, *arguments: Any, memory: int = 0) -> None:
        """Run a `grid` of blocks of so many threads, which share `memory` bytes."""
        compiled = self.compiled(arguments[0].dtype.char)
        if memory > USUAL_MEMORY:
            compiled.max_dynamic_shared_size_bytes = memory
        compiled(grid, (threads,), arguments, shared_mem=memory)

    def rows(self, rows: int, length: int, *arguments: Any) -> None:
        """Run one block, of which each thread has a place to sum up, for each row; its length is the last argument."""
        threads = team(length)
        memory = threads * wide(arguments[0])().itemsize
        self.blocks((rows,), threads, *arguments, np.int64(length), memory=memory)
