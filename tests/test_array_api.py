"""The array API standard's functions on Tensors beside NumPy's, which follow it: how many pass. It must not know how.

The names are those of the standard's version 2024.12, all of them; each is called as the standard spells it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore

RNG = np.random.default_rng()
Call = Callable[..., Any]
ONE, TWO = [(2, 3)], [(2, 3), (3,)]


def named(names: str, shapes: Any, **options: Any) -> dict[str, tuple[Call, Any]]:
    return {name: (lambda xp, *a, name=name: getattr(xp, name)(*a, **options), shapes) for name in names.split()}


def wholes(names: str, shapes: Any) -> dict[str, tuple[Call, Any]]:
    """Functions of integers or truth values."""
    made = {}
    for name in names.split():
        kind = "bool" if name.startswith("logical") else "int64"
        made[name] = (
            lambda xp, *a, name=name, kind=kind: getattr(xp, name)(*(xp.astype(x * 5, getattr(xp, kind)) for x in a)),
            shapes,
        )
    return made


def spectral(name: str) -> tuple[Call, Any]:
    if name in ("fftfreq", "rfftfreq"):
        return lambda xp, a: getattr(xp.fft, name)(5, d=0.5), ONE
    if name in ("fftshift", "ifftshift"):
        return lambda xp, a: getattr(xp.fft, name)(a, axes=(1,)), ONE
    return lambda xp, a: getattr(xp.fft, name)(a, norm="ortho"), ONE


def positive(xp: Any, a: Any) -> Any:
    return xp.matmul(a, a.mT if hasattr(a, "mT") else a.T) + xp.eye(a.shape[0], dtype=xp.float64)


FUNCTIONS: dict[str, tuple[Call, Any]] = {
    **named(
        "abs acos asin asinh atan atanh ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan log log1p log10 log2 "
        "negative positive real reciprocal round sign signbit sin sinh sqrt square tan tanh trunc nonzero",
        ONE,
    ),
    "acosh": (lambda xp, a: xp.acosh(a + 1), ONE),
    **named(
        "add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp maximum minimum "
        "multiply nextafter not_equal pow remainder subtract",
        TWO,
    ),
    **wholes("bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor", TWO),
    **wholes("logical_and logical_or logical_xor", TWO),
    **wholes("bitwise_invert logical_not", ONE),
    **named("all any max mean min prod sum std var", ONE, axis=0, keepdims=True),
    **named("argmax argmin count_nonzero cumulative_sum cumulative_prod diff argsort sort flip expand_dims", ONE, axis=1),
    **named("unique_all unique_counts unique_inverse unique_values", ONE),
    **named("matmul tensordot vecdot", [(3, 3), (3, 3)]),
    **named("matrix_transpose tril triu zeros_like ones_like", ONE),
    "clip": (lambda xp, a: xp.clip(a, 0.3, 0.8), ONE),
    "empty": (lambda xp, a: xp.empty((2, 3)) * 0, ONE),
    "empty_like": (lambda xp, a: xp.empty_like(a) * 0, ONE),
    "full": (lambda xp, a: xp.full(3, 7.0), ONE),
    "full_like": (lambda xp, a: xp.full_like(a, 7.0), ONE),
    "zeros": (lambda xp, a: xp.zeros((2, 3), dtype=xp.float64), ONE),
    "ones": (lambda xp, a: xp.ones(4, dtype=xp.int32), ONE),
    "eye": (lambda xp, a: xp.eye(3, 4, k=1), ONE),
    "arange": (lambda xp, a: xp.arange(5, 1, -2), ONE),
    "linspace": (lambda xp, a: xp.linspace(0.0, 1.0, 5, endpoint=False, dtype=xp.float64), ONE),
    "asarray": (lambda xp, a: xp.asarray([[1, 2], [3, 4]], dtype=xp.float64), ONE),
    "from_dlpack": (lambda xp, a: xp.from_dlpack(np.arange(3.0)), ONE),
    "meshgrid": (lambda xp, a, b: xp.meshgrid(a, b, indexing="xy"), [(3,), (2,)]),
    "astype": (lambda xp, a: xp.astype(a * 9, xp.int64), ONE),
    "can_cast": (lambda xp, a: xp.can_cast(xp.int32, xp.int64), ONE),
    "finfo": (lambda xp, a: float(xp.finfo(xp.float32).eps), ONE),
    "iinfo": (lambda xp, a: int(xp.iinfo(xp.int16).max), ONE),
    "isdtype": (lambda xp, a: [xp.isdtype(a.dtype, k) for k in ("bool", "numeric", ("integral", "real floating"))], ONE),
    "result_type": (lambda xp, a: xp.result_type(xp.int8, xp.int32, xp.float64) == xp.float64, ONE),
    "broadcast_arrays": (lambda xp, a, b: xp.broadcast_arrays(a, b), TWO),
    "broadcast_to": (lambda xp, a: xp.broadcast_to(a, (4, 2, 3)), ONE),
    "concat": (lambda xp, a, b: xp.concat([a, b], axis=0), [(2, 3), (1, 3)]),
    "stack": (lambda xp, a, b: xp.stack([a, b], axis=1), [(2, 3), (2, 3)]),
    "unstack": (lambda xp, a: xp.unstack(a, axis=1), ONE),
    "moveaxis": (lambda xp, a: xp.moveaxis(a, 0, 1), ONE),
    "permute_dims": (lambda xp, a: xp.permute_dims(a, (1, 0)), ONE),
    "repeat": (lambda xp, a: xp.repeat(a, 2, axis=0), ONE),
    "reshape": (lambda xp, a: xp.reshape(a, (3, 2)), ONE),
    "roll": (lambda xp, a: xp.roll(a, 1, axis=0), ONE),
    "squeeze": (lambda xp, a: xp.squeeze(a, axis=0), [(1, 3)]),
    "tile": (lambda xp, a: xp.tile(a, (2, 1)), ONE),
    "searchsorted": (lambda xp, a, b: xp.searchsorted(xp.sort(a), b, side="right"), [(5,), (3,)]),
    "where": (lambda xp, a, b: xp.where(a > 0.5, a, b), TWO),
    "take": (lambda xp, a: xp.take(a, xp.asarray([1, 0]), axis=0), ONE),
    "take_along_axis": (lambda xp, a: xp.take_along_axis(a, xp.asarray([[1], [0]]), axis=1), ONE),
    **{f"linalg.{name}": (lambda xp, a, name=name: getattr(xp.linalg, name)(positive(xp, a)), [(3, 3)])
       for name in "cholesky det eigh eigvalsh inv matrix_rank pinv slogdet svdvals diagonal trace".split()},
    "linalg.matrix_transpose": (lambda xp, a: xp.linalg.matrix_transpose(a), ONE),
    **{f"linalg.{name}": (lambda xp, a, b, name=name: getattr(xp.linalg, name)(a, b), [(3, 3), (3, 3)])
       for name in "matmul tensordot vecdot cross".split()},
    "linalg.svd": (lambda xp, a: xp.linalg.svd(a, full_matrices=False)[1], ONE),
    "linalg.qr": (lambda xp, a: xp.matmul(*xp.linalg.qr(a)), [(3, 2)]),
    "linalg.solve": (lambda xp, a, b: xp.linalg.solve(positive(xp, a), b), [(3, 3), (3, 2)]),
    "linalg.outer": (lambda xp, a, b: xp.linalg.outer(a, b), [(3,), (2,)]),
    "linalg.matrix_power": (lambda xp, a: xp.linalg.matrix_power(a, 3), [(3, 3)]),
    "linalg.matrix_norm": (lambda xp, a: xp.linalg.matrix_norm(a, keepdims=True), ONE),
    "linalg.vector_norm": (lambda xp, a: xp.linalg.vector_norm(a, axis=1, ord=3), ONE),
    **{f"fft.{name}": spectral(name)
       for name in "fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft fftfreq rfftfreq fftshift ifftshift".split()},
}  # fmt: skip

# What NumPy passes to no protocol.
NOT_YET: set[str] = set()


def flat(value: Any) -> list[np.ndarray]:
    if isinstance(value, (tuple, list)):
        return [x for each in value for x in flat(each)]
    return [np.asarray(value.detach().resolve_conj().numpy() if isinstance(value, gradcore.Tensor) else value)]


def passes(name: str) -> str:
    """What is wrong with the function, or nothing."""
    call, shapes = FUNCTIONS[name]
    arrays = [RNG.uniform(0.1, 0.9, size=shape) for shape in shapes]
    tensors = [gradcore.tensor(x, requires_grad=True) for x in arrays]
    try:
        result = call(tensors[0].__array_namespace__(), *tensors)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    for ours, theirs in zip(flat(result), flat(call(np, *arrays)), strict=True):
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-6, atol=1e-9):
            return f"{ours} is not {theirs}"
    tracked = [x for x in (result if isinstance(result, (tuple, list)) else [result]) if getattr(x, "requires_grad", False)]
    if tracked:
        grads = gradcore.autograd.grad([abs(x).sum() for x in tracked], tensors, allow_unused=True)
        if not all(g is None or g.shape == t.shape for g, t in zip(grads, tensors, strict=True)):
            return "a gradient has another shape than its input"
    return ""


@pytest.mark.filterwarnings("ignore")
def test_functions_of_the_standard_are_numpys() -> None:
    wrong = {name: said for name in FUNCTIONS if (said := passes(name))}
    print(f"{len(FUNCTIONS) - len(wrong)} of {len(FUNCTIONS)} functions of the array API standard pass")
    assert {name: said for name, said in wrong.items() if name not in NOT_YET} == {}
    assert len(FUNCTIONS) >= 160


def test_gradients_pass_through_the_namespace() -> None:
    x = gradcore.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    xp = x.__array_namespace__(api_version="2024.12")
    loss = xp.sum(xp.exp(xp.permute_dims(x, (1, 0))) * xp.asarray([1.0, 2.0]), axis=None)
    (g,) = gradcore.autograd.grad(loss, x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), np.exp(x.detach().numpy()) * [[1.0], [2.0]], rtol=1e-6)
    assert gradcore.autograd.grad(g.sum(), x)[0].shape == (2, 2)


def test_what_the_namespace_says_of_itself() -> None:
    xp = gradcore.ones(1).__array_namespace__()
    assert xp.__array_api_version__ == "2024.12"
    info = xp.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] is gradcore.float32
    assert set(info.dtypes(kind="integral")) == set(info.dtypes(kind=("signed integer", "unsigned integer")))
    assert info.devices()[0] == info.default_device() == gradcore.device("cpu")
    assert info.capabilities()["boolean indexing"]
    assert (xp.pi, xp.newaxis, xp.bool) == (np.pi, None, gradcore.bool)
    with pytest.raises(ValueError, match="array API 1999"):
        gradcore.ones(1).__array_namespace__(api_version="1999.12")
    with pytest.raises(AttributeError, match="no such_function"):
        _ = xp.such_function
    with pytest.raises(ValueError, match="must be copied"):
        xp.asarray([1.0], copy=False)
