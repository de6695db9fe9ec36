"""The pretended ElementwiseKernel and RawKernel: their C++ compiled for the host. It must not know gradcore's kernels.

A block has one thread here, or as many as `block(...)` says: fibers that change at barriers, in an order that is to be
chosen, so that a barrier that is missing, or that not all threads come to, is seen. What memory the threads of a block
share begins as NaN; what is behind it must not be written to. Without a C++ compiler, and for types it lacks, a kernel is
what composed.py has under its name less `gradcore_`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.double.arrays import ndarray, to_host
from tests.double.functions import garbage

TYPES = {
    "e": "float16", "E": "bfloat16", "f": "float", "d": "double", "?": "bool", "i": "int", "l": "long long",
    "b": "signed char", "B": "unsigned char", "L": "unsigned long long", "I": "unsigned int",
}  # fmt: skip
SCALARS = {
    "l": ctypes.c_longlong, "i": ctypes.c_int, "L": ctypes.c_ulonglong, "I": ctypes.c_uint, "f": ctypes.c_float,
    "d": ctypes.c_double,
}  # fmt: skip
COMPILER = shutil.which("g++")
FLAGS = ["-std=c++17", "-O1", "-w", "-ffp-contract=off", "-shared", "-fPIC"]
SERVED = {"e", "E", "f", "d"} if COMPILER else set()  # the types of T that kernels are run for here
runs: list[str] = []  # the kernels that were run
MEMORY = 48 << 10  # bytes that the threads of a block may share, unless asked for
LARGEST_MEMORY = 64 << 10
threads, backwards = 1, False  # of a block, at most; whether the last one goes first


@contextmanager
def block(count: int, last_first: bool = False) -> Iterator[None]:
    """Let blocks have so many threads at most in the block of code."""
    global threads, backwards
    before = threads, backwards
    threads, backwards = count, last_first
    try:
        yield
    finally:
        threads, backwards = before


# What a kernel finds on a device, without the standard headers, which take most of a compiler's time.
PRELUDE = """
#define __global__
#define __device__ inline
#define __shared__
#define __restrict__
#define __launch_bounds__(...)
#define __int_as_float(bits) __builtin_bit_cast(float, bits)
struct Three { unsigned int x, y, z; };
static Three threadIdx = {0, 0, 0}, blockIdx = {0, 0, 0}, blockDim = {1, 1, 1}, gridDim = {1, 1, 1};
static void (*barrier)() = nullptr;
static inline void __syncthreads() { if (barrier) barrier(); }
""" + "".join(
    f'extern "C" double {name}(double) noexcept; extern "C" float {name}f(float) noexcept;\n'
    f"static inline float {name}(float x) {{ return {name}f(x); }}\n"
    for name in "exp expm1 log log1p erf erfc tanh sqrt fabs".split()
) + """
extern "C" double pow(double, double) noexcept;

template <int> struct Narrow;
template <> struct Narrow<11> {
    static unsigned short of(float x) { _Float16 y = x; unsigned short bits; __builtin_memcpy(&bits, &y, 2); return bits; }
    static float at(unsigned short bits) { _Float16 y; __builtin_memcpy(&y, &bits, 2); return y; }
};
template <> struct Narrow<8> {
    static unsigned short of(float x) {
        unsigned int bits;
        __builtin_memcpy(&bits, &x, 4);
        return x != x ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }
    static float at(unsigned short bits) { unsigned int y = bits << 16; float x; __builtin_memcpy(&x, &y, 4); return x; }
};
template <int digits> struct Short {  // converts as CuPy's float16 and bfloat16 do
    unsigned short bits;
    Short() = default;
    Short(float x) : bits(Narrow<digits>::of(x)) {}
    explicit Short(double x) : Short(float(x)) {}
    explicit Short(int x) : Short(float(x)) {}
    operator float() const { return Narrow<digits>::at(bits); }
};
typedef Short<11> float16;
typedef Short<8> bfloat16;
"""

# Threads as fibers: each runs to the next barrier, then the next one does.
FIBERS = """
#include <ucontext.h>
static ucontext_t outside, inside[256];
static char stacks[256][1 << 16];
static bool over[256];
alignas(16) char gradcore_memory[1 << 16];
static void (*body)();
static void wait() { swapcontext(&inside[threadIdx.x], &outside); }
static void thread() { body(); over[threadIdx.x] = true; wait(); }

static bool untouched(unsigned int memory) {  // what is behind the memory that was asked for
    for (unsigned int i = memory; i < sizeof gradcore_memory; i++) if (gradcore_memory[i] != (char)0xff) return false;
    return true;
}

// Whether all threads came to the same barriers and wrote to memory of theirs.
static bool run_block(unsigned int count, bool backwards, unsigned int memory) {
    __builtin_memset(gradcore_memory, 0xff, sizeof gradcore_memory);
    if (count == 1) { body(); return untouched(memory); }
    barrier = wait;
    for (unsigned int t = 0; t < count; t++) {
        over[t] = false;
        getcontext(&inside[t]);
        inside[t].uc_stack.ss_sp = stacks[t];
        inside[t].uc_stack.ss_size = sizeof stacks[t];
        inside[t].uc_link = &outside;
        makecontext(&inside[t], thread, 0);
    }
    unsigned int ended = 0;
    while (!ended) {
        for (unsigned int t = 0; t < count; t++) {
            threadIdx.x = backwards ? count - 1 - t : t;
            swapcontext(&outside, &inside[threadIdx.x]);
            ended += over[threadIdx.x];
        }
    }
    threadIdx.x = 0;
    barrier = nullptr;
    return ended == count && untouched(memory);
}
"""


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
        hosts = [np.asarray(to_host(x, self.name)) for x in args]
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
        self.code, self.name = re.sub(r"#include <cupy/.*\n", "", code), name
        self.max_dynamic_shared_size_bytes = MEMORY

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        assert 0 < block[0] <= 1024
        assert block[0] & (block[0] - 1) == 0, "the reductions halve"
        assert all(0 < n < 1 << (16 if axis else 31) for axis, n in enumerate(grid)), "a grid that no device takes"
        assert "gradcore_memory" not in self.code or block[0] * 4 <= shared_mem <= self.max_dynamic_shared_size_bytes
        assert self.max_dynamic_shared_size_bytes <= LARGEST_MEMORY
        assert all(x._host.flags.c_contiguous for x in args if isinstance(x, ndarray))
        given = [x for x in args if not isinstance(x, ndarray)]
        assert all(isinstance(x, np.generic) or x.size == 1 for x in given), "a number of a type nobody chose"
        assert sum(x.nbytes for x in given) <= 4096, "more than a device takes"
        for x in args:
            if isinstance(x, ndarray):
                to_host(x, self.name)  # of this device, and waited for
        runs.append(self.name)
        found = library(f"{PRELUDE}{self.code}\n{FIBERS}\n{self.walk(args)}")
        size = [ctypes.c_uint(n) for n in (*grid, 1, 1)[:3]]
        one = ctypes.c_uint(min(block[0], threads))
        agreed = found.run(*size, one, ctypes.c_bool(backwards), ctypes.c_uint(shared_mem), *map(self.passed, args))
        assert agreed, f"{self.name}: some threads have ended while others wait, or write to memory nobody asked for"

    def walk(self, args: Any) -> str:
        kinds = [self.kind(x) for x in args]
        passed = ", ".join(f"{'*' * isinstance(x, np.ndarray)}a{i}" for i, x in enumerate(args))
        return (
            "\n".join(f"static {kind} a{i};" for i, kind in enumerate(kinds))
            + f"\nstatic void call() {{ {self.name}({passed}); }}\n"
            + 'extern "C" int run(unsigned x, unsigned y, unsigned z, unsigned threads, bool backwards, unsigned memory, '
            + ", ".join(f"{kind} b{i}" for i, kind in enumerate(kinds))
            + f""") {{
            {" ".join(f"a{i} = b{i};" for i in range(len(kinds)))}
            gridDim = {{x, y, z}}; blockDim = {{threads, 1, 1}}; body = call;
            bool agreed = true;
            for (unsigned i = 0; i < x; i++) for (unsigned j = 0; j < y; j++) for (unsigned k = 0; k < z; k++) {{
                blockIdx = {{i, j, k}};
                agreed &= run_block(threads, backwards, memory);
            }}
            return agreed;
            }}"""
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
        return SCALARS[x.dtype.char](x)
