"""Small programs of views, constructors, indices, dtypes and shared memory that once went another way than in torch.

It must not know how any of them is done.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import compare, outcome, same

torch = pytest.importorskip("torch")
for _module in ("func", "utils.dlpack"):
    importlib.import_module(f"torch.{_module}")

# What gives memory by no other protocol, and a list in itself.
PREAMBLE = """
class Lender:
    def __init__(self, tensor):
        self.tensor = tensor
    def __dlpack__(self, *args, **options):
        return self.tensor.__dlpack__(*args, **options)
    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()
endless = [1]
endless.append(endless)
x, m = T.arange(12.0).view(3, 4), T.tensor([True, False, True])
"""

# Each leaves what is compared in `r`.
PROGRAMS = [
    # parts of tensors
    "r = x.split(split_size=2), T.split(x, split_size_or_sections=[1, 2]), x.split(dim=1, split_size=3)",
    "r = x.tensor_split(sections=2), x.tensor_split(indices=(1, 2), dim=1), T.tensor_split(x, [2])",
    "r = T.tensor_split(x, tensor_indices_or_sections=T.tensor(2)), x.tensor_split(T.tensor([1, 3]), 1)",
    "r = x.hsplit(sections=2), x.hsplit(indices=(1,)), T.vsplit(x, sections=3), x.view(3, 2, 2).dsplit(indices=[1])",
    *(f"r = T.cat([T.ones(0)] * {n}, dim={dim}), T.cat([T.ones(0), x], 1)" for n in (1, 2) for dim in (-5, 0, 1, 3)),
    "r = T.block_diag(), T.block_diag(T.tensor(1), T.ones(0))",
    "r = x.roll(1, None), x.roll(-1, dims=None), x.roll((1, 2), (0, 1)), x.roll(3)",
    "y = (x.requires_grad_() * 1).t(); r = y.unflatten(0, (2, 2)), y.unflatten(1, (1, 3)), y[::2].unflatten(0, (-1, 1))",
    *(
        f"y = T.{of}.requires_grad_() * 1; y[{at}] = {value}; r = y"
        for of in ("tensor(1.0)", "ones(1)", "ones(2)")
        for at in ("...", "()")
        for value in ("5", "T.tensor(5.0)", "T.tensor([5.0])", "T.tensor(5.0, requires_grad=True)")
    ),
    # writing along a dimension, and how often
    *(
        f"r = x.{write}(1, T.tensor([], dtype=T.long), {source})"
        for write in ("scatter", "scatter_add")
        for source in ("T.ones(2)", "T.ones(())")
    ),
    "r = T.repeat_interleave(T.tensor([2, 0, 1], dtype=T.int32)), T.repeat_interleave(T.tensor([2, 0, 1]), output_size=3)",
    "r = x.repeat_interleave(2, 1, output_size=8).shape",
    "r = T.tensor([5, 6]).repeat_interleave(T.tensor([2, 1]), output_size=3)",
    *(f"r = T.unravel_index(T.tensor([5, 1], dtype=T.{d}), (2, 3))" for d in ("uint8", "int16", "int32", "int64")),
    "r = T.func.vmap(lambda i: T.unravel_index(i, (2, 3)))(T.tensor([1, 5], dtype=T.int32))",
    # numbers in a row, into memory of another shape
    *(
        f"y = T.{make}({ends}, out=x[:, 1:3][:2]); r = x, y.shape, y.stride()"
        for make, ends in (("arange", "0, 4"), ("range", "1, 4"), ("linspace", "0, 3, 4"), ("logspace", "0, 3, 4"))
    ),
    "y = T.zeros(2, 2).t(); r = T.arange(4, out=y), y, T.linspace(0, 1, 1, out=T.zeros(())), T.arange(1, out=T.zeros(1, 1))",
    "y = T.zeros(2, 3); r = T.arange(5, out=y).shape",
    # dtypes
    "r = [str(T.result_type(x, n)) for n in (np.float64(1), np.float32(1), np.int8(1))]",
    "r = [str(T.result_type(n, m)) for n in (np.float64(1), np.float32(1), np.int8(1))]",
    "r = str(T.result_type(np.float32(1), 2)), str(T.result_type(2, np.float64(1)))",
    *(
        f"r = [T.arange(3).to(d).lerp(T.ones(3, dtype=d), T.tensor({w})) for d in ({into})]"
        for w, into in (
            ("0.5", "T.int64, T.float32, T.float64, T.complex64, T.bool"),
            ("0.5, dtype=T.float64", "T.int8, T.float32, T.complex64"),
            ("True", "T.float32, T.float64"),
            ("0.5j", "T.int64, T.float32, T.float64"),
        )
    ),
    "w = T.tensor(0.5, dtype=T.float64, requires_grad=True); y = x.lerp(x + 1, w); y.sum().backward(); r = y, w.grad",
    "y = T.arange(3.0); y.lerp_(T.ones(3), T.tensor(0.5, dtype=T.float64)); r = y",
    # tensors among lists
    "r = T.tensor([[1, 1], T.arange(2)]), T.tensor([range(2), T.arange(2.0)]), T.tensor([[], T.arange(0)])",
    "r = T.tensor([[1], T.arange(1)]), T.tensor([[[1, 2]], T.ones(1, 2)]), T.tensor([[1], T.tensor([[2]])])",
    "r = T.tensor([[T.tensor(1), 2], T.tensor([3, 4])], dtype=T.bfloat16)",
    "r = T.as_tensor([[1.5], T.ones(1, 1, dtype=T.float16)])",
    # memory of others
    *(
        f"y = T.arange(3).to(T.{d}); z = T.from_dlpack({give}); z[0] = 9; r = y, z"
        for d in ("bfloat16", "float16", "int32")
        for give in ("y", "Lender(y)", "T.utils.dlpack.to_dlpack(y)", "y.__dlpack__(max_version=(1, 0))")
    ),
    *(f"r = T.from_dlpack(x.to(T.bfloat16){view})" for view in ("", ".t()", "[1:, ::2]", "[:0]", "[0, 0]")),
    *(
        f"z = T.from_dlpack(x.__dlpack__(max_version={version}{more})); z[0] = -1; r = x, z"
        for version in (None, (0, 8), (1, 0), (2, 0))
        for more in ("", ", copy=True", ", copy=False")
        if version and (version[0] or not more)
    ),
    "z = T.tensor(Lender(x)); y = T.as_tensor(Lender(x)); x[0] = -1; r = y, z, T.tensor(Lender(x), dtype=T.int64)",
    *(
        f"z = T.asarray(T.utils.dlpack.to_dlpack(x){more}); z.detach().zero_(); r = x, z"
        for more in ("", ", copy=False", ", copy=True", ", dtype=T.float64", ", requires_grad=True", ", device='cpu'")
    ),
    "r = T.asarray(np.float64(0.5)), T.asarray(np.float32(2), copy=True), T.asarray(np.float64(1), dtype=T.int32)",
]

REFUSED = [
    "x.split()", "x.tensor_split()", "x.hsplit()", "x.split(2, split_size=2)",
    *(f"x.tensor_split(T.tensor({where}))" for where in ("1.1", "[1.1]", "[[1]]", "True")),
    "T.meshgrid()",
    "T.broadcast_shapes(-3)", "T.broadcast_shapes((2, 1), (-1, 1))", "T.broadcast_shapes(1.5)",
    "T.broadcast_shapes((2,), (3,))",
    "x.roll((1, 2), (5,))", "x.roll((), 5)", "x.roll((1,), (0, 1))", "x.roll((1, 2), None)", "x.roll(1, 5)",
    "x.put(T.tensor([0]), 1)", "x.put_(T.tensor([0]), 1.5)", "x.masked_scatter(x > 1, 1)", "x.masked_scatter([True], x)",
    "T.repeat_interleave(T.ones(2, 2, dtype=T.long))", "T.repeat_interleave(T.ones(2))",
    "T.repeat_interleave(T.tensor([1, -1]))",
    "T.repeat_interleave(T.tensor([2, 1]), output_size=4)", "x.repeat_interleave(2, 0, output_size=5)",
    "x.repeat_interleave(2.5)", "x.repeat_interleave(T.tensor(2.0))",
    "x.repeat_interleave(T.tensor([1, 2, 3]), 0, output_size=5)",
    "T.unravel_index(T.tensor([1]), (1, 2.0))",
    *(f"T.{f}(0, 1j, 3, {how})" for f in ("linspace", "logspace") for how in ("dtype=T.float32", "dtype=T.int64", "out=x")),
    "T.arange(2**63)", "T.arange(0, 2**63, 2**62)", "T.arange(1e20)", "T.arange(0, 1e20, 1e19, dtype=T.long)",
    "T.arange(1.2e-38, 3.4e38)",
    *(
        f"{make}([{size}]{more})"
        for make in ("T.empty", "T.zeros", "x.new_ones", "x.resize_")
        for size, more in (("2, 4, 2**29, 2**29", ""), ("8, 8, 2**29, 2**29", ""))
    ),
    "T.empty([0, 4, 2**61])", "T.empty_strided([8, 8], [2**61, 1])", "T.full((2**40, 2**40), 1)",
    "T.from_dlpack(T.ones(2, requires_grad=True))", "T.from_dlpack(T.ones(2, requires_grad=True) * 1)",
    "x.__dlpack__(stream=object())", "x.__dlpack__(stream=0)", "x.__dlpack__(max_version=(1, 0), dl_device=(11, 0))",
    "[T.from_dlpack(c) for c in [x.__dlpack__(max_version=(1, 0))] * 2]",
    "T.asarray(np.float64(1), copy=False)", "T.asarray(np.float64(1), dtype=T.float32, copy=False)",
    "T.tensor(endless)", "T.as_tensor([[1, 2], endless])",
    "T.tensor([[], 'a'])", "T.as_tensor([[], [None]])",
    "T.tensor([T.arange(2), [1, 1]])", "T.tensor([[1, 1], T.arange(3)])", "T.tensor([[1, 1], T.tensor(3)])",
    "T.tensor([T.tensor([1, 2]), T.tensor([3, 4])])", "T.tensor([T.ones(2), T.ones(2)])",
    "T.from_numpy(np.ndarray((2,), 'f8', bytes(32), strides=(3,)))",
]  # fmt: skip


def program(code: str) -> Callable[[Any], Any]:
    def run(library: Any) -> Any:
        names = {"T": library, "np": np}
        exec(PREAMBLE + code, names)
        return names.get("r")

    return run


@pytest.mark.parametrize("code", PROGRAMS)
def test_does_as_torch(code: str) -> None:
    same(program(code), torch)


@pytest.mark.parametrize("code", REFUSED)
def test_refuses_what_torch_refuses(code: str) -> None:
    theirs = outcome(program(code), torch)
    assert theirs[:1] == ("raised",), theirs
    compare(outcome(program(code), gradcore), theirs, words=0)


def test_numbers_of_numpy_are_compared_quietly_and_whole() -> None:
    x, mask = gradcore.ones(2, dtype=gradcore.float64), gradcore.tensor([True, False])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert x.masked_fill(mask, np.float32(2)).tolist() == [2.0, 1.0]
        assert x.clone().fill_(np.float16(3)).tolist() == [3.0, 3.0]
        z = gradcore.ones(2, dtype=gradcore.complex64)
        z[0] = np.complex64(2j)  # torch refuses it, and drops the imaginary part in fill_
        assert z.tolist() == [2j, 1]


def test_range_says_that_it_is_deprecated() -> None:
    for library in (torch, gradcore):
        with pytest.warns(UserWarning, match=r"torch.range is deprecated .* Instead, use torch.arange"):
            assert library.range(1, 2, 0.5).tolist() == [1.0, 1.5, 2.0]
