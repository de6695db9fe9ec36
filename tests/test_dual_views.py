"""Views and writes in place under forward mode, beside torch: a view shares its base's tangent, whichever is written first.

Programs are lines of code over T (either library), a dual number `d` of three elements, and the values they show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.autograd.forward_ad
from tests.twin import same

torch = pytest.importorskip("torch")
from torch.autograd import forward_ad  # noqa: E402, F401  (by name it is an attribute of torch)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from forward_ad

# fmt: off
SHOWN = {
    # the base is written
    "x = zeros(3); v = x[0]; x.copy_(d)": "v, v * 2, x",
    "x = zeros(3); v = x[0]; x[0:2] = d[1:]": "v, v * 2, x",
    "x = ones(3); v = x[:2]; x.add_(d)": "v, v * 2, x, v.clone()",
    "x = ones(3); v = x[:2]; w = v[1:]; x.mul_(d)": "w, w * 2, v",
    "x = ones(3, 3); v = x.t(); w = v[1]; x[0].mul_(d)": "w, w * 2, v, x",
    "x = ones(4); a, b = x.split(2); x[1:].mul_(d)": "a, b, x, a * b",
    "x = ones(3); a, b, c = x.unbind(); x.mul_(d)": "a, b, x, a * b",
    "x = ones(1); v = x.expand(3); x.mul_(d[0])": "v, x, v * 2",
    "x = zeros(3); v = x.unfold(0, 2, 1); x.copy_(d)": "x, v",
    "x = zeros(4); rows = list(x); x[0] = d[0]; x[1] = d[1]": "*rows, x",
    "x = ones(3, dtype=T.complex128); v = x.real; x.mul_(d)": "T.view_as_real(x), v",
    "x = ones(3)\nwith T.no_grad():\n v = x[:2]; x.mul_(d)": "v, x, v * 2",
    # a view is written, the base and other views are read
    "x = ones(3); v = x[:2]; v.copy_(d[1:])": "v, x, x * 2",
    "x = ones(3); v = x[:2]; w = x[1:]; v.copy_(d[1:])": "v, x, w, w * w",
    "x = ones(3); v = x[:2]; w = v[1:]; w.mul_(d[0])": "w, w * 2, v, x",
    "x = ones(3, 3); v = x.t(); w = v[1]; v[0].mul_(d)": "w, w * 2, v, x",
    "x = ones(3, 3); v = x.diagonal(); v.mul_(d)": "v, x",
    "x = ones(6); v = x.view(2, 3); w = x[3:]; v[1].mul_(d); x.mul_(2)": "v, x, w",
    "x = ones(3, dtype=T.complex128); v = x.real; v.mul_(d)": "v, T.view_as_real(x)",
    "x = ones(3, 2); v = T.view_as_complex(x); x[:, 0].mul_(d)": "T.view_as_real(v), x",
    "x = zeros(6); v = x.as_strided((3,), (2,), 0); w = x.as_strided((2, 2), (2, 1), 1); v.copy_(d); x.mul_(2)": "x, v, w",
    "x = ones(3); m = x.view(-1); h = m.view(1, 3).squeeze(0); h.mul_(d)": "x, m, h",
    # one after another
    "x = ones(3); v = x[:2]; x.mul_(d); w = v[1:]; w.mul_(d[0])": "w, w * 2, v, x",
    "x = ones(3); v = x[:2]; w = x[1:]; v.mul_(d[:2]); w.mul_(d[1:]); x.add_(v.sum()); v.copy_(w.clone())": "v, x, w",
    "x = ones(3); v = x[:2]; v.mul_(d[1:]); x.mul_(3); x.exp_()": "v, x",
    "x = ones(3); v = x[:2]; x.mul_(d); v.mul_(2); v.add_(ones(2))": "v, x",
    "x = ones(3); v = x[:2]; x.mul_(d); v.clamp_(max=1.5); x.pow_(2)": "v, x",
    "x = ones(3); v = x[:2]; w = x[1:]; v.lerp_(d[:2], 0.5); w.addcmul_(d[1:], d[:2])": "v, x, w",
    "x = zeros(3, 3); r = [x[i] for i in range(3)]; r[0].copy_(d); r[1].copy_(r[0] * d); r[2].copy_(r[1] * d)": "x, *r",
    "x = zeros(2, 3, 4); b = x[0].t(); c = b[1:3, 1:]; c[0].copy_(d[:2]); b.mul_(2); c[1, 0] = 5": "b, c, x",
    # what has no tangent takes it away
    "x = ones(3); v = x[:2]; x.mul_(d); v.zero_()": "v, x",
    "x = ones(3); v = x[:2]; x.mul_(d); x.zero_()": "v, x",
    "x = ones(3); v = x[:2]; x.mul_(d); v.fill_(2.0)": "v, x",
    "x = ones(3); v = x[:2]; x.mul_(d); v[0] = 5.0": "v, x",
    "x = ones(3); v = x[:2]; x.mul_(d); v[v > 1] = T.tensor(5.0, dtype=T.float64)": "v, x",
    "x = ones(3); v = x.detach(); x.mul_(d)": "v, x",
    "x = ones(3); v = x.detach(); v.mul_(d)": "v, x",
    "x = ones(3, dtype=T.int64); v = x[:2]; x.copy_(d)": "v, x",
    # writes at indices
    "x = ones(3); v = x[:2]; w = x[1]; v[T.tensor([1])] = d[2]": "v, x, w",
    "x = ones(3); v = x[:2]; v[T.tensor([True, False])] = d[2]": "v, x",
    "x = ones(3); v = x[:2]; w = x[1]; v.index_add_(0, T.tensor([1, 0]), d[1:])": "v, x, w",
    "x = ones(3); x.index_add_(0, T.tensor([1, 0, 1]), d)": "x",
    "x = ones(3); v = x[:2]; w = x[1]; v.scatter_(0, T.tensor([1, 0]), d[1:])": "v, x, w",
    "x = ones(3); v = x[:2]; v.masked_fill_(T.tensor([True, False]), d[0])": "v, x",
    "x = ones(4); v = x[:2]; w = x[1:]; v.put_(T.tensor([0]), d[1:2]); w.index_fill_(0, T.tensor([0]), d[2])": "v, x, w",
    "x = ones(3); v = x[:2]; x.mul_(d); z = zeros(4); z.index_copy_(0, T.tensor([3, 1]), v)": "z",
    "x = ones(3); v = x[:2]; x.mul_(d); z = zeros(4); z.masked_scatter_(T.tensor([True, False, True, False]), v)": "z",
    "x = ones(4); w = x[1:]; w.index_put_((T.tensor([0]),), d[2:], accumulate=True)": "x, w",
    # a base or a view reshaped in place
    "x = ones(3, 3); v = x[0]; x.t_(); x[0].mul_(d)": "v, x, v * 2",
    "x = ones(3, 3); v = x[:2]; x[0].copy_(d); v.t_()": "v, x",
    "x = ones(3, 3); v = x[:2]; x[0].copy_(d); x.t_(); x[0].mul_(2)": "v, x",
    "x = zeros(1, 3); v = x[0]; x.squeeze_(0); x.copy_(d); v.unsqueeze_(0); v.mul_(2)": "v, x",
    # a view that was overtaken as an argument
    "x = ones(3); v = x[:2]; w = x[1]; x.mul_(d)": "T.stack([v, v * 1]), T.where(v > 1, v, -v), v[:, None], v @ v",
    "x = ones(3); v = x[:2]; x.mul_(d); y = ones(2); y.add_(v); z = zeros(2); z[:] = v": "y, z",
    "x = ones(3); v = x[:2]; x.copy_(d * d)": "T.func.grad(lambda e: (e * v * v).sum())(ones(2))",
    "x = ones(3); v = x[:2]; x.mul_(d * d)": "T.func.grad(lambda e: (e**3).sum())(v)",
    "x = ones(3); v = x[:2]; x.copy_(d); o, p = T.func.vjp(lambda e: e * v, ones(2))": "o, *p(v)",
    "x = ones(3); v = x[:2]; x.copy_(d)": "T.func.vmap(lambda e: e * e * v.sum())(v)",
    "def f(e):\n y = ones(3); v = y[:2]; y.copy_(d); return e.sum(), v": "T.func.grad(f, has_aux=True)(d)[1]",
    # inside vmap, where what is written is a batch already
    "def f(e):\n x = (e * 0).clone(); v = x[:2]; x.copy_(d * e); return v * v": "T.func.vmap(f)(ones(2, 3) * 2)",
    # with a history
    "y = ones(3, requires_grad=True); x = y * 2; v = x[:2]; x.mul_(d * d)": "*T.autograd.grad(v, y, ones(2))",
    "y = ones(3, requires_grad=True); x = y * 2; v = x[:2]\nwith T.no_grad():\n x.mul_(d)": "*T.autograd.grad(v @ v, y)",
    "y = ones(3, requires_grad=True)\nwith T.no_grad():\n y.mul_(d)": "*T.autograd.grad((y**3).sum(), y)",
    "x = ones(3, requires_grad=True); y = x * 2; v = y[:2]; w = y[1:]; v.mul_(d[1:])": "*T.autograd.grad((w * w).sum(), x)",
    # numbers that have been dual make the same views
    "x = ones(3); v = x[:2]; y = D.make_dual(x, ones(3)); y.mul_(2); v.mul_(d[:2])": "v, x, y",
    "x = ones(3); y = D.make_dual(x, ones(3)); v = y[:2]; y.mul_(d); x.mul_(2)": "v, x, y",
}
# fmt: on


def names_of(T: Any) -> dict[str, Any]:
    def made(kind: str) -> Any:
        return lambda *shape, **keywords: getattr(T, kind)(shape, **{"dtype": T.float64, **keywords})

    D = T.autograd.forward_ad

    def shown(*tensors: Any) -> Any:
        found = []
        for primal, tangent in map(D.unpack_dual, tensors):
            found.append((primal.tolist(), tangent if tangent is None else tangent.tolist()))
        return found

    return {"T": T, "D": D, "zeros": made("zeros"), "ones": made("ones"), "shown": shown}


def values(T: Any) -> tuple[Any, Any]:
    return T.tensor([1.0, 2.0, 3.0], dtype=T.float64), T.tensor([10.0, 20.0, 30.0], dtype=T.float64)


@pytest.mark.parametrize("code", SHOWN)
def test_views_share_the_tangent_of_their_base(code: str) -> None:
    def program(T: Any) -> Any:
        names = names_of(T)
        with names["D"].dual_level():
            names["d"] = names["D"].make_dual(*values(T))
            exec(code, names)
            return eval(f"shown({SHOWN[code]})", names)

    assert isinstance(program(torch), list)
    same(program, torch)


RANDOM = """rand_like(d) randn_like(d) randint_like(d,10) bernoulli(d/5) normal(d,1.0) normal(0.0,d) multinomial(d,2)
rrelu(-d,training=True) nn.functional.dropout(d) nn.functional.gumbel_softmax(d)""".split()
FILLED = "normal_() uniform_() exponential_() cauchy_() geometric_(0.5) bernoulli_(0.5) random_(9) log_normal_()".split()


@pytest.mark.parametrize("call", RANDOM)
def test_random_numbers_of_dual_numbers(call: str) -> None:
    def program(T: Any) -> Any:
        names = names_of(T)
        T.manual_seed(7)
        with names["D"].dual_level():
            names["d"] = names["D"].make_dual(*values(T))
            return eval(f"shown(T.{call})", names)

    same(program, torch)


@pytest.mark.parametrize("call", FILLED)
def test_random_numbers_over_dual_numbers(call: str) -> None:
    def program(T: Any) -> Any:
        names = names_of(T)
        T.manual_seed(7)
        with names["D"].dual_level():
            x = names["ones"](3)
            v = x[:2]
            x.mul_(names["D"].make_dual(*values(T)))
            eval(f"v.{call}", {"v": v})
            return names["shown"](x, v)

    same(program, torch)


IN_JVP = {
    "x = zeros(3); v = x[0]; x.copy_(d)": "v * 2",
    "x = zeros(3); v = x[0]; v.copy_(d[0])": "x * 2",
    "x = zeros(3); v = x[:2]; x.copy_(d)": "v",
    "def f(e):\n x = zeros(3); v = x[:2]; x.copy_(d * e); return v.sum()": "T.func.grad(f)(d * d)",
    "def f(e):\n x = zeros(3) * e; v = x[:2]; x.copy_(d * e); return v * v": "T.func.vmap(f)(d * d)",
    "def f(e):\n x = zeros(3); v = x[:2]; x.copy_(d * e); return v * v": "T.func.jvp(f, (d,), (d,))[1]",
    "def f(e):\n x = zeros(3); x.copy_(d * e); return x * x": "T.func.jvp(f, (d,), (d,))[1]",
    "x = zeros(3); v = x[:2]; x.add_(d)": "T.func.jvp(lambda e: v * e[:2], (d,), (d,))[1]",
}


@pytest.mark.parametrize("code", IN_JVP)
def test_views_inside_jvp(code: str) -> None:
    def program(T: Any) -> Any:
        names = names_of(T)

        def f(d: Any) -> Any:
            names["d"] = d
            exec(code, names)
            return eval(IN_JVP[code], names)

        value, tangent = T.func.jvp(f, *((x,) for x in values(T)))
        return value.tolist(), tangent.tolist()

    assert isinstance(program(torch), tuple)
    same(program, torch)


def test_a_view_has_no_tangent_of_a_level_that_has_ended() -> None:
    def program(T: Any) -> Any:
        names = names_of(T)
        D, ones, shown = names["D"], names["ones"], names["shown"]
        x = ones(3)
        v = x[:2]
        with D.dual_level():
            x.mul_(D.make_dual(*values(T)))
            told = [shown(v, x), repr(v)]
        told += [repr(v), repr(x), v.tolist(), (v * 2).tolist(), v.numpy().tolist(), float(v[1])]
        with D.dual_level():
            told += [shown(v, x, v * 2)]
            x.mul_(2)
            v.mul_(D.make_dual(*values(T))[:2])
            told += [shown(v, x, v * 2), repr(v)]
        return told

    same(program, torch)


def test_a_view_that_became_dual_is_no_primal() -> None:
    def program(T: Any) -> Any:
        names = names_of(T)
        with names["D"].dual_level():
            x = names["ones"](3)
            v = x[:2]
            x.mul_(names["D"].make_dual(*values(T)))
            names["D"].make_dual(v, names["ones"](2))

    same(program, torch, may_raise=True)


def test_results_written_to_out_have_their_tangent() -> None:
    D = gradcore.autograd.forward_ad  # torch refuses out= here
    with D.dual_level():
        d = D.make_dual(*values(gradcore))
        x = gradcore.zeros(3, dtype=gradcore.float64)
        v = x[0]
        gradcore.mul(d, 2, out=x)
        np.testing.assert_array_equal(D.unpack_dual(x).tangent.numpy(), [20, 40, 60])
        assert D.unpack_dual(v).tangent.item() == 20


def test_a_function_that_looks_at_numbers_only_gets_the_tangent_of_a_view() -> None:
    def program(T: Any) -> Any:
        names = names_of(T)

        class Cube(T.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, a: Any) -> Any:
                ctx.factor = [3 * n * n for n in a.tolist()]
                return T.tensor([n**3 for n in a.tolist()], dtype=T.float64)

            @staticmethod
            def jvp(ctx: Any, t: Any) -> Any:
                return T.tensor(ctx.factor, dtype=T.float64) * t

        with names["D"].dual_level():
            x = names["ones"](3)
            v = x[:2]
            x.mul_(names["D"].make_dual(*values(T)))
            return names["shown"](Cube.apply(v))

    same(program, torch)
