"""Products of matrices by cuBLAS itself, beside NumPy's: every layout it may meet. It must not know how CuPy calls it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcore import backends, cuda
from tests.double import cublas as pretended

rng = np.random.default_rng()
DTYPES = {"e": 1e-2, "f": 1e-5, "d": 1e-12, "F": 1e-5, "D": 1e-12}

SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3, 4), (4, 5)), ((1, 4), (4, 5)), ((3, 1), (1, 5)), ((3, 4), (4, 1)), ((1, 1), (1, 1)), ((4,), (4, 5)), ((3, 4), (4,)),
    ((4,), (4,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (3, 4, 5)),
    ((2, 3, 3, 4), (2, 3, 4, 1)), ((1, 3, 4), (2, 4, 5)), ((2, 2, 4), (4,)), ((0, 4), (4, 5)), ((3, 0), (0, 5)),
    ((2, 0, 4), (2, 4, 5)),
]  # fmt: skip


@pytest.fixture(params=["double", pytest.param("cuda", marks=pytest.mark.cuda)])
def place(request: pytest.FixtureRequest) -> Any:
    """cuBLAS with the uncounted ways to a device and back."""
    if request.param == "double":
        there = request.getfixturevalue("strict_cuda")
        F, array, host = there.backend, there.array, there.host
    else:
        F = backends.for_device("cuda")
        array, host = F.from_host, F.to_host
    return SimpleNamespace(F=F, array=array, host=host, cublas=sys.modules["gradcore.backends.cublas"])


def turned(x: Any) -> Any:
    """The same numbers, column after column."""
    return x.swapaxes(-1, -2)


# How the numbers of an array may lie: each makes an array of a device from one of the host.
LAYOUTS: dict[str, Any] = {
    "C order": lambda p, x: p.array(x),
    "transposed": lambda p, x: turned(p.array(np.ascontiguousarray(turned(x)))) if x.ndim > 1 else p.array(x),
    "every second column": lambda p, x: p.array(np.repeat(x, 2, -1))[..., ::2],
    "a part of the rows": lambda p, x: p.array(np.concatenate([x, x, x], -1))[..., : x.shape[-1]],
    "backwards": lambda p, x: p.array(np.ascontiguousarray(x[::-1]))[::-1],
    "axes in reverse": lambda p, x: p.array(np.ascontiguousarray(x.transpose())).transpose(),
    "one row for all": lambda p, x: p.F.broadcast_view(p.array(np.ascontiguousarray(x[..., :1])), x.shape),
    "a later part": lambda p, x: p.array(np.concatenate([x, x]))[x.shape[0] :],
}


def numbers(shape: tuple[int, ...], char: str) -> Any:
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if char in "FD" else x).astype(char)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("char", DTYPES)
def test_products_are_numpys(char: str, layout: str, place: Any) -> None:
    for shapes in SHAPES:
        given = [numbers(shape, char) for shape in shapes]
        if layout == "one row for all":
            given = [np.broadcast_to(x[..., :1], x.shape) for x in given]
        there = [LAYOUTS[layout](place, x) for x in given]
        for x, y in ((there[0], there[1]), (place.array(given[0]), there[1]), (there[0], place.array(given[1]))):
            found, expected = place.host(place.cublas.product(x, y)), np.matmul(*given)
            assert (found.shape, found.dtype) == (expected.shape, given[0].dtype)
            np.testing.assert_allclose(found, expected, rtol=DTYPES[char], atol=4 * DTYPES[char])


def test_bfloat16_adds_up_in_float32(place: Any) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, y = (numbers(shape, "f").astype(ml_dtypes.bfloat16) for shape in ((2, 3, 400), (2, 400, 5)))
    found = place.host(place.cublas.product(place.array(x), place.array(y))).astype("f4")
    expected = x.astype("f4") @ y.astype("f4")
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-1)


def test_what_is_not_cublas(place: Any) -> None:
    x = rng.integers(-5, 5, (3, 3))
    assert (place.host(place.cublas.product(place.array(x), place.array(x))) == x @ x).all()
    with pytest.raises(ValueError, match="do not fit: 3 columns and 4 rows"):
        place.cublas.product(place.array(np.ones((2, 3))), place.array(np.ones((4, 2))))


def test_sums_of_products(place: Any) -> None:
    x, y = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 4, 5))
    for subscripts in ("nckp,nkp->ncp", "nckp,nkp->pn", "nckp,nkp->"):
        found = place.host(place.cublas.summed(subscripts, place.array(x), place.array(y)))
        np.testing.assert_allclose(found, np.einsum(subscripts, x, y), rtol=1e-12)


def test_a_graph_works_in_memory_of_its_own(strict_cuda: Any) -> None:
    import gradcore as gc

    backend: Any = sys.modules["gradcore.backends.graphs"]
    made, side, handle = cuda.CUDAGraph(), cuda.Stream(), cuda.graph_pool_handle()
    x = gc.tensor(rng.normal(size=(3, 3)), device="cuda")
    before = pretended.library.products
    with cuda.graph(made, pool=handle):
        main = cuda.current_stream()
        y = x @ x
        side.wait_stream(main)
        with cuda.stream(side):
            z = x @ x.t()
        main.wait_stream(side)
        w = (y @ z).expand(2, 3, 3) @ x
        (capture,) = backend.captures
        assert {memory.nbytes for memory in capture.workspaces.values()} == {1 << 25}  # of the pretended Hopper
        assert len(capture.workspaces) == 2
    assert pretended.library.products == before + 4
    made.replay()
    v = strict_cuda.host(x._array)
    np.testing.assert_allclose(strict_cuda.host(w._array), np.stack([(v @ v) @ (v @ v.T) @ v] * 2))
