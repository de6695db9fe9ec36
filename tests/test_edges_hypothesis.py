"""NaN, infinities, signed zeros, denormals, empty, 0-d, strided and expanded inputs, drawn by hypothesis: values and first
gradients are torch's. It must not know primitives.

Bounded in time: a few dozen examples for each operation.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import gradcore

torch = pytest.importorskip("torch")

F = operator.attrgetter("nn.functional")
DENORMAL = 1e-310
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, DENORMAL, -DENORMAL]
PLAIN = [1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, 0.3, -1.7, 30.0, -6.0]
SHAPES = [(), (0,), (1,), (4,), (2, 3), (3, 0), (2, 1, 3)]
LAYOUTS = ["contiguous", "transposed", "strided", "expanded"]

Op = Callable[..., Any]


def named(path: str) -> Op:
    """The function of a library at `path`."""
    return lambda m, *args: operator.attrgetter(path)(m)(*args)


def table(paths: str, prefix: str = "") -> dict[str, Op]:
    return {path: named(prefix + path) for path in paths.split()}


UNARY: dict[str, Op] = {
    **table(
        "abs acos acosh angle asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 floor "
        "frac i0 lgamma log log10 log1p log2 nan_to_num neg positive rad2deg reciprocal relu round rsqrt sgn sigmoid "
        "sign sin sinc sinh sqrt square tan tanh trunc special.entr special.erfcx special.i0e special.i1 special.i1e "
        "special.log_ndtr special.ndtr special.ndtri special.logit clone ravel"
    ),
    **table(
        "gelu hardshrink hardsigmoid leaky_relu logsigmoid mish relu6 silu softplus softshrink softsign tanhshrink "
        "elu celu selu hardswish hardtanh",
        "nn.functional.",
    ),
    "clamp(-.5, 2)": lambda m, x: x.clamp(-0.5, 2.0),
    "clamp_min(0)": lambda m, x: x.clamp_min(0.0),
    "clamp_max(0)": lambda m, x: x.clamp_max(0.0),
    "threshold": lambda m, x: F(m).threshold(x, 0.5, 7.0),
    "gelu(tanh)": lambda m, x: F(m).gelu(x, approximate="tanh"),
    "nan_to_num(1, 2, 3)": lambda m, x: m.nan_to_num(x, 1.0, 2.0, 3.0),
    **{f"x ** {k}": lambda m, x, k=k: x**k for k in (0, 1, 2, 3, 0.5, -0.5, -1, -2, 2.5)},
    **{f"{k} ** x": lambda m, x, k=k: k**x for k in (0.0, 1.0, 2.0, 0.5)},
    "1 / x": lambda m, x: 1 / x,
    "2 - x": lambda m, x: 2 - x,
    "x % 2": lambda m, x: x % 2.0,
    "polygamma(1)": lambda m, x: m.polygamma(1, x),
}
BINARY: dict[str, Op] = {
    **table(
        "add sub mul div atan2 copysign fmax fmin fmod hypot logaddexp logaddexp2 maximum minimum pow remainder xlogy "
        "special.xlog1py float_power"
    ),
    "lerp": lambda m, x, y: m.lerp(x, y, 0.25),
    "where": lambda m, x, y: m.where(x > 0, x, y),
    "clamp": lambda m, x, y: m.clamp(x, y, y + 1),
    "addcmul": lambda m, x, y: m.addcmul(y, x, y, value=0.5),
    "addcdiv": lambda m, x, y: m.addcdiv(y, x, y, value=0.5),
    "mse_loss": lambda m, x, y: F(m).mse_loss(x, y, reduction="none"),
    "l1_loss": lambda m, x, y: F(m).l1_loss(x, y, reduction="none"),
    "smooth_l1_loss": lambda m, x, y: F(m).smooth_l1_loss(x, y, reduction="none"),
    "huber_loss": lambda m, x, y: F(m).huber_loss(x, y, reduction="none"),
    "div(floor)": lambda m, x, y: m.div(x, y, rounding_mode="floor"),
    "div(trunc)": lambda m, x, y: m.div(x, y, rounding_mode="trunc"),
}
REDUCTIONS: dict[str, Op] = {
    **table("sum mean prod amax amin max min nansum median nanmedian"),
    **{
        f"{name}(-1)": lambda m, x, name=name: getattr(m, name)(x, -1)
        for name in "sum mean prod amax amin logsumexp nansum cumsum logcumsumexp softmax log_softmax".split()
    },
    **{
        f"{name}(0).values": lambda m, x, name=name: getattr(m, name)(x, 0)[0]
        for name in "max min cummax cummin sort".split()
    },
    **{f"norm {p}": lambda m, x, p=p: m.linalg.vector_norm(x, p) for p in (0, 1, 2, 3, 0.5, math.inf, -math.inf)},
    "mean(0, keepdim)": lambda m, x: x.mean(0, keepdim=True),
    "diff": lambda m, x: m.diff(x, dim=0),
    "softmin": lambda m, x: F(m).softmin(x, dim=0),
    "trapezoid": lambda m, x: m.trapezoid(x, dim=-1),
}
SHAPING: dict[str, Op] = {
    "flip": lambda m, x: x.flip(-1),
    "roll": lambda m, x: x.roll(1, -1),
    "cat": lambda m, x: m.cat([x, x * 2, x], -1),
    "stack": lambda m, x: m.stack([x, x], 1),
    "tile": lambda m, x: x.tile(2),
    "expand": lambda m, x: x.expand(2, *x.shape),
    "unsqueeze": lambda m, x: x.unsqueeze(-1).squeeze(),
    "permute": lambda m, x: x.permute(tuple(range(x.ndim))[::-1]),
    "reshape": lambda m, x: x.reshape(-1),
    "tril": lambda m, x: m.tril(x),
    "triu": lambda m, x: m.triu(x, 1),
    "diagonal": lambda m, x: x.diagonal(),
    "narrow": lambda m, x: x.narrow(0, 0, 1),
    "split": lambda m, x: x.split(2)[0],
    "masked_fill": lambda m, x: x.masked_fill(x > 0, 5.0),
    "index_select": lambda m, x: x.index_select(0, m.zeros(3, dtype=m.int64)),
    "index_add": lambda m, x: x.index_add(0, m.zeros(x.shape[0], dtype=m.int64), x),
    "pad": lambda m, x: F(m).pad(x, (1, 2)),
    "where(isnan)": lambda m, x: m.where(m.isnan(x), m.zeros_like(x), x),
}

# IEEE 754 and C say what the sign of a zero is, of values and derivatives.
SIGNED_ZEROS = {
    *"abs neg positive ceil floor trunc round sqrt sin tan asin atan sinh tanh asinh atanh expm1 log1p erf square".split(),
    *"reciprocal add sub mul div atan2 copysign fmod remainder clone ravel relu threshold deg2rad rad2deg frac".split(),
    *("x % 2", "div(floor)", "div(trunc)", "clamp(-.5, 2)", "clamp_min(0)", "clamp_max(0)", "1 / x", "2 - x"),
}


Mask = Callable[[Any], Any]


def denormal(x: Any) -> Any:
    return (x != 0) & (abs(x) < 1e-300)


def pole(x: Any) -> Any:
    return np.isinf(x) | ((x < 0) & (x == np.floor(x)))


# Inputs that some operations are not compared for, since torch's own results are accidents there.
SPARED: dict[str, Mask] = {
    # What torch's kernels do here depends on how the memory lies: it decides which of two loops runs.
    "special.logit": lambda x: (x == 0) & np.signbit(x),
    **dict.fromkeys("elu celu selu hardswish hardtanh relu6 hardshrink softshrink".split(), np.isnan),
    # At the poles of the gamma function torch has huge numbers, of either sign, for infinity; and NaN at infinity.
    "digamma": pole,
    "polygamma(1)": pole,
    # torch's remainder by a denormal is NaN, though there is one.
    "fmod": denormal,
    "remainder": denormal,
    # Squares of denormals are 0, which torch divides by.
    "addcdiv": denormal,
    # torch's derivative is the one at 0.
    "special.i1": np.isnan,
    "special.i1e": np.isnan,
    # torch's is NaN, where the logarithm of the normal distribution is a parabola.
    "special.log_ndtr": np.isinf,
    # No derivative of a product divides; torch's do, infinity by infinity.
    **dict.fromkeys(["prod", "prod(-1)"], lambda x: ~np.isfinite(x) | denormal(x)),
    # Their squares are 0. torch takes the absolute value of what is alone.
    **{f"norm {p}": denormal for p in (2, 3)},
    # NumPy takes a root where C's power of minus infinity is infinite.
    "pow": np.isneginf,
}
# Relative and absolute tolerance, where sums cancel; torch multiplies by a rounded 1/6.
CLOSE = {
    **dict.fromkeys("logaddexp2 softmin softmax(-1) log_softmax(-1) logsumexp(-1) logcumsumexp(-1)".split(), (1e-9, 1e-15)),
    "hardsigmoid": (1e-6, 0.0),
}


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """Numbers of which most examples have a few that are special, and some that are nothing else."""
    size = math.prod(shape)
    pool = draw(st.sampled_from([PLAIN, [*PLAIN, *SPECIAL], SPECIAL]))
    return np.array(draw(st.lists(st.sampled_from(pool), min_size=size, max_size=size)), dtype="f8").reshape(shape)


def laid_out(m: Any, array: Any, layout: str) -> tuple[Any, Any]:
    """A leaf, and a view of it with the values of `array` (of its first slice, if expanded)."""
    if layout == "transposed":
        leaf = m.tensor(array.T.copy(), requires_grad=True)
        return leaf, leaf.permute(tuple(range(leaf.ndim))[::-1])
    if layout == "strided" and array.ndim:
        leaf = m.tensor(np.repeat(array, 2, -1), requires_grad=True)
        return leaf, leaf[..., ::2]
    if layout == "expanded" and array.ndim and len(array):
        leaf = m.tensor(array[:1].copy(), requires_grad=True)
        return leaf, leaf.expand(array.shape)
    leaf = m.tensor(array, requires_grad=True)
    return leaf, leaf


def outcome(m: Any, op: Op, inputs: list[tuple[Any, str]]) -> Any:
    """The value and the gradients, or the exception."""
    leaves, views = zip(*(laid_out(m, *each) for each in inputs), strict=True)
    try:
        out = op(m, *views)
        if not out.requires_grad:
            return [out, *(None for _ in leaves)]
        # Different numbers, written out: torch's kernels round and choose by how cotangents lie.
        cotangent = m.tensor(np.linspace(0.5, 2.0, max(math.prod(out.shape), 1))[: math.prod(out.shape)]).reshape(out.shape)
        return [out, *m.autograd.grad(out, leaves, cotangent, allow_unused=True)]
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        return error


def assert_same(name: str, op: Op, inputs: list[tuple[Any, str]]) -> None:
    if name in SPARED:
        inputs = [(np.where(SPARED[name](x), 0.25, x), layout) for x, layout in inputs]
    rtol, atol = CLOSE.get(name, (1e-9, 1e-300))
    theirs, ours = outcome(torch, op, inputs), outcome(gradcore, op, inputs)
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception), f"torch raises {theirs!r}, we have {ours}"
        return
    assert not isinstance(ours, Exception), f"torch has {theirs}, we raise {ours!r}"
    for i, (t, g) in enumerate(zip(theirs, ours, strict=True)):
        what = f"gradient {i - 1}" if i else "value"
        t, g = (np.zeros(()) if x is None else np.asarray(x.detach().numpy(force=True)) for x in (t, g))
        if t.shape != g.shape:  # None is zero
            t, g = np.broadcast_arrays(t, g)
        np.testing.assert_allclose(g, t, rtol, atol, err_msg=what)
        if name in SIGNED_ZEROS and ours[i] is not None:
            t = np.where(np.isnan(t), g, t)
            np.testing.assert_array_equal(np.signbit(g), np.signbit(t), err_msg=f"signs of {what}")


def bounded(examples: int) -> Any:
    return settings(max_examples=examples, phases=(Phase.explicit, Phase.generate))


@pytest.mark.parametrize("name", UNARY)
@bounded(25)
@example(data=None)
@given(data=st.data())
def test_functions_of_one(name: str, data: Any) -> None:
    if data is None:
        assert_same(name, UNARY[name], [(np.array([*SPECIAL, *PLAIN]), "contiguous")])
        return
    array = data.draw(st.sampled_from(SHAPES).flatmap(arrays))
    assert_same(name, UNARY[name], [(array, data.draw(st.sampled_from(LAYOUTS)))])


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", BINARY)
@bounded(25)
@example(data=None)
@given(data=st.data())
def test_functions_of_two(name: str, data: Any) -> None:
    if data is None:
        grid = np.meshgrid(*[np.array([*SPECIAL, *PLAIN])] * 2)
        assert_same(name, BINARY[name], [(x.ravel().copy(), "contiguous") for x in grid])
        return
    shape = data.draw(st.sampled_from(SHAPES))
    other = tuple(1 if data.draw(st.booleans()) else n for n in shape[data.draw(st.integers(0, len(shape))) :])
    inputs = [(data.draw(arrays(s)), data.draw(st.sampled_from(LAYOUTS))) for s in (shape, other)]
    assert_same(name, BINARY[name], inputs[:: data.draw(st.sampled_from([1, -1]))])


@pytest.mark.parametrize("name", {**REDUCTIONS, **SHAPING})
@bounded(30)
@given(data=st.data())
def test_reductions_and_shapes(name: str, data: Any) -> None:
    array = data.draw(st.sampled_from(SHAPES).flatmap(arrays))
    assert_same(name, {**REDUCTIONS, **SHAPING}[name], [(array, data.draw(st.sampled_from(LAYOUTS)))])
