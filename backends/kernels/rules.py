"""One kernel for a rule that changes arrays element by element, written by running the rule; must not know any rule.

A rule is a function of a namespace and of arrays, which it changes in place by operators, and of numbers. Run on
`Symbol`s it writes down what it does, and that is the body of a kernel that takes many sets of arrays in one launch.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends.kernels.launch import NAMES, SERVED, WIDE, headers

Rule = Callable[..., None]

LARGEST = 4000  # bytes of arguments that any device takes
THREADS, CHUNK = 256, 2048


class Trace:
    """The lines of a kernel: `once` in a thread, and for `each` element; and the numbers they take."""

    def __init__(self) -> None:
        self.once: list[str] = []
        self.each: list[str] = []
        self.numbers: list[float] = []

    def write(self, expression: str, *operands: Symbol, once: bool | None = None) -> Symbol:
        """Write a line; return what stands for its value. It runs once if all it takes does."""
        once = all(each.once for each in operands) if once is None else once
        name = f"v{len(self.once) + len(self.each)}"
        (self.once if once else self.each).append(f"const {'double' if once else 'A'} {name} = {expression};")
        return Symbol(self, name, once)

    def symbol(self, x: Any) -> Symbol:
        """What stands for a number; a symbol stands for itself."""
        if isinstance(x, Symbol):
            return x
        self.numbers.append(float(x))
        return self.write(f"set.numbers[{len(self.numbers) - 1}]", once=True)


class Symbol:
    """A value of a kernel that is being written; an operator writes a line. What changes it in place renames it."""

    def __init__(self, trace: Trace, name: str, once: bool = False) -> None:
        self.trace, self.name, self.once = trace, name, once

    def apply(self, template: str, *others: Any) -> Symbol:
        """The value of an expression of this and others; numbers that are the same for all are rounded to A."""
        operands = [self, *map(self.trace.symbol, others)]
        once = all(each.once for each in operands)
        names = [f"A({each.name})" if each.once and not once else each.name for each in operands]
        return self.trace.write(template.format(*names), *operands)

    def become(self, value: Any) -> Symbol:
        """Take the value of another."""
        self.name, self.once = (found := self.trace.symbol(value)).name, found.once
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        assert key is ..., "a rule sees elements, so that it can index nothing"
        self.become(value)

    def __bool__(self) -> bool:
        raise TypeError("a rule cannot ask for the value of an element")

    __array_ufunc__ = None
    __add__, __radd__ = (lambda s, o: s.apply("{0} + {1}", o)), (lambda s, o: s.apply("{1} + {0}", o))
    __sub__, __rsub__ = (lambda s, o: s.apply("{0} - {1}", o)), (lambda s, o: s.apply("{1} - {0}", o))
    __mul__, __rmul__ = (lambda s, o: s.apply("{0} * {1}", o)), (lambda s, o: s.apply("{1} * {0}", o))
    __truediv__, __rtruediv__ = (lambda s, o: s.apply("{0} / {1}", o)), (lambda s, o: s.apply("{1} / {0}", o))
    __pow__, __rpow__ = (lambda s, o: s.apply("pow({0}, {1})", o)), (lambda s, o: s.apply("pow({1}, {0})", o))
    __iadd__, __isub__ = (lambda s, o: s.become(s + o)), (lambda s, o: s.become(s - o))
    __imul__, __itruediv__ = (lambda s, o: s.become(s * o)), (lambda s, o: s.become(s / o))
    __neg__ = lambda s: s.apply("-{0}")  # noqa: E731
    __gt__, __lt__ = (lambda s, o: s.apply("A({0} > {1})", o)), (lambda s, o: s.apply("A({0} < {1})", o))
    __ge__, __le__ = (lambda s, o: s.apply("A({0} >= {1})", o)), (lambda s, o: s.apply("A({0} <= {1})", o))


class Written:
    """The functions that rules use, of symbols: NaN goes through as in NumPy's."""

    sqrt = staticmethod(lambda x: x.apply("sqrt({0})"))
    absolute = staticmethod(lambda x: x.apply("fabs({0})"))
    sign = staticmethod(lambda x: x.apply("{0} > A(0) ? A(1) : {0} < A(0) ? A(-1) : {0}"))
    maximum = staticmethod(lambda x, y: x.apply("{0} > {1} || {0} != {0} ? {0} : {1}", y))
    clip = staticmethod(lambda x, low, high: x.apply("{0} < {1} ? {1} : {0} > {2} ? {2} : {0}", low, high))


def written(rule: Rule, arrays: int, names: tuple[str, ...], numbers: dict[str, Any]) -> Trace:
    """What `rule` does to so many arrays, with `numbers` and those called `names` that are on the device."""
    trace = Trace()
    elements = [trace.write(f"A(a{i}[i])", once=False) for i in range(arrays)]
    before = [each.name for each in elements]
    there = {name: trace.write(f"double(*n{i})", once=True) for i, name in enumerate(names)}
    rule(Written, *elements, **there, **numbers)
    trace.each += [f"a{i}[i] = T({each.name});" for i, each in enumerate(elements) if each.name != before[i]]
    return trace


SOURCE = """{half}typedef {narrow} T;
typedef {wide} A;

struct Sets {{
    unsigned long long arrays[{sets}][{pointers}];
    long long sizes[{sets}];
    long long first[{sets}];
    double numbers[{numbers}];
}};

// Blocks first[s] and on take a piece each of the arrays of set s.
extern "C" __global__ void gradcore_rule(const Sets set) {{
    int s = 0, end = {sets};
    while (end - s > 1) {{
        const int middle = (s + end) / 2;
        if (set.first[middle] <= (long long)blockIdx.x) s = middle; else end = middle;
    }}
    const long long start = ((long long)blockIdx.x - set.first[s]) * {chunk};
    const long long stop = start + {chunk} < set.sizes[s] ? start + {chunk} : set.sizes[s];
{taken}
    for (long long i = start + threadIdx.x; i < stop; i += blockDim.x) {{
{each}
    }}
}}
"""


class Kernel:
    """The kernel of a trace, for sets of `arrays` arrays of T and the device's numbers of these dtypes."""

    def __init__(self, char: str, arrays: int, devices: str, once: str, each: str, numbers: int) -> None:
        pointers = arrays + len(devices)
        self.sets = (LARGEST - 8 * numbers) // (8 * (pointers + 2))
        taken = [f"T* __restrict__ a{i} = (T*)set.arrays[s][{i}];" for i in range(arrays)]
        taken += [
            f"const {NAMES[d]}* n{i} = (const {NAMES[d]}*)set.arrays[s][{arrays + i}];" for i, d in enumerate(devices)
        ]
        self.text = SOURCE.format(
            half=headers(char + devices), narrow=NAMES[char], wide=WIDE[char], sets=self.sets, pointers=pointers,
            numbers=max(numbers, 1), chunk=CHUNK,
            taken=_indented(1, *taken, *once.splitlines()), each=_indented(2, *each.splitlines()),
        )  # fmt: skip
        self.table = np.dtype([
            ("arrays", "u8", (self.sets, pointers)), ("sizes", "i8", self.sets), ("first", "i8", self.sets),
            ("numbers", "f8", max(numbers, 1)),
        ])  # fmt: skip
        self.compiled = cp.RawKernel(self.text, "gradcore_rule")

    def __call__(self, sets: Sequence[Sequence[Any]], numbers: Sequence[float]) -> None:
        for start in range(0, len(sets), self.sets):
            some = sets[start : start + self.sets]
            table = np.zeros(1, self.table)
            fields = table[0]
            fields["numbers"][: len(numbers)] = numbers
            fields["arrays"][: len(some)] = [[x.data.ptr for x in each] for each in some]
            fields["sizes"][: len(some)] = sizes = [each[0].size for each in some]
            ends = np.cumsum([-(-size // CHUNK) for size in sizes])
            fields["first"][:] = np.iinfo(np.int64).max
            fields["first"][0] = 0
            fields["first"][1 : len(some)] = ends[:-1]
            self.compiled((int(ends[-1]),), (THREADS,), (table,))


kernel = cache(Kernel)


def _indented(depth: int, *lines: str) -> str:
    return "\n".join("    " * depth + line for line in lines)


def run_rule(
    otherwise: Rule, rule: Rule, sets: Sequence[Sequence[Any]], names: tuple[str, ...], numbers: dict[str, Any]
) -> None:
    """Run `rule` on sets of arrays, the last of them its numbers `names`: one launch for many sets of one dtype."""
    alike: dict[tuple[int, str], list[Sequence[Any]]] = {}
    for arrays in sets:
        if not (size := arrays[0].size):
            continue
        if not serves(arrays[: len(arrays) - len(names)], size):
            otherwise(rule, [arrays], names, numbers)
            continue
        key = arrays[0].data.device_id, "".join(x.dtype.char for x in (arrays[0], *arrays[len(arrays) - len(names) :]))
        alike.setdefault(key, []).append(arrays)
    if not alike:
        return
    count = len(next(iter(alike.values()))[0]) - len(names)
    trace = written(rule, count, names, numbers)
    for (device, chars), some in alike.items():
        made = kernel(chars[0], count, chars[1:], "\n".join(trace.once), "\n".join(trace.each), len(trace.numbers))
        with cp.cuda.Device(device):
            made([[cp.ascontiguousarray(gradient), *changed] for gradient, *changed in some], trace.numbers)


def serves(arrays: Sequence[Any], size: int) -> bool:
    """Say whether the kernel serves: arrays of one size and dtype, contiguous but for the first."""
    dtype = arrays[0].dtype
    return dtype.char in SERVED and all(
        type(x) is cp.ndarray and x.dtype == dtype and x.size == size and (x.flags.c_contiguous or not i)
        for i, x in enumerate(arrays)
    )
