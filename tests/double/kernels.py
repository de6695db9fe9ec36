"""The pretended ElementwiseKernel and RawKernel: their C++ compiled for the host. It must not know gradcore's kernels.

A block has one thread here, so that arithmetic and indices are proved, and reductions across threads are not. Without
a C++ compiler, and for types it lacks, a kernel is what composed.py has under its name less `gradcore_`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.double.arrays import ndarray
from tests.double.functions import garbage

TYPES = {"f": "float", "d": "double", "?": "bool", "i": "int", "l": "long long", "b": "signed char", "B": "unsigned char"}
COMPILER = shutil.which("g++")
FLAGS = ["-std=c++17", "-O1", "-w", "-ffp-contract=off", "-shared", "-fPIC"]
SERVED = {"f", "d"} if COMPILER else set()  # the types of T that kernels are run for here
runs: list[str] = []  # the kernels that were run

# What a kernel finds on a device, without the standard headers, which take most of a compiler's time.
PRELUDE = """
#define __global__
#define __device__ static
#define __shared__
#define __restrict__
#define INFINITY __builtin_inff()
static inline void __syncthreads() {}
struct Three { unsigned int x, y, z; };
static Three threadIdx = {0, 0, 0}, blockIdx = {0, 0, 0}, blockDim = {1, 1, 1}, gridDim = {1, 1, 1};
""" + "".join(
    f'extern "C" double {name}(double) noexcept; extern "C" float {name}f(float) noexcept;\n'
    f"static inline float {name}(float x) {{ return {name}f(x); }}\n"
    for name in "exp log log1p erf erfc tanh sqrt fabs".split()
) + 'extern "C" double pow(double, double) noexcept;'


@cache
def library(source: str) -> ctypes.CDLL:
    """The shared object of a C++ source, compiled once for all processes and runs."""
    folder = Path(__file__).resolve().parents[2] / ".pytest_cache" / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{hashlib.sha256(source.encode()).hexdigest()[:24]}.so"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            text, out = Path(work) / "kernel.cpp", Path(work) / "kernel.so"
            text.write_text(source)
            done = subprocess.run([str(COMPILER), *FLAGS, text, "-o", out], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            os.replace(out, made)
    return ctypes.CDLL(str(made))


def composed(name: str, *args: Any) -> Any:
    from gradcore.backends import composed
    from tests import double

    numbers = [x.item() if isinstance(x, np.generic) else x for x in args]
    return getattr(composed, name.removeprefix("gradcore_"))(double.backend(), *numbers)


class ElementwiseKernel:
    """cupy.ElementwiseKernel of inputs that broadcast and one output."""

    def __init__(
        self, in_params: str, out_params: str, operation: str, name: str = "kernel", *, preamble: str = "", **options: Any
    ) -> None:
        self.inputs = [tuple(each.split()) for each in in_params.split(",")]
        self.output = tuple(out_params.split())
        self.operation, self.name, self.preamble = operation, name, preamble

    def __call__(self, *args: Any) -> ndarray:
        assert len(args) == len(self.inputs), f"{self.name} takes {len(self.inputs)} arguments"
        assert all(isinstance(x, (ndarray, np.generic)) for x in args), "a number here would be of a type nobody chose"
        hosts = [np.asarray(x._host if isinstance(x, ndarray) else x) for x in args]
        types: dict[str, Any] = {}
        for (letter, _), x in zip(self.inputs, hosts, strict=True):
            assert types.setdefault(letter, x.dtype) == x.dtype, f"{self.name}: two types for {letter}"
        if COMPILER is None or any(d.char not in TYPES for d in types.values()):
            return composed(self.name, *args)  # type: ignore[no-any-return]
        runs.append(self.name)
        out = garbage(np.broadcast_shapes(*(x.shape for x in hosts)), types[self.output[0]])
        whole = [np.ascontiguousarray(np.broadcast_to(x, out.shape)) for x in hosts]
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*whole, out._host)]
        library(self.source(types)).run(ctypes.c_longlong(out.size), *pointers)
        return out

    def source(self, types: dict[str, Any]) -> str:
        names = [*self.inputs, self.output]
        aliases = "".join(f"typedef {TYPES[d.char]} {letter};\n" for letter, d in types.items())
        taken = ", ".join(f"{letter}* _{name}" for letter, name in names)
        each = " ".join(f"{letter}& {name} = _{name}[i];" for letter, name in names)
        return (
            f"{PRELUDE}{aliases}{self.preamble}\n"
            f'extern "C" void run(long long n, {taken}) {{ for (long long i = 0; i < n; i++) {{ {each}\n'
            f"{self.operation}\n}} }}"
        )


class RawKernel:
    """cupy.RawKernel, a block at a time."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), **more: Any) -> None:
        self.code, self.name = code, name

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        assert 0 < block[0] <= 1024
        assert block[0] & (block[0] - 1) == 0, "the reductions halve"
        assert "gradcore_memory" not in self.code or shared_mem >= block[0] * 4
        assert all(x._host.flags.c_contiguous for x in args if isinstance(x, ndarray))
        given = [x for x in args if not isinstance(x, ndarray)]
        assert all(isinstance(x, np.generic) or x.size == 1 for x in given), "a number of a type nobody chose"
        assert sum(x.nbytes for x in given) <= 4096, "more than a device takes"
        runs.append(self.name)
        found = library(f"{PRELUDE}{self.code}\nchar gradcore_memory[1 << 16];\n{self.walk(args)}")
        found.run(ctypes.c_longlong(grid[0]), *(self.passed(x) for x in args))

    def walk(self, args: Any) -> str:
        kinds = [self.kind(x) for x in args]
        taken = ", ".join(f"{kind} a{i}" for i, kind in enumerate(kinds))
        passed = ", ".join(f"{'*' * isinstance(x, np.ndarray)}a{i}" for i, x in enumerate(args))
        return (
            f'extern "C" void run(long long n, {taken}) '
            f"{{ gridDim.x = n; for (long long i = 0; i < n; i++) {{ blockIdx.x = i; {self.name}({passed}); }} }}"
        )

    def kind(self, x: Any) -> str:
        """The C++ type of an argument; a record of NumPy's, passed by value, is of the source's only struct."""
        if isinstance(x, np.ndarray):
            return f"{self.code.partition('struct ')[2].split()[0]}*"
        return f"{TYPES[x.dtype.char]}{'*' if isinstance(x, ndarray) else ''}"

    @staticmethod
    def passed(x: Any) -> Any:
        if isinstance(x, (ndarray, np.ndarray)):
            return ctypes.c_void_p((x._host if isinstance(x, ndarray) else x).ctypes.data)
        return {"l": ctypes.c_longlong, "i": ctypes.c_int, "f": ctypes.c_float, "d": ctypes.c_double}[x.dtype.char](x)
