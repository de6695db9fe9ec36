"""What functions of functions do with histories, writes in place and nestings, run by torch beside gradcore: programs that
once went another way. It must not know how they are done.
"""

from __future__ import annotations

import collections
import importlib
from functools import partial
from typing import Any

import pytest

import gradcore
from tests.twin import Program, attempt, compare, outcome

torch = pytest.importorskip("torch")
importlib.import_module("torch.func")

_NAMES = "functional_call grad grad_and_value hessian jacfwd jacrev jvp linearize stack_module_state vjp vmap".split()

# Each leaves what is compared in `r`: values, dtypes, shapes, whether they need gradients, what was raised.
SAME = [
    # results of several named tensors are trees
    *(
        f"r = vmap(lambda x: x.{call})(T.tensor([[3.0, 1, 2], [5, 4, 6]]))"
        for call in ("max(0)", "min(0)", "sort()", "topk(2)", "median(0)", "cummax(0)", "aminmax()", "frexp()", "mode(0)")
    ),
    "x = 3 * T.eye(2) + T.ones(3, 2, 2); r = [type(vmap(f)(x)).__name__ for f in (T.linalg.lu, T.linalg.eigh)]",
    "r = vmap(lambda x: x.max(0), chunk_size=2)(T.tensor([[3.0, 1], [5, 4], [1, 2]]))",
    "r = vmap(lambda m: m.values * 2)(T.max(T.tensor([[3.0, 1], [5, 4]]), 1))",
    "r = [attempt(lambda: vmap(lambda x: x.max(0), out_dims=to)(T.ones(2, 3))) for to in ((0, 0), [0, 0])]",
    "o, pull = vjp(T.linalg.slogdet, 2 * T.eye(2)); r = o, pull(o), attempt(lambda: pull(tuple(o)))",
    "r = linearize(T.linalg.slogdet, 2 * T.eye(2))[1](T.ones(2, 2)), type(jacrev(T.linalg.slogdet)(T.eye(2))).__name__",
    "s = T.linalg.slogdet(2 * T.eye(2)); r = jvp(lambda s: s.sign * s.logabsdet, (s,), (s,))",
    "r = grad(lambda x: (x.sum(), x.max(0)), has_aux=True)(T.tensor([1.0, 3]))",
    # dimensions of results
    *(f"r = vmap(lambda x: x, out_dims={to})(T.ones(2, 3))" for to in ("('a',)", "0.0", "(0.0,)", "{0}", "'a'")),
    "r = vmap(lambda x: D(a=x, b=x.sum()), out_dims={'a': 1, 'b': 0})(T.ones(2, 3))",
    "r = list(vmap(lambda x: Q([x, x]), out_dims=Q([0, 1]))(T.ones(2, 3)))",
    # what a mapped function writes has a history outside
    "l = leaf(2, 3); x = l * 1; vmap(T.Tensor.sin_)(x); r = x.requires_grad, *T.autograd.grad(x.sum(), l)",
    "l = leaf(2, 3); x = l * 1; v = x[0]; y = vmap(lambda x: x[0].mul_(3))(x);"
    " r = [T.autograd.grad(z.sum(), l, retain_graph=True) for z in (x, v, y)]",
    "l = leaf(2, 3); y = T.zeros(2, 3); vmap(T.Tensor.add_)(y, l);"
    " r = y.requires_grad, *T.autograd.grad(y.sum(), l)",
    "l = leaf(2, 3); b = T.zeros(3, 3); y = b.t()[1:]; vmap(lambda a, b: a.copy_(b))(y, l * 2);"
    " r = b, *T.autograd.grad(b.square().sum(), l)",
    "l = leaf(2); y = T.zeros(3, 2); vmap(T.Tensor.add_, (0, None))(y, l); r = T.autograd.grad(y.sum(), l)",
    "l = leaf(2, 3); y = T.zeros(2, 3); vmap(vmap(T.Tensor.add_))(y, l); r = T.autograd.grad(y.sum(), l)",
    "l = leaf(3, 2); x = l * 1; vmap(T.Tensor.exp_, 1)(x); r = T.autograd.grad(x.sum(), l)",
    "l = leaf(2, 3); r = vmap(T.Tensor.sin_)(l)",
    "l = leaf(2, 3); r = vmap(lambda x: x[0].sin_())(l)",
    "def f(x): y = x * 1; vmap(T.Tensor.sin_)(y); return y\n"
    "x = T.tensor([0.1, 0.2]); r = grad(lambda x: f(x).sum())(x), jvp(f, (x,), (x,)), vjp(f, x)[1](x), jacrev(f)(x),"
    " jacfwd(f)(x)",
    "def f(x): y = T.zeros(2); vmap(T.Tensor.add_)(y, x); return y * y\n"
    "x = T.tensor([0.1, 0.2]); r = grad(lambda x: f(x).sum())(x), jvp(f, (x,), (x,)), vjp(f, x)[1](x), jacrev(f)(x),"
    " jacfwd(f)(x)",
    "def f(x, w): x.mul_(w); return (x * x).sum()\n"
    "x = T.rand(2, 3); r = vmap(grad(f, argnums=1))(x, T.rand(2, 3)), x",
    # results that are the arguments, or views of them
    "x = T.rand(2, 3); r = vmap(T.Tensor.sin_)(x) is x, vmap(lambda x: x)(x) is x, vmap(vmap(lambda x: x.neg_()))(x) is x",
    "x = leaf(2, 3); r = vmap(lambda x: x)(x) is x, vmap(lambda x: x, 1, 1)(x) is x",
    "x = T.rand(2, 3); r = vmap(lambda x: x, out_dims=1)(x)._base is x, vmap(lambda x: x[1:])(x)._base is x",
    "x = T.rand(2, 3); y = vmap(lambda x: x[1:])(x); y.mul_(2); r = x, x._version, y._version",
    "l = leaf(2, 3); x = l * 1; y = vmap(lambda x: x[1:], out_dims=1)(x); y.mul_(2);"
    " r = x, y, T.autograd.grad(x.sum(), l, retain_graph=True), T.autograd.grad(y.sum(), l)",
    "l = leaf(2, 3); x = l * 1; y = vmap(lambda x: x[1:])(x); x.mul_(2); r = y, T.autograd.grad(y.sum(), l)",
    "def f(x): y = x * 1; vmap(lambda x: x[1:])(y).mul_(3); vmap(lambda x: x, out_dims=1)(y).sin_(); return (y * y).sum()\n"
    "x = T.rand(2, 2, 3); r = vmap(grad(f))(x), vmap(vmap(f))(x[None]), jvp(grad(f), (x[0],), (x[1],)), hessian(f)(x[0])",
    "def f(x): y = x * 1; vmap(vmap(lambda x: x[1:], 1, 1), 1)(y).exp_(); return y.sin().sum()\n"
    "x = T.rand(2, 2, 3); r = grad(f)(x), jvp(grad(f), (x,), (x,)), vmap(grad(f))(x[None]), vmap(jacfwd(f))(x[None])",
    "x = T.rand(2, 2, 3); r = vmap(vmap(lambda x: x[1:]))(x)._base is x",
    "def f(x): y = x.t(); vmap(lambda x: x.neg_(), 1)(y[1:]); return y\n"
    "l = leaf(2, 3); x = l * 1; y = f(x); r = x, y, T.autograd.grad(x.sum(), l)",
    # who is differentiated, and when
    "x = T.tensor(0.1); o, pull = vjp(T.sin, x); r = grad(lambda y: pull(y)[0])(T.tensor(0.2))",
    "x = T.tensor(0.1); o, pull = vjp(grad(T.cos), x); r = grad(lambda y: pull(y)[0])(T.tensor(0.2))",
    "x = T.rand(3); push = linearize(T.sin, x)[1]; r = grad(lambda t: push(t).sum())(T.ones(3)), jacrev(push)(T.ones(3))",
    "x = T.tensor(2.0, requires_grad=True)\n"
    "with T.no_grad(): o, pull = vjp(lambda x: x**2, x)\n"
    "y, = pull(T.tensor(1.0)); r = o, y.requires_grad, T.autograd.grad(y, x)",
    "x = T.tensor(2.0, requires_grad=True)\n"
    "with T.no_grad(): o, pull = vjp(lambda x: x**2, x); y, = pull(T.tensor(1.0)); g = grad(lambda x: x**2)(x)\n"
    "r = o, y, g",
    "r = grad(lambda x: linearize(T.sin, x)[0])(T.tensor(0.3))",
    "w = leaf(3); o, push = linearize(lambda x: x * w, T.ones(3)); r = o.requires_grad,"
    " push(T.ones(3)).requires_grad, T.autograd.grad(o.sum(), w)",
    # cotangents, tangents
    "o, pull = vjp(lambda x: x**3, T.tensor(2.0)); v = T.tensor(1.0); r = pull(v, True, True), pull(cotangents=v)",
    "o, pull = vjp(lambda x: (x, x * x), T.tensor(2.0)); v = T.tensor(1.0); r = pull((v, None)), pull((None, None))",
    "r = vjp(lambda x: x, T.ones(2))[1](None)",
    "r = vjp(lambda x: x, T.ones(2))[1](1j * T.ones(2))",
    "r = vjp(lambda x: x, T.ones(2))[1]()",
    "o, pull = vjp(lambda x: (x, x), T.tensor(2.0)); r = pull(*o)",
    *(
        f"r = jvp(lambda x: {made}, (T.ones(2),), (T.ones(2),), strict=True)"
        for made in ("x.detach()", "x.detach() * 2", "x.argsort().float()", "x.floor()", "x.clone().zero_()", "T.ones(2)")
    ),
    "def f(x, y): y.copy_(x); return y, y * x\n"
    "x = T.tensor([2.0, 3]); y = T.zeros(2); r = [(J(f)(x, y), y, y.requires_grad) for J in (jacrev, jacfwd)]",
    "def f(x, n, y): y[1:].mul_(x[1:]); return y * n\n"
    "x = T.tensor([2.0, 3]); r = [J(f, argnums=i)(x, 3, T.ones(2)) for J in (jacrev, jacfwd) for i in (0, (0, 2))]",
    "def f(x, y): y[:] = x; return (y**3).sum()\n"
    "y = T.zeros(2); r = hessian(f)(T.tensor([2.0, 3]), y), y, vmap(jacfwd(f))(T.ones(3, 2), T.zeros(3, 2))",
    "def f(x, y): y.copy_(x); return y\n"
    "x, y = T.ones(2), T.zeros(2); o, pull = vjp(f, x, y); r = o, pull(T.ones(2)),"
    " grad(lambda x, y: (f(x, y).sum(), y), 0, True)(x, y)",
    "def f(w, x): x.relu_(); return (x * w).sum()\n"
    "x = T.tensor([-1.0, 2]); r = grad(f)(T.ones(2), x), x, x.requires_grad",
    "r = jvp(T.nonzero, (T.tensor([1.0, 0, 2]),), (T.ones(3),))[0]",
    "r = grad(lambda x: x[x.nonzero()].sum())(T.tensor([1.0, 0, 2]))",
    # what a function did before it has to run again
    "def f(x): x.add_(1); return x if x.sum() > 2 else -x\n"
    "x = T.zeros(3, 2); r = attempt(lambda: vmap(f)(x)), x",
    "def f(x): x.add_(1); return x * T.rand(2)\n"
    "x = T.zeros(3, 2); r = vmap(f, randomness='different')(x), x",
    "def f(x): x.mul_(2); return x * T.rand(2)\n"
    "l = leaf(3, 2); x = l * 1; y = vmap(f, randomness='different')(x);"
    " r = T.autograd.grad(y.sum(), l, retain_graph=True), T.autograd.grad(x.sum(), l)",
    # inference, several views
    "with T.inference_mode(): x = T.rand(2, 3); r = [f(x).is_inference() for f in (vmap(T.sin), vmap(vmap(grad(T.sin))))]",
    "x = T.rand(2, 4) * leaf(4); vmap(lambda x: x.split(2))(x)[0].mul_(2)",
    # a Function's own rule for batches
    *(
        "class Z(T.autograd.Function):\n"
        "    @staticmethod\n"
        "    def forward(x): return T.zeros(x.shape)\n"
        "    @staticmethod\n"
        "    def setup_context(ctx, inputs, output): pass\n"
        "    @staticmethod\n"
        f"    def vmap(info, dims, x): z = T.zeros(x.shape[1:]); told.append((info.randomness, dims)); return {given}\n"
        "told = []; r = [attempt(lambda: vmap(Z.apply, randomness=how)(T.ones(2, 3))) for how in ('same', 'error')], told"
        for given in ("z, None", "(z, z), None", "(z, z), (None, None)", "z, (None,)", "[z], (None,)", "[z], [None]", "z, 5")
    ),
    "class Z(T.autograd.Function):\n"
    "    generate_vmap_rule = True\n"
    "    @staticmethod\n"
    "    def forward(x): return x * 1\n"
    "    @staticmethod\n"
    "    def setup_context(ctx, inputs, output): pass\n"
    "    @staticmethod\n"
    "    def vmap(info, dims, x): return x, 0\n"
    "r = vmap(Z.apply)(T.ones(2, 3))",
    *(
        f"x, y = T.rand(3, 2), T.rand(3, 2); f = partial(T.nn.functional.mse_loss, reduction='{how}'); r = vmap(f)(x, y),"
        " vmap(f, (0, None))(x, y[0]), vmap(vmap(f))(x, y), vmap(jacrev(f), (None, 1))(x[:, 0], y), jacfwd(f)(x, y)"
        for how in ("mean", "sum", "none")
    ),
    # random numbers of chunks
    "r = vmap(lambda x: x + T.rand(2), randomness='same', chunk_size=2)(T.zeros(5, 2))",
]


def ran(program: str) -> Program:
    """`program` as a function of the library."""

    def run(lib: Any) -> Any:
        names = {"T": lib, "attempt": attempt, "D": collections.OrderedDict, "Q": collections.deque, "partial": partial}
        names.update((name, getattr(lib.func, name)) for name in _NAMES)
        names["leaf"] = lambda *shape: lib.rand(*shape).requires_grad_()
        lib.manual_seed(0)
        exec(program, names)
        return names["r"]

    return run


def told(result: Any) -> Any:
    """An outcome without the names of nodes, and of errors but their type."""
    if isinstance(result, tuple) and len(result) == 6 and isinstance(result[2], bool):
        return result[:3] + result[5:]
    if isinstance(result, tuple) and result[:1] == ("raised",):
        return " ".join(result[:2])
    if isinstance(result, (list, tuple)):
        return [told(each) for each in result]
    return {key: told(each) for key, each in result.items()} if isinstance(result, dict) else result


@pytest.mark.parametrize("program", SAME)
def test_a_program_does_as_in_torch(program: str) -> None:
    expected = told(outcome(ran(program), torch))
    assert expected not in ("raised NameError", "raised SyntaxError", "raised AttributeError"), program
    compare(told(outcome(ran(program), gradcore)), expected)
