"""Random legal calls beside torch: dimensions, keepdim, dtype NumPy's names, by position, by keyword, of mixed dtypes.

It must not know any operation but by its signature. `SIGNATURE_CALLS` and `GRADCORE_SEED` draw more of them, and others.
"""

from __future__ import annotations

import operator
import os
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

SEED, CALLS = int(os.environ.get("GRADCORE_SEED", 0)), int(os.environ.get("SIGNATURE_CALLS", 40))
DTYPES = "float64 float32 int64 bool int32 uint8 float16 complex64 bfloat16".split()
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (3,), (2, 3), (3, 2, 2), (1, 3), (2, 0, 3), (2, 1, 2, 2)]
CLOSE = {"float16": 2e-2, "bfloat16": 5e-2, "float32": 1e-4, "complex64": 1e-4}


@dataclass(repr=False)
class Input:
    """A tensor that both libraries make."""

    values: Any
    dtype: str
    turned: bool = False

    def made(self, m: Any) -> Any:
        dtype = getattr(m, self.dtype)
        if self.turned:
            return m.tensor(self.values.T.tolist(), dtype=dtype).reshape(self.values.shape[::-1]).mT
        return m.tensor(self.values.tolist(), dtype=dtype).reshape(self.values.shape)

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.values.shape)}{' turned' * self.turned}"


class Draw:
    """Random arguments."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.choice = self.random.choice

    def often(self, share: float) -> bool:
        return self.random.random() < share

    def tensor(self, dtypes: list[str] = DTYPES, shapes: list[tuple[int, ...]] = SHAPES) -> Input:
        shape, dtype = self.choice(shapes), self.choice(dtypes)
        rng = np.random.default_rng(self.random.randrange(1 << 30))
        if dtype == "bool":
            values = rng.integers(0, 2, shape).astype(bool)
        elif "int" in dtype:
            values = rng.integers(0 if dtype == "uint8" else -4, 5, shape)
        elif "complex" in dtype:
            values = rng.integers(-4, 5, shape) / 2 + 1j * rng.integers(-4, 5, shape) / 2
        else:
            values = rng.integers(-6, 7, shape) / 4
        return Input(np.asarray(values), dtype, len(shape) == 2 and self.often(0.3))

    def dim(self, ndim: int) -> int:
        return self.random.randrange(-max(ndim, 1), max(ndim, 1))

    def dims(self, ndim: int) -> Any:
        if self.often(0.4):
            return self.dim(ndim)
        chosen = self.random.sample(range(ndim), self.random.randint(0, ndim))
        return self.choice([tuple, list])([d - ndim if self.often(0.4) else d for d in chosen])

    def dtype(self) -> str:
        return f"dtype {self.choice(DTYPES)}"


Call = tuple[list[Any], dict[str, Any]]


def over_dimensions(draw: Draw, several: bool = False, dtype: bool = False) -> Call:
    x = draw.tensor()
    args: list[Any] = [x]
    keywords: dict[str, Any] = {}
    dim = (draw.dims if several else draw.dim)(x.values.ndim)
    where = draw.random.random()
    if where < 0.4:
        args.append(dim)
    elif where < 0.8:
        keywords[draw.choice(["dim", "axis"])] = dim
    if len(args) == 2 and draw.often(0.3):
        args.append(draw.choice([True, False]))
    elif where < 0.8 and draw.often(0.4):
        keywords[draw.choice(["keepdim", "keepdims"])] = draw.choice([True, False])
    if dtype and draw.often(0.3):
        keywords["dtype"] = draw.dtype()
    return args, keywords


def of_two(draw: Draw) -> Call:
    return [draw.tensor(), draw.choice([2, -1, 0.5, True, 1j, 0]) if draw.often(0.3) else draw.tensor()], {}


def of_three(draw: Draw) -> Call:
    real = [dtype for dtype in DTYPES if "complex" not in dtype]  # what divides complex numbers by 0 differs
    value = {"value": draw.choice([2, 0.5, True])} if draw.often(0.6) else {}
    return [draw.tensor(real), draw.tensor(real), draw.tensor(real)], value


def chosen(draw: Draw) -> Call:
    return [draw.tensor(["bool"]), draw.choice([draw.tensor(), 2, 0.5]), draw.choice([draw.tensor(), 1, 1.5])], {}


def limited(draw: Draw) -> Call:
    limits = [None, 0, -1, 1, 0.5, 2, True, draw.tensor()]
    return [draw.tensor()], {key: draw.choice(limits) for key in ("min", "max") if draw.often(0.7)}


def joined(draw: Draw) -> Call:
    shape = draw.choice([(3,), (2, 3), (2, 0, 3)])
    given = draw.choice([tuple, list])(draw.tensor(shapes=[shape]) for _ in range(draw.random.randint(1, 3)))
    return [given], {draw.choice(["dim", "axis"]): draw.dim(len(shape))} if draw.often(0.6) else {}


def like(draw: Draw) -> Call:
    return [draw.tensor()], {"dtype": draw.dtype()} if draw.often(0.6) else {}


def filled(draw: Draw) -> Call:
    return [draw.tensor(), draw.choice([1, 0.5, True, -1])], {"dtype": draw.dtype()} if draw.often(0.4) else {}


def to_size(draw: Draw) -> Call:
    x = draw.tensor()
    return [x, draw.choice([(1,), (), x.values.shape])], {}


SIGNATURES: dict[str, Callable[[Draw], Call]] = {
    **dict.fromkeys("sum mean nansum linalg.vector_norm norm".split(), lambda d: over_dimensions(d, True, True)),
    **dict.fromkeys("amax amin all any logsumexp std var count_nonzero squeeze".split(), lambda d: over_dimensions(d, True)),
    **dict.fromkeys("prod cumsum cumprod softmax log_softmax".split(), lambda d: over_dimensions(d, dtype=True)),
    **dict.fromkeys("max min argmax argmin median nanmedian cummax logcumsumexp aminmax unbind".split(), over_dimensions),
    **dict.fromkeys("unsqueeze argsort diff trapezoid".split(), over_dimensions),
    **dict.fromkeys("add sub mul div pow maximum minimum fmax atan2 copysign remainder fmod floor_divide".split(), of_two),
    **dict.fromkeys("eq lt logical_xor bitwise_and xlogy hypot logaddexp float_power gcd result_type outer".split(), of_two),
    **dict.fromkeys("addcmul addcdiv".split(), of_three),
    **dict.fromkeys("cat stack hstack column_stack".split(), joined),
    **dict.fromkeys("zeros_like ones_like".split(), like),
    **{"where": chosen, "clamp": limited, "full_like": filled, "sum_to_size": to_size},
    **dict.fromkeys("abs sgn sqrt exp sigmoid round trunc reciprocal square angle adjoint".split(), like),
}
METHODS = {"sum_to_size"}


def result(m: Any, name: str, call: Call) -> Any:
    """The results in a list, or the exception."""

    def made(x: Any) -> Any:
        if isinstance(x, (tuple, list)):
            return type(x)(map(made, x))
        if isinstance(x, str):
            return getattr(m, x.removeprefix("dtype "))
        return x.made(m) if isinstance(x, Input) else x

    try:
        out = operator.attrgetter(name)(m.Tensor if name in METHODS else m)(
            *map(made, call[0]), **{key: made(value) for key, value in call[1].items()}
        )
    except (RuntimeError, TypeError, IndexError, ValueError) as error:
        return error
    return list(out) if isinstance(out, (tuple, list)) else [out]


def accident(call: Call) -> bool:
    """Whether torch lets pass what it refuses elsewhere: dtypes without a kernel, of nothing; complex32."""
    nothing = any(isinstance(x, Input) and x.values.size < 1 + (x.dtype == "complex64") for x in call[0])
    halves = any(isinstance(x, Input) and x.dtype == "float16" for x in call[0])
    return nothing or (halves and any(isinstance(x, complex) or getattr(x, "dtype", "") == "complex64" for x in call[0]))


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_torch_takes_has_torchs_result(name: str) -> None:
    draw, taken = Draw(f"{name} {SEED}"), 0
    for _ in range(CALLS):
        call = SIGNATURES[name](draw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, ours = result(torch, name, call), result(gradcore, name, call)
        if isinstance(theirs, Exception):
            continue
        if isinstance(ours, Exception) and accident(call):
            continue
        taken += 1
        where = f"{name} of {call}"
        assert not isinstance(ours, Exception), f"{where}: torch has {theirs}, we raise {ours!r}"
        assert len(ours) == len(theirs), where
        for t, g in zip(theirs, ours, strict=True):
            if not isinstance(t, torch.Tensor):
                assert str(t) == str(g), where
                continue
            assert (str(g.dtype), tuple(g.shape)) == (str(t.dtype), tuple(t.shape)), where
            tolerance = CLOSE.get(str(t.dtype).removeprefix("torch."), 1e-7)
            np.testing.assert_allclose(g.tolist(), t.resolve_conj().tolist(), tolerance, tolerance, err_msg=where)
    assert taken, "no call was legal"


def test_the_derivative_of_acosh_left_of_the_imaginary_axis() -> None:
    z = [-0.7 + 0.4j, -2 - 0.1j, 0.3 - 2j, 3 + 0j]
    x = gradcore.tensor(z, dtype=gradcore.complex128, requires_grad=True)
    (grad,) = gradcore.autograd.grad(gradcore.acosh(x).real.sum(), x)
    step = 1e-6
    slopes = (np.arccosh(np.array(z) + step) - np.arccosh(np.array(z) - step)) / (2 * step)
    np.testing.assert_allclose(grad.numpy(), slopes.conj(), rtol=1e-6)


@pytest.mark.filterwarnings("error:vmap")
def test_eigenvalues_of_a_batch_are_computed_at_once() -> None:
    a = np.random.default_rng(0).normal(size=(3, 4, 4))
    found = gradcore.func.vmap(gradcore.linalg.eigvals)(gradcore.tensor(a)).numpy()
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(np.linalg.eigvals(a)), rtol=1e-10)
    a[1, 0, 0] = np.nan
    with pytest.raises(RuntimeError, match=r"linalg\.eig"):
        gradcore.func.vmap(gradcore.linalg.eigvals)(gradcore.tensor(a))
