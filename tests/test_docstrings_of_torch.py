"""What torch's docstrings show, a little changed, run by torch beside gradcore: programs that once went another way.

It must not know how they are done.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

import gradcore

torch = pytest.importorskip("torch")
for _module in ("utils.dlpack", "func", "masked", "nn.functional"):
    importlib.import_module(f"torch.{_module}")

# Each leaves what is compared in `r`.
PROGRAMS = [
    # gradients of leaves are in C order, or in the leaf's
    "W = T.randn(3, 5, requires_grad=True); (W * 1).backward(T.randn(5, 3).t()); r = W.grad, W.grad.stride()",
    "W = T.randn(3, 5, requires_grad=True); (W * 1).backward(T.randn(5, 3).t()); r = W.grad.view(-1)",
    "W = T.randn(5, 3).t().requires_grad_(); (W * 2).backward(T.randn(5, 3).t()); r = W.grad.stride()",
    "W = T.randn(3, 5, requires_grad=True); (W.t() ** 2).sum().backward(create_graph=True); r = W.grad.stride()",
    "W = T.randn(3, 5, requires_grad=True); (W * 1).backward(T.randn(5, 3).t(), create_graph=True); r = W.grad.stride()",
    "x = T.randn(3, 5, requires_grad=True); y = x * 1; y.retain_grad(); y.backward(T.randn(5, 3).t()); r = y.grad",
    # layouts of results
    "x = T.tensor([[1, 0], [0, 2], [3, 4]]); r = [i.view(-1) for i in x.nonzero(as_tuple=True)], x.nonzero().stride()",
    "x = T.tensor([[1, 0], [0, 2], [3, 4]]); r = [i.stride() for i in T.where(x)], T.argwhere(x).stride()",
    "r = [f(T.tensor(n)).shape for f in (T.argwhere, T.nonzero) for n in (0, 3)], T.tensor(3).nonzero(as_tuple=True)",
    "u, s, v = T.svd(T.randn(4, 3, dtype=T.float64)); r = v.view(-1).shape, v.stride()",
    "u, s, v = T.linalg.svd(T.randn(2, 4, 3), full_matrices=False); r = v.stride(), v.mT.is_contiguous()",
    "A = T.randn(2, 3, 3); r = T.linalg.lu_solve(*T.linalg.lu_factor(A), T.ones(2, 5, 3), left=False).view(-1).shape",
    "r = T.renorm(T.ones(2, 3).t(), 1, 0, 1.5).view(-1)",
    "r = T.nn.functional.gumbel_softmax(T.zeros(3, 2).t())",
    # empty ones
    "r = T.empty(0).data_ptr(), T.ones(3)[:0].data_ptr()",
    "r = T.empty(0).untyped_storage().data_ptr()",
    "r = T.view_as_complex(T.zeros(0, 2)), T.view_as_complex(T.zeros(0, 3, 2, dtype=T.float64)).shape",
    "r = T.zeros(0, 2).view(T.complex64), T.zeros(3, 0).view(T.uint8).shape, T.zeros(0, 8, dtype=T.uint8).view(T.float32)",
    "x = T.zeros(0, 2, requires_grad=True); T.view_as_complex(x).abs().sum().backward(); r = x.grad",
    "r = T.linalg.cond(T.zeros(0, 3)), T.linalg.cond(T.zeros(2, 0, 3), 1), T.linalg.cond(T.zeros(0, 0, dtype=T.complex128))",
    "r = T.linalg.cond(T.zeros(0, 3), 'nuc')",
    "r = T.nonzero_static(T.zeros(0), size=2), T.nonzero_static(T.zeros(0, 3), size=2, fill_value=7)",
    "r = T.nonzero_static(T.zeros(3, 0), size=0), T.nonzero_static(T.tensor(3.0), size=2),"
    " T.nonzero_static(T.tensor(0), size=1)",
    "r = T.nn.functional.embedding(T.tensor([], dtype=T.long), T.zeros(0, 3), padding_idx=0)",
    "r = T.nn.functional.embedding(T.tensor([], dtype=T.long), T.zeros(0, 3), padding_idx=-1)",
    "r = T.nn.functional.embedding(T.tensor([], dtype=T.long), T.zeros(0, 3), padding_idx=1)",
    # complex ones, and kinds of numbers
    "r = T.zeros(2, dtype=T.complex64).uniform_(1, 2)",
    "r = T.zeros(2, 2, dtype=T.complex128).uniform_(-1, 2)",
    *(
        f"r = T.empty({n}, dtype=T.{dtype}).uniform_({ends}).tolist()"
        for n in (5, 40)
        for dtype in ("float16", "bfloat16")
        for ends in ("-1, 1", "0, 3", "1, 2", "", "-0.3, 0.7")
    ),
    *(
        f"r = T.empty({n}, dtype=T.{dtype}).normal_({how}).tolist()"
        for n in (5, 15, 16, 48)
        for dtype in ("float16", "bfloat16")
        for how in ("1, 2", "0, 0.02", "-1.3, 0.1", "")
    ),
    "r = T.nn.Linear(20, 10, dtype=T.bfloat16).weight.tolist()",
    "r = T.normal(T.ones(2), T.ones(2) + 1j)",
    "r = T.normal(1.0, T.ones(2) + 1j)",
    "r = T.normal(T.ones(2) + 1j, 2.0)",
    "r = T.linalg.matrix_rank(T.ones(2, 2, dtype=T.long))",
    *(
        f"A = T.ones(2, 2, dtype=T.{dtype}); r = {f}"
        for dtype in ("long", "half")
        for f in (
            "T.linalg.eigh(A)", "T.linalg.eig(A)", "T.linalg.svdvals(A)", "T.linalg.lu(A)", "T.linalg.lu_factor(A)",
            "T.linalg.qr(A)", "T.linalg.cholesky(A)", "T.cholesky(A)", "T.linalg.det(A)", "T.linalg.solve(A, A)",
            "T.linalg.inv(A)", "T.linalg.solve_triangular(A, A, upper=True)", "T.triangular_solve(A, A)",
            "T.linalg.cond(A)", "T.linalg.ldl_factor(A)", "T.linalg.slogdet(A)",
        )
    ),
    *(
        f"r = T.{f}(T.zeros({shape}), dim={dim})"
        for f in ("unique", "unique_consecutive")
        for shape, dim in (("2, 0", 0), ("2, 0", 1), ("0, 0", 0), ("0, 2, 0", -1), ("0,", 0))
    ),
    # names, arguments and hooks
    "r = T.cholesky_inverse(input=2 * T.eye(2)).abs()",
    "r = T.cholesky_inverse(L=T.eye(2))",
    "r = T.cholesky_solve(input=T.ones(2, 2), input2=T.eye(2)), T.ones(2, 2).cholesky_solve(input2=T.eye(2))",
    "r = T.cholesky_solve(B=T.ones(2, 2), L=T.eye(2))",
    "r = T.triangular_solve(input=T.ones(2, 2), A=T.eye(2))",
    "r = T.triangular_solve(b=T.ones(2, 2), A=T.eye(2))",
    "r = T.ormqr(input=T.eye(2), input2=T.ones(2), input3=T.ones(2, 2))",
    "r = T.ormqr(input=T.eye(2), tau=T.ones(2), other=T.ones(2, 2))",
    "c = T.utils.dlpack.to_dlpack(T.arange(4)); x = T.from_dlpack(c); x[0] = -9; r = x",
    "x = T.arange(4); y = T.from_dlpack(T.utils.dlpack.to_dlpack(x)); y[0] = -9; r = x, T.utils.dlpack.from_dlpack(x)",
    "c = T.utils.dlpack.to_dlpack(T.arange(4)); T.from_dlpack(c); r = T.from_dlpack(c)",
    "m = T.tensor([[True, False], [False, False]]); r = T.masked._ops.sum(T.ones(2, 2), 1, mask=m)",
    "r = T.nn.EmbeddingBag.from_pretrained(T.tensor([[1.0, 2], [3, 4]]), mode='sum')(T.tensor([[0, 1]]))",
    "b = T.nn.EmbeddingBag.from_pretrained(T.ones(3, 2), False, 1.0, 1.0, True, 'max', False, True, 1); r = b, b.weight",
    "r = T.nn.EmbeddingBag.from_pretrained(T.ones(3))",
    "r = [T.ones(3, 2).dim_order(ambiguity_check=check) for check in (False, True)], T.ones(3, 2).t().dim_order()",
    "r = T.ones(3, 1).dim_order(ambiguity_check=True)",
    "r = T.ones(3, 1, 1).dim_order(ambiguity_check=[T.contiguous_format, T.channels_last])",
    "r = T.ones(3, 2, 2, 1).dim_order(ambiguity_check=[T.contiguous_format])",
    "r = T.ones(3, 2, 2, 1).dim_order(ambiguity_check=[T.contiguous_format, T.channels_last])",
    "r = T.ones(3, 2, 2, 1).permute(0, 3, 1, 2).dim_order(ambiguity_check=[T.contiguous_format, T.channels_last])",
    "r = T.ones(3, 2).dim_order(ambiguity_check=[1])",
    "r = T.ones(3, 2).dim_order(ambiguity_check=1)",
    "v = T.zeros(3, requires_grad=True); v.register_post_accumulate_grad_hook(lambda p: p.add_(p.grad, alpha=-0.5));"
    " v.backward(T.tensor([1.0, 2, 3])); r = v",
    "v = T.zeros(3, requires_grad=True); v.register_post_accumulate_grad_hook(lambda p: 3); v.sum().backward(); r = v",
    "r = T.func.vjp(lambda: T.ones(2))[0]",
    "r = T.func.vjp(lambda x: x)",
    "r = T.func.grad(lambda x: x.sum(), argnums=())(T.ones(2))",
    "r = [(T.rand(n, generator=g), g.get_state()[:40].tolist()) for g in [T.Generator()] for n in (0, 3, 621, 1)]",
    "g = T.Generator().manual_seed(-5); h = T.Generator(); h.set_state(g.get_state()); r = h.get_state()[:40],"
    " T.rand(3, generator=h)",
]


def ran(T: Any, program: str) -> tuple[type[Exception] | None, str]:
    """The type of what was raised, and the message; or None and the repr of what came."""
    names: dict[str, Any] = {"T": T}
    T.manual_seed(0)
    try:
        exec(program, names)
        return None, re.sub("0x[0-9a-f]+", "0x", repr(names["r"])).replace("gradcore", "torch")
    except Exception as error:
        return type(error), str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_does_as_in_torch(program: str) -> None:
    raised, expected = ran(torch, program)
    ours, found = ran(gradcore, program)
    if raised is None:
        assert (ours, found) == (None, expected)
    else:
        assert ours is not None, found
        assert issubclass(ours, raised), found
