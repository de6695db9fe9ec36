"""Reductions, searches, counts, writes at indices, sums of logarithms and frequencies run by torch beside gradcore.

It must not know how they are done. The programs are those that once went another way.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.twin import same

torch = pytest.importorskip("torch")

X, AT, S = "T.arange(1, 7).view(2, 3)", "T.tensor([[0, 1, 0], [1, 1, 0]])", "T.tensor([[5, 6, 7], [8, 9, 10]])"

# Each leaves what is compared in `r`.
PROGRAMS = [
    # products at places that are named twice
    *(
        f"x = {X}.to(T.{dtype}); r = x.scatter(0, {AT}, {value}, reduce='multiply')"
        for dtype in ("uint8", "int32", "float16", "float32", "complex64")
        for value in (f"{S}.to(T.{dtype})", "3")
    ),
    f"x = {X}.float(); x.t().scatter_(0, {AT}, {S}.float(), reduce='multiply'); r = x, x._version",
    "r = T.tensor(2.0).scatter(0, T.tensor([0, 0]), 3, reduce='multiply')",
    f"r = {X}.scatter(0, T.tensor([], dtype=T.long), 3, reduce='multiply')",
    f"r = {X}.float().scatter(0, {AT}, value=T.tensor(3.0))",
    # segments
    *(
        f"x = T.tensor({data}, requires_grad=True); y = T.segment_reduce(x, '{reduce}', lengths=T.tensor({lengths}),"
        f" axis={axis}, unsafe=True, initial={initial}); (y * 1).nan_to_num().sum().backward(); r = y, x.grad"
        for data, lengths, axis in (
            ("[1, nan, 3, 4, 5, 5]", "[1, 2, 3, 0]", 0),
            ("[1, nan, 3, 4, 5, 5]", "[1, 2, 3, 0]", -1),
            ("[[1, 3, 5, nan], [2, 4, 4, 8.0]]", "[[2, 2], [1, 3]]", 1),
            ("[]", "[0, 0]", 0),
        )
        for reduce in ("max", "min", "sum")
        for initial in (None, 2)
    ),
    *(
        f"x = T.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8]], requires_grad=True); y = T.segment_reduce(x, '{reduce}', {parts})"
        "; y.nan_to_num().sum().backward(); r = y, x.grad"
        for reduce in ("sum", "max", "mean", "prod")
        for parts in (
            "offsets=T.tensor([0, 2])", "offsets=T.tensor([1, 2, 4])", "offsets=T.tensor([0, 2, 2]), initial=1",
            "lengths=T.tensor([2, 1]), unsafe=True", "lengths=T.tensor([2, 1])",
            "offsets=T.tensor([[0, 1], [1, 2], [0, 2], [2, 2]]), axis=1",
        )
    ),
    # powers of two that are larger than the product, or smaller
    "r = T.ldexp(T.tensor([1e-30, 1e30, 0.0, 1.0, -1.0]), T.tensor([200, -140, 200, 128, 2]))",
    "r = T.ldexp(T.tensor([1e-300, 1e300, 0.0], dtype=T.float64), T.tensor([1100, -1100, 2000]))",
    "r = T.ldexp(T.tensor([1.0, 0, inf, 1, -1, nan]), T.tensor([inf, inf, -inf, nan, -inf, 3]))",
    "r = T.ldexp(T.tensor([5.0, -7, 0, 100], dtype=T.float16), T.tensor([3, 2, 252, 7], dtype=T.uint8))",
    "x, y = (T.tensor(v, requires_grad=True) for v in ([1.0, 2], [3, 0.5])); T.ldexp(x, y).sum().backward();"
    " r = x.grad, y.grad",
    # logarithms of complex numbers
    "r = T.log1p(T.tensor([1e-30, 1e-10 + 1e-10j, -1e-8 + 1e-5j], dtype=T.complex128)).real * T.tensor([1e30, 1e10, 1e8])",
    "r = T.log1p(T.tensor([-1, -1 + 1j, 0j, complex(inf, 1), complex(-inf, -1), complex(inf, nan), 3 + 4j]))",
    "r = T.tensor([-inf + 4j, -inf + 1j, 1.2 + 2.1j, 1e10 + 1e20j, inf, inf + 1j, inf + 3j, nan + 2j]).logcumsumexp(0)",
    "r = T.tensor([complex(-inf, inf), -inf + 1j, 1.2 + 2.1j, complex(2.4, inf)]).logcumsumexp(0)",
    "r = T.tensor([-inf + 4j]).logcumsumexp(0), T.tensor(-inf + 4j).logcumsumexp(0)",
    "x = T.tensor([1 + 1j, 2 - 1j, -3j], requires_grad=True); x.logcumsumexp(0).abs().sum().backward(); r = x.grad",
    "r = T.logaddexp(T.tensor([-inf + 1j, -inf + 2j, inf + 1j, 1j, nan]), T.tensor([-inf + 2j, 1j, inf + 2j, 1, 1]))",
    # matrices with what is not finite
    *(
        f"r = T.linalg.matrix_power({matrix}, 0)"
        for matrix in ("T.full((2, 2), nan)", "T.ones(2, 2) > 0", "T.ones(3, 2, 2) * 1j", "T.zeros(2, 0, 0)")
    ),
    "x = T.eye(2, requires_grad=True); y = T.linalg.matrix_power(x, 0); y.sum().backward(); r = y, x.grad",
    *(
        f"r = T.linalg.cholesky_ex({matrix})[1] > 0"
        for matrix in ("T.ones(3, 3) * inf", "T.tensor([1, inf]).diag()", "T.tensor([inf, 1]).diag()", "T.ones(1, 1) * inf")
    ),
    # frequencies
    "r = [T.fft.fftfreq(n, d) for n, d in ((5, 1.0), (4, 0.5), (0, 1.0), (4, 0.0))]",
    "r = T.fft.rfftfreq(4), T.fft.rfftfreq(5, 0.0), T.fft.rfftfreq(0)",
    "x = T.fft.fftfreq(5, requires_grad=True); (x * x).sum().backward(); r = x, x.grad",
    # histograms
    *(
        f"r = list(T.histogram(T.tensor([1.0, 2, 1, -3]), {how}))"
        for how in ("4, range=(0.0, 0.0)", "4, range=(1.0, 1.0)", "4", "T.ones(0)", "2, range=(0,)", "T.ones(1)")
    ),
    *(f"r = list(T.histogramdd(T.tensor([[1.0], [2], [-3]]), 2{how}))" for how in ("", ", range=(0, 0)", ", range=(1, 1)")),
    "r = list(T.histogramdd(T.ones(3, 0), 2)), list(T.histogramdd(T.ones(3, 0), [], density=True))",
    "r = list(T.histogram(T.empty(0), 2)), list(T.histogram(T.empty(0), 2, range=(0, 0))), T.histc(T.empty(0), 2)",
    "r = [T.histc(T.tensor([s * 3.4028234663852886e38] * 3), bins=4).sum() for s in (1, -1)]",
    "r = T.histc(T.tensor([1.0, 2]), bins=2.0)",
    # counts, and results into tensors of other dtypes
    "x = T.tensor([], dtype=T.long); r = T.bincount(x, T.tensor([])), T.bincount(x, T.ones(1), minlength=2)",
    *(
        f"r = T.{f}(T.ones(2, 3, dtype=T.{dtype}), {dim}out=T.empty({shape}, dtype=T.{out}))"
        for f in ("all", "any")
        for dtype in ("uint8", "float32", "bool")
        for out in ("uint8", "bool", "int64")
        for dim, shape in (("", "()"), ("0, ", "3"))
    ),
    "r = T.unique_consecutive(T.tensor(2), dim=0)",
    "r = T.diff(T.ones(2, 2), prepend=T.ones(2))",
    "r = T.diff(T.ones(2), append=T.ones(2, 2))",
    # names of arguments: NumPy's, and those of numbers
    "r = T.sum(a=T.ones(2, 2), dim=0), T.sum(x=T.ones(2, 2), axis=0), T.std(x1=T.ones(2, 2), axis=0)",
    "r = T.add(x1=T.ones(2), x2=3), T.squeeze(a=T.ones(2, 1), axis=1), T.cumsum(x=T.ones(2), axis=0)",
    "r = list(T.max(a=T.ones(2, 2), axis=0, keepdims=True))",
    "r = T.add(T.ones(2), T.ones(2), x1=T.ones(2))",
    *(f"r = T.{f}" for f in ("sum()", "sum(z=T.ones(2))", "cumsum(T.ones(2))", "add(T.ones(2))", "gather(T.ones(2), 0)")),
    "r = T.isin(element=1, test_elements=T.tensor([1])), T.isin(T.tensor([1, 2, 3]), test_element=2)",
    "r = T.isin(T.tensor([1]))",
    # True is no dimension
    *(
        f"r = T.ones(3, 3, 3).{call}"
        for call in (
            "topk(2, True)", "sort(True)", "max(True)", "argmax(True)", "sum(True)", "mean(dim=False)", "unsqueeze(True)",
            "cumsum(True)", "all(True)", "softmax(True)", "chunk(2, True)", "norm(2, True)", "sum((True, 0))",
        )
    ),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_does_as_in_torch(program: str) -> None:
    def run(T: Any) -> Any:
        names: dict[str, Any] = {"T": T, "inf": math.inf, "nan": math.nan}
        exec(program, names)
        return names["r"]

    same(run, torch, words=0, may_raise=True)
