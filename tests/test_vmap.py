"""vmap beside torch's, its loop, random numbers; and Functions of one's own inside transforms."""

from __future__ import annotations

import linecache
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.func
from gradcore import ops
from gradcore.recorder.primitive import registry
from gradcore.transforms import batches, batching, lifted

torch = pytest.importorskip("torch")

from tests.transforms_beside import beside, leaves, numbers  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")

# -- vmap ----------------------------------------------------------------------------------------------------

BATCHED = {
    "dims": lambda T, F, a, b: F.vmap(lambda x, y: x * y.sum(), in_dims=(1, 0), out_dims=-1)(a, b),
    "nested": lambda T, F, a, b: F.vmap(F.vmap(T.sub, in_dims=(0, None)), in_dims=(None, 0), out_dims=1)(a[0], b[0]),
    "trees": lambda T, F, a, b: F.vmap(
        lambda d, k: {"s": d["a"] + k, "t": (d["b"].sum(),)}, in_dims=({"a": 0, "b": None}, None)
    )({"a": a, "b": b}, 2.0),
    "out dims": lambda T, F, a, b: F.vmap(lambda x: (x, T.outer(x, x)), out_dims=(1, 2))(a),
    "constant": lambda T, F, a, b: F.vmap(lambda x: T.ones(2, dtype=a.dtype))(a),
    "chunks": lambda T, F, a, b: F.vmap(lambda x: (x.sum(), x * 2), chunk_size=3)(a),
    "index": lambda T, F, a, b: F.vmap(lambda x, i: x[i], in_dims=(0, 0))(a, T.tensor([0, 1, 2, 0])),
    "gather": lambda T, F, a, b: F.vmap(lambda i: b[i])(T.tensor([[0, 1], [2, 2], [1, 0]])),
    "select": lambda T, F, a, b: F.vmap(lambda x: x[x.argmax()])(a),
    "sort": lambda T, F, a, b: F.vmap(lambda x: tuple(T.sort(x)))(a),
    "where": lambda T, F, a, b: F.vmap(lambda x: T.where(x > 0, x, x * x))(a),
    "write": lambda T, F, a, b: F.vmap(lambda x: x.clone().mul_(2).add_(x[0]))(a),
    "write part": lambda T, F, a, b: F.vmap(lambda x: _written(x))(a),
    "view": lambda T, F, a, b: F.vmap(lambda x: x.view(1, -1).expand(2, -1).transpose(0, 1).reshape(-1)[::2])(a),
    "cat": lambda T, F, a, b: F.vmap(lambda x: T.cat([x, b[0]]))(a),
    "einsum": lambda T, F, a, b: F.vmap(lambda x: T.einsum("i,ji->j", x, b))(a),
    "solve": lambda T, F, a, b: F.vmap(lambda x: T.linalg.solve(T.outer(x, x) + T.eye(3, dtype=x.dtype), x))(a),
    "softmax": lambda T, F, a, b: F.vmap(F.jacrev(lambda x: T.softmax(x, 0)))(a),
    "norm": lambda T, F, a, b: F.vmap(F.grad(lambda x: T.nn.functional.layer_norm(x, (3,)).pow(3).sum() + x.norm()))(a),
    "loss": lambda T, F, a, b: F.vmap(F.grad(lambda x, y: T.nn.functional.cross_entropy(x[None], y[None])), in_dims=(0, 0))(
        a, T.tensor([0, 2, 1, 1])
    ),
    "same for all": lambda T, F, a, b: F.vmap(F.grad(lambda x, w: (w * x).sum(), argnums=1), in_dims=(0, None))(a, b[0]),
}  # fmt: skip


def _written(x: Any) -> Any:
    y = x.new_zeros(3)
    y[0] = x.sum()
    y[1:] = x[:2] * 2
    z = y[1:]
    z.exp_()
    return y


@pytest.mark.parametrize("name", BATCHED)
def test_vmap_beside_torch(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        beside(BATCHED[name], numbers(4, 3), numbers(3, 3))


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_per_sample(groups: int) -> None:
    def program(T: Any, F: Any, x: Any, w: Any, b: Any) -> Any:
        def loss(w: Any, b: Any, x: Any) -> Any:
            y = T.nn.functional.conv2d(x[None], w, b, stride=2, padding=1, groups=groups)
            return T.nn.functional.max_pool2d(y, 2).pow(2).sum()

        each = F.vmap(F.grad(loss, (0, 1, 2)), in_dims=(None, None, 0))(w, b, x)
        kernels = F.vmap(lambda w: T.nn.functional.conv2d(x, w, groups=groups))(T.stack([w, 2 * w]))
        return each, kernels

    beside(program, numbers(3, 4, 9, 9), numbers(6, 4 // groups, 3, 3), numbers(6))


def test_values_that_decide_the_way_make_a_loop_that_warns_once_with_the_line() -> None:
    def absolute(x: Any) -> Any:
        return x if x > 0 else -x

    x = gradcore.tensor(numbers(5))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = gradcore.func.vmap(absolute)(x)
        again = gradcore.func.vmap(gradcore.func.grad(absolute))(x)
    (warning,) = caught
    assert re.match(rf"vmap: absolute .*{re.escape(__file__)}:\d+", str(warning.message))
    assert linecache.getline(warning.filename, warning.lineno).strip() == "return x if x > 0 else -x"
    np.testing.assert_array_equal(out.numpy(), np.abs(x.numpy()))
    np.testing.assert_array_equal(again.numpy(), np.sign(x.numpy()))


def test_all_primitives_have_a_way_to_be_batched() -> None:
    ops.load()
    registry.load()

    def has(op: Any) -> bool:
        return bool(op.name in batches.rules or op.kind == "elementwise" or op.composition or batches._goes_in_front(op))

    assert batching.__name__.endswith("batching")
    # The size of bincount depends on values, so it is a loop. Dropout's are for plain arrays: what a transform holds is
    # dropped by operations.
    assert {op.name for op in registry.values() if not has(op)} == {"bincount", "dropout", "kept_places"}


def test_what_has_no_rule_is_done_one_by_one_and_warns_once_with_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(batches.rules, "dot")
    monkeypatch.setattr(batches, "_told", set())
    x, y = gradcore.tensor(numbers(4, 3)), gradcore.tensor(numbers(3, 3), requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            out = gradcore.func.vmap(lambda v: v @ y)(x)  # the line
    (warning,) = caught
    assert "no batching rule for dot" in str(warning.message)
    assert linecache.getline(warning.filename, warning.lineno).endswith("# the line\n")
    np.testing.assert_allclose(out.detach().numpy(), x.numpy() @ y.detach().numpy())
    out.sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), np.repeat(x.numpy().sum(0)[:, None], 3, 1))


@pytest.mark.filterwarnings("ignore:vmap")
def test_shapes_that_depend_on_values_and_writes_to_what_all_share() -> None:
    x = gradcore.tensor(numbers(4, 3))
    found = gradcore.func.vmap(lambda a: a[a > a.min()].sum())(x)
    np.testing.assert_allclose(found.numpy(), [a[a > a.min()].sum() for a in x.numpy()])

    def filled(a: Any) -> Any:
        out = gradcore.zeros(3, dtype=gradcore.float64)
        out[1:] = a[:2]
        return out

    np.testing.assert_array_equal(gradcore.func.vmap(filled)(x).numpy()[:, 1:], x.numpy()[:, :2])
    # An inner batch may need a loop while the outer one goes on at once.
    nested = gradcore.func.vmap(gradcore.func.vmap(lambda v: v if v > 0 else v * 2))(x)
    np.testing.assert_array_equal(nested.numpy(), np.where(x.numpy() > 0, x.numpy(), 2 * x.numpy()))


def test_random_numbers() -> None:
    x = gradcore.zeros(4)
    same = gradcore.func.vmap(lambda a: a + gradcore.rand(2), randomness="same")(x)
    different = gradcore.func.vmap(lambda a: a + gradcore.rand(2), randomness="different")(x)
    assert len(np.unique(same.numpy(), axis=0)) == 1
    assert len(np.unique(different.numpy(), axis=0)) == 4
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        gradcore.func.vmap(lambda a: a + gradcore.rand(2))(x)


def test_what_is_printed_inside() -> None:
    def program(T: Any, F: Any, x: Any) -> Any:
        told = []
        F.vmap(lambda a: (told.append(repr(a)), told.append(repr(a.sum())), a)[2])(x)
        F.vmap(F.vmap(lambda a: (told.append(repr(a)), a)[1]))(x)
        with T.autograd.forward_ad.dual_level():
            dual = T.autograd.forward_ad.make_dual(x[0], 2 * x[0])
            told.extend(map(repr, (dual, dual.sum(), dual > 0)))
        return told

    x = np.arange(6.0).reshape(2, 3)
    told = [program(T, T.func, T.tensor(x)) for T in (gradcore, torch)]
    assert told[0] == told[1]


def test_what_escapes_from_a_batch_cannot_be_read() -> None:
    kept = []
    gradcore.func.vmap(lambda a: (kept.append(a), a)[1])(gradcore.ones(3))
    with pytest.raises(RuntimeError, match="of a vmap that has ended"):
        kept[0].item()


def test_an_error_inside_leaves_nothing_behind() -> None:
    def fails(a: Any) -> Any:
        raise KeyError("mine")

    for transform in (gradcore.func.vmap(fails), gradcore.func.grad(fails), gradcore.func.jacfwd(fails)):
        with pytest.raises(KeyError, match="mine"):
            transform(gradcore.ones(3))
    assert not gradcore.graph.modes.unusual
    assert not lifted.active()


def test_threads_have_transforms_of_their_own() -> None:
    x = gradcore.tensor(numbers(8, 3))
    each = gradcore.func.vmap(gradcore.func.hessian(lambda a: (a.sin() * a.prod()).sum()))
    expected = each(x).numpy()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: each(x).numpy(), range(12)):
            np.testing.assert_array_equal(found, expected)


# -- Functions -----------------------------------------------------------------------------------------------


def cubes(T: Any) -> dict[str, Any]:
    """Functions whose derivative is ten times the true one, so that nobody else's is taken for it."""

    class Cube(T.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any, w: Any) -> Any:
            return x**3 * w, x + w

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            x, w = ctx.saved_tensors
            return 30 * g * x**2 * w + h, (g * x**3 + h)

        @staticmethod
        def jvp(ctx: Any, t: Any, u: Any) -> Any:
            x, w = ctx.saved_tensors
            return 30 * t * x**2 * w + u * x**3, t + u

    class Mapped(Cube):
        generate_vmap_rule = False

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Any, w: Any) -> Any:
            assert in_dims == (0, None)
            return Cube.apply(x, w), 0

    return {"rule": Cube, "vmap": Mapped}


@pytest.mark.parametrize("kind", ["rule", "vmap"])
def test_functions_of_ones_own_in_transforms(kind: str) -> None:
    def program(T: Any, F: Any, x: Any, w: Any) -> Any:
        apply = cubes(T)[kind].apply

        def f(x: Any, w: Any) -> Any:
            a, b = apply(x, w)
            return (a * b).sum()

        each = F.vmap(F.grad(f), in_dims=(0, None))(x, w)
        summed = F.grad(lambda w: F.vmap(f, in_dims=(0, None))(x, w).sum())(w)
        pushed = F.jvp(f, (x[0], w), (x[1], w * 2))
        return each, summed, pushed, F.vmap(apply, in_dims=(0, None))(x, w), F.jacrev(f)(x[0], w)

    beside(program, numbers(4, 3), numbers(3))


def test_a_function_without_jvp_has_one_by_transposition() -> None:
    with_jvp = cubes(gradcore)["rule"]
    without = type("Without", (with_jvp,), {"jvp": gradcore.autograd.Function.jvp})
    x, w, t, u = (gradcore.tensor(numbers(3)) for _ in range(4))
    a = gradcore.func.jvp(lambda x: without.apply(x, w), (x,), (t,))
    b = gradcore.func.jvp(lambda x: with_jvp.apply(x, w), (x,), (t,))
    for ours, expected in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_allclose(ours, expected)
    columns = gradcore.func.jacfwd(lambda x: without.apply(x, u)[0])(x)
    np.testing.assert_allclose(columns.numpy(), np.diag(30 * x.numpy() ** 2 * u.numpy()))


def test_a_jvp_that_returns_another_shape_or_number_is_refused() -> None:
    one, small = (lambda ctx, t, u: t.sum()), (lambda ctx, t, u: (t.sum(), t))
    for made, text in ((one, "number of tangents"), (small, "invalid tangent")):
        bad = type("Bad", (cubes(gradcore)["rule"],), {"jvp": staticmethod(made)})
        x = gradcore.ones(3)
        with pytest.raises(RuntimeError, match=text):
            gradcore.func.jvp(lambda x, bad=bad: bad.apply(x, x)[0], (x,), (x,))


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize("make", ["tensor", "asarray", "as_tensor"])
def test_tensors_are_made_of_batches(make: str) -> None:
    x = gradcore.arange(6.0).reshape(3, 2)
    more = {"copy": True} if make == "asarray" else {}
    found = gradcore.func.vmap(lambda row: getattr(gradcore, make)(row, **more) * 2)(x)
    assert found.tolist() == (x * 2).tolist()
