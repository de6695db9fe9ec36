"""Python numbers beside float16 and bfloat16: rounded to 16 bits where torch rounds them, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.autograd import forward_ad

torch = pytest.importorskip("torch")

DTYPES = ["float16", "bfloat16"]
# Numbers that neither dtype holds exactly, and numbers that float16 does not hold at all.
NUMBERS = [0.1, 1.2345, -0.7171, 3.3, 1e-5, 3e-9, 300.3, 65536, 1e6]

EXACT: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "x * n": lambda lib, x, y, n: x * n,
    "n * x": lambda lib, x, y, n: n * x,
    "x / n": lambda lib, x, y, n: x / n,
    "n / x": lambda lib, x, y, n: n / x,
    "floor": lambda lib, x, y, n: lib.div(x, n, rounding_mode="floor"),
    "trunc": lambda lib, x, y, n: lib.div(x, n, rounding_mode="trunc"),
    "lerp": lambda lib, x, y, n: lib.lerp(x, y, n),
    "addcmul": lambda lib, x, y, n: lib.addcmul(x, y, x, value=n),
    "addcdiv": lambda lib, x, y, n: lib.addcdiv(x, y, x, value=n),
}
ROUNDED: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "x + n": lambda lib, x, y, n: x + n,
    "x - n": lambda lib, x, y, n: x - n,
    "n - x": lambda lib, x, y, n: n - x,
    "x ** n": lambda lib, x, y, n: x**n,
    "n ** x": lambda lib, x, y, n: abs(n) ** x,
}
WRITES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "x *= n": lambda x, y, n: x.__imul__(n),
    "x /= n": lambda x, y, n: x.__itruediv__(n),
    "mul_": lambda x, y, n: x.mul_(n),
    "div_": lambda x, y, n: x.div_(n),
    "lerp_": lambda x, y, n: x.lerp_(y, n),
    "addcmul_": lambda x, y, n: x.addcmul_(y, y, value=n),
}


def inputs(dtype: str, rng: np.random.Generator) -> tuple[Any, Any]:
    """Numbers that the dtype holds, of both signs."""
    made = []
    for _ in range(2):
        values = 10 ** rng.uniform(-2, 1.5, 64) * rng.choice([-1, 1], 64)
        made.append(torch.tensor(values).to(getattr(torch, dtype)).double().numpy())
    return made[0], made[1]


def of(lib: Any, values: Any, dtype: str, **options: Any) -> Any:
    return lib.tensor(values.tolist(), dtype=getattr(lib, dtype), **options)


def numbers(x: Any) -> Any:
    return np.asarray(x.detach().double().tolist())


def steps_apart(found: Any, expected: Any, dtype: str) -> float:
    """The largest difference in units of the last of 16 bits."""
    assert found.dtype == getattr(gradcore, dtype)
    a, b = numbers(found), numbers(expected)
    limits = torch.finfo(getattr(torch, dtype))
    least = limits.smallest_normal * limits.eps
    with np.errstate(invalid="ignore", over="ignore"):
        unit = np.maximum(2.0 ** np.floor(np.log2(np.maximum(np.abs(b), 1e-300))) * limits.eps, least)
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b) / unit)
    return float(np.nan_to_num(apart, nan=np.inf).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT | ROUNDED)
def test_a_number_beside_16_bits(name: str, dtype: str) -> None:
    program, rng = (EXACT | ROUNDED)[name], np.random.default_rng()
    for n in NUMBERS:
        x, y = inputs(dtype, rng)
        if "**" in name:
            x, n = abs(x), n if abs(n) < 1e4 else 2.7
        found, expected = (program(lib, of(lib, x, dtype), of(lib, y, dtype), n) for lib in (gradcore, torch))
        allowed = 1 if "**" in name or name == "lerp" or name.startswith("addc") else 0
        assert steps_apart(found, expected, dtype) <= allowed, n


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WRITES)
def test_a_number_in_a_write_in_16_bits(name: str, dtype: str) -> None:
    rng = np.random.default_rng()
    for n in NUMBERS:
        x, y = inputs(dtype, rng)
        found, expected = of(gradcore, x, dtype), of(torch, x, dtype)
        for lib, t in ((gradcore, found), (torch, expected)):
            assert WRITES[name](t, of(lib, y, dtype), n) is t
        assert steps_apart(found, expected, dtype) <= 1, n


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["x * n", "n * x", "x / n", "n / x", "lerp", "x ** n"])
def test_gradients_of_a_number_beside_16_bits(name: str, dtype: str) -> None:
    program, rng = (EXACT | ROUNDED)[name], np.random.default_rng()
    for n in NUMBERS:
        x, y = inputs(dtype, rng)
        if "**" in name:
            x, n = abs(x), n if 0.05 < abs(n) < 5 else 1.3
        _, g = inputs(dtype, rng)
        for traced in (False, True):
            found, expected = [], []
            for lib, into in ((gradcore, found), (torch, expected)):
                at, beside = of(lib, x, dtype, requires_grad=True), of(lib, y, dtype, requires_grad=True)
                out = program(lib, at, beside, n)
                wanted = [at, beside] if name == "lerp" else [at]
                into.extend(lib.autograd.grad(out, wanted, of(lib, g, dtype), create_graph=traced))
            for a, b in zip(found, expected, strict=True):
                assert steps_apart(a, b, dtype) <= 4, (n, traced)  # torch rounds each step


@pytest.mark.parametrize("dtype", DTYPES)
def test_second_gradients_of_a_number_beside_16_bits(dtype: str) -> None:
    rng = np.random.default_rng()
    for n in (1.2345, 65536, 3e-6):
        x, _ = inputs(dtype, rng)
        for program in (lambda x, n=n: (x * x) * n, lambda x, n=n: (x * x) / n, lambda x, n=n: n / x):
            found = []
            for lib in (gradcore, torch):
                at = of(lib, x, dtype, requires_grad=True)
                (first,) = lib.autograd.grad(program(at), at, lib.ones_like(at), create_graph=True)
                (second,) = lib.autograd.grad(first, at, lib.ones_like(at))
                found.append(second)
            assert steps_apart(found[0], found[1], dtype) <= 8, n


def test_a_loss_is_scaled_and_unscaled() -> None:
    scale = 2.0**16  # which float16 does not hold
    x = gradcore.tensor([1e-3, 0.25], dtype=gradcore.float16, requires_grad=True)
    (x / scale).sum().backward()
    assert x.grad.tolist() == [1 / scale, 1 / scale]
    x.grad *= scale
    assert x.grad.tolist() == [1.0, 1.0]
    with gradcore.no_grad():
        x /= scale
    assert np.allclose(x.tolist(), [1e-3 / scale, 0.25 / scale], rtol=0, atol=2.0**-25)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["x * n", "n * x", "x / n", "floor", "trunc", "x + n"])
def test_a_constant_of_no_dimensions_beside_16_bits(name: str, dtype: str) -> None:
    """It is a number where it is the second operand; before the tensor it is rounded."""
    program, rng = (EXACT | ROUNDED)[name], np.random.default_rng()
    for n in [*NUMBERS, 70003, True]:
        x, _ = inputs(dtype, rng)
        found = []
        for lib in (gradcore, torch):
            at = of(lib, x, dtype, requires_grad=True)
            out = program(lib, at, None, lib.tensor(n))
            found.append((out, *lib.autograd.grad(out, at, lib.ones_like(at))))
        for a, b in zip(*found, strict=True):
            assert steps_apart(a, b, dtype) <= 1, n
    scale = gradcore.tensor(4.0, requires_grad=True)
    (of(gradcore, x, dtype) * scale).sum().backward()
    assert scale.grad.dtype == gradcore.float32  # a variable is none


@pytest.mark.parametrize("dtype", DTYPES)
def test_broadcast_numbers_and_shapes(dtype: str) -> None:
    """Of 0-d and empty tensors too; booleans and integers are numbers."""
    kind = getattr(gradcore, dtype)
    for shape in ((), (0, 3), (2, 1)):
        x = gradcore.ones(shape, dtype=kind, requires_grad=True)
        for n in (True, 3, 1e6):
            out = x / n
            assert (out.dtype, out.shape) == (kind, x.shape)
            out.sum().backward()
            assert (x.grad.dtype, x.grad.shape) == (kind, x.shape)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_beside_16_bits_under_transforms(dtype: str) -> None:
    n, kind = 1e6, getattr(gradcore, dtype)
    x, _ = inputs(dtype, np.random.default_rng())
    at = of(gradcore, x, dtype)
    plain, slope = at / n, gradcore.ones_like(at) / n

    def same(found: Any, expected: Any) -> None:
        assert found.dtype == kind
        assert found.tolist() == expected.tolist()

    same(gradcore.vmap(lambda x: x / n)(at), plain)
    out, tangent = gradcore.func.jvp(lambda x: x / n, (at,), (gradcore.ones_like(at),))
    same(out, plain)
    same(tangent, slope)
    same(gradcore.func.grad(lambda x: (x / n).sum())(at), slope)
    same(gradcore.vmap(gradcore.func.grad(lambda x: x / n))(at), slope)
    with forward_ad.dual_level():
        parts = forward_ad.unpack_dual(forward_ad.make_dual(at, gradcore.ones_like(at)) / n)
        same(parts.primal, plain)
        same(parts.tangent, slope)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["add", "sub", "rsub"])
def test_alpha_is_rounded_as_in_torch(name: str, dtype: str) -> None:
    rng = np.random.default_rng()
    for alpha in (1.2345, 0.1, 70000.0, 4e38, float("inf")):
        x, y = np.abs(inputs(dtype, rng))
        y = -y if name != "add" else y  # nothing cancels
        try:
            expected = getattr(torch, name)(of(torch, x, dtype), of(torch, y, dtype), alpha=alpha)
        except RuntimeError as error:
            with pytest.raises(RuntimeError, match=str(error)):
                getattr(gradcore, name)(of(gradcore, x, dtype), of(gradcore, y, dtype), alpha=alpha)
            continue
        found = getattr(gradcore, name)(of(gradcore, x, dtype), of(gradcore, y, dtype), alpha=alpha)
        assert steps_apart(found, expected, dtype) <= 1, alpha


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_beside_16_bits_on_the_strict_double(strict_cuda: Any, dtype: str) -> None:
    rng = np.random.default_rng()
    for name in ("x * n", "x / n", "n / x", "floor", "trunc", "lerp", "addcmul", "x ** n"):
        program = (EXACT | ROUNDED)[name]
        for n in (1.2345, 65536, 3e-6):
            x, y = np.abs(inputs(dtype, rng))
            results = []
            for device in ("cpu", "cuda"):
                at, beside = (of(gradcore, v, dtype).to(device).requires_grad_() for v in (x, y))
                with nullcontext() if device == "cpu" else strict_cuda.never_waits():
                    out = program(gradcore, at, beside, n)
                    (slope,) = gradcore.autograd.grad(out, at, gradcore.ones_like(out), create_graph=True)
                    if slope.requires_grad:
                        gradcore.autograd.grad(slope, at, gradcore.ones_like(out), allow_unused=True)
                results.append((out, slope))
            for here, there in zip(*results, strict=True):
                assert there.dtype == getattr(gradcore, dtype)
                assert np.array_equal(numbers(here), numbers(there.cpu()), equal_nan=True), (name, n)
