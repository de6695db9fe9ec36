"""Each fused kernel on a device beside its composition in float64 on the host; on the stand-in, and larger on a GPU.

What only a GPU can show is here: blocks of real threads, their shared memory, and that the launch is one it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradcore import backends
from gradcore.backends import numpy as host
from gradcore.primitives.windows import Window

rng = np.random.default_rng()
TOLERANCE = {"f2": 4e-3, "E": 3e-2, "f4": 2e-4, "f8": 1e-11}


class Device(NamedTuple):
    """A backend, the way to its arrays and back, and whether there is a GPU."""

    F: Any
    array: Callable[[Any], Any]
    host: Callable[[Any], Any]
    real: bool


@pytest.fixture(params=["double", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> Device:
    if request.param == "double":
        cuda = request.getfixturevalue("strict_cuda")
        return Device(cuda.backend, cuda.array, cuda.host, False)
    F = backends.for_device("cuda")
    return Device(F, F.from_host, F.to_host, True)


def called(name: str, *statics: Any) -> Callable[..., Any]:
    return lambda F, *arrays: getattr(F, name)(*arrays, *statics)


def _standardized(axis: tuple[int, ...]) -> Callable[..., Any]:
    def run(F: Any, x: Any, g: Any) -> Any:
        out, mean, variance = F.standardize(x, axis, 1e-3, True)
        return out, mean, variance, F.destandardize(g, out, (variance + 1e-3) ** -0.5, axis, True)

    return run


def _normalized(axis: tuple[int, ...], channel: int) -> Callable[..., Any]:
    def run(F: Any, x: Any, g: Any, scale: Any, shift: Any) -> Any:
        out, *kept = F.normalize(x, scale, shift, axis, 1e-3, channel)
        return out, *F.normalize_backward(g, kept[0], scale, *kept[1:], axis, 1e-3, channel, (True,) * 3)

    return run


def _attended(causal: bool) -> Callable[..., Any]:
    def run(F: Any, q: Any, k: Any, v: Any, g: Any, mask: Any = None) -> Any:
        out, *kept = F.attend(q, k, v, mask, 0.3, causal)
        return out, *F.attend_backward(g, q, k, v, mask, out, *kept, 0.3, causal)

    return run


def _windows(window: Window, size: tuple[int, ...]) -> Callable[..., Any]:
    def run(F: Any, x: Any) -> Any:
        seen = F.columns(x, window)
        return seen, F.columns(x, window, True), F.image(seen, window, size)

    return run


PLANE = Window((3, 2), (1, 2), (1, 2), ((1, 0), (2, 1)))
# What to run, and the shapes of what it takes: on the stand-in, and on a GPU.
PROGRAMS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]], list[tuple[int, ...]]]] = {
    **{name: (called(name, (1,)), [(3, 37)], [(700, 5003)]) for name in ("softmax", "log_softmax")},
    **{
        name: (called(name, (1,)), [(3, 37)] * 2, [(700, 5003)] * 2)
        for name in ("softmax_backward", "log_softmax_backward")
    },
    "standardize rows": (_standardized((1,)), [(3, 37)] * 2, [(700, 5003)] * 2),
    "standardize channels": (_standardized((0, 2)), [(3, 4, 5)] * 2, [(32, 65, 3137)] * 2),
    "standardize columns": (_standardized((0,)), [(30, 4)] * 2, [(4096, 130)] * 2),
    "layer_norm": (_normalized((1,), 1), [(9, 37)] * 2 + [(37,)] * 2, [(3000, 1030)] * 2 + [(1030,)] * 2),
    "batch_norm": (_normalized((0, 2), 1), [(3, 4, 5)] * 2 + [(4,)] * 2, [(32, 65, 3137)] * 2 + [(65,)] * 2),
    "attention": (_attended(False), [(2, 9, 4), (2, 20, 4), (2, 20, 4), (2, 9, 4)], [(8, 150, 64)] * 4),
    "causal attention": (_attended(True), [(2, 9, 4), (2, 20, 4), (2, 20, 4), (2, 9, 4)], [(8, 150, 64)] * 4),
    "attention with a mask": (
        _attended(False), [(2, 9, 4), (2, 20, 4), (2, 20, 4), (2, 9, 4), (2, 1, 20)], [(8, 150, 64)] * 4 + [(150, 150)],
    ),
    "large heads": (_attended(True), [(1, 5, 96)] * 4, [(4, 100, 112)] * 4),
    "windows": (_windows(PLANE, (5, 7)), [(2, 3, 5, 7)], [(2, 3, 5, 7)]),
    "windows of images": (_windows(PLANE, (65, 66)), [(1, 1, 65, 66)], [(16, 32, 65, 66)]),
    "sums of columns": (called("sum", (0,)), [(1 << 13, 33)], [(1 << 17, 65)]),
}


@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_kernel_computes_what_is_composed(name: str, code: str, device: Device) -> None:
    program, *shapes = PROGRAMS[name]
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if code == "E" else code)
    arrays = [rng.normal(size=each).astype(dtype) for each in shapes[device.real]]
    if name.endswith("x_backward"):
        arrays[1] = getattr(host, name.removesuffix("_backward"))(arrays[1].astype("f4"), (1,)).astype(dtype)
    found = program(device.F, *map(device.array, arrays))
    expected = program(host, *(each.astype("f8") for each in arrays))
    found, expected = (x if isinstance(x, tuple) else (x,) for x in (found, expected))
    for mine, other in zip(found, expected, strict=True):
        assert (mine.shape, mine.dtype) == (other.shape, dtype)
        scale = 1 + np.abs(other).max()
        np.testing.assert_allclose(
            device.host(mine).astype("f8"), other, rtol=4 * TOLERANCE[code], atol=TOLERANCE[code] * scale
        )


@pytest.mark.parametrize("code", TOLERANCE)
def test_sums_at_places_are_the_same_every_time(code: str, device: Device) -> None:
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if code == "E" else code)
    index, values = np.sort(rng.integers(0, 9, 3000) ** 2), rng.normal(size=(3000, 33)).astype(dtype)
    arrays = [device.F.zeros((100, 33), dtype) for _ in range(2)]
    for x in arrays:
        device.F.scatter_add(x, device.array(index), device.array(values))
    first, second = map(device.host, arrays)
    np.testing.assert_array_equal(first.view(f"u{dtype.itemsize}"), second.view(f"u{dtype.itemsize}"))
    expected = np.zeros((100, 33))
    np.add.at(expected, index, values.astype("f8"))
    np.testing.assert_allclose(first.astype("f8"), expected, rtol=4 * TOLERANCE[code], atol=40 * TOLERANCE[code])
