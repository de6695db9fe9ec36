"""Programs that give the same bits every time, on a device that leaves open which write wins. Not how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from tests.double import kernels

rng = np.random.default_rng()


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    gc.use_deterministic_algorithms(False)


def there(x: Any) -> Any:
    return gc.tensor(x, device="cuda")


INDEX = rng.integers(0, 4, 60)
VALUES = rng.normal(size=(60, 3))
WRITES: dict[str, Any] = {
    "x[i] = v": lambda x, i, v: x.index_put_((i,), v),
    "x[:, i] = v": lambda x, i, v: x.t().__setitem__((slice(None), i), v.t()) or x,
    "index_copy": lambda x, i, v: x.index_copy(0, i, v),
    "scatter": lambda x, i, v: x.scatter(0, i[:, None].expand(60, 3), v),
    "put": lambda x, i, v: x.put(i, v[:, 0]),
}
SUMS: dict[str, Any] = {
    "index_add": lambda x, i, v: x.index_add(0, i, v),
    "x.t() columns": lambda x, i, v: x.t().index_add(1, i, v.t()),
    "scatter_add": lambda x, i, v: x.scatter_add(0, i[:, None].expand(60, 3), v),
    "index_put": lambda x, i, v: x.index_put((i, gc.zeros_like(i)), v[:, 0], accumulate=True),
    "after a slice": lambda x, i, v: gc.autograd.grad(
        (w := x.clone().requires_grad_())[:, i % 3], w, v[:, 0].expand(5, 60)
    )[0],
    "complex": lambda x, i, v: gc.view_as_real(gc.complex(x, -x).index_add(0, i, gc.complex(v, v * 2))),
    "embedding": lambda x, i, v: gc.autograd.grad(
        gc.nn.functional.embedding(i, w := x.clone().requires_grad_()), w, gc.ones_like(v) * v
    )[0],
}


@pytest.mark.parametrize("name", WRITES)
def test_the_last_write_wins(name: str, strict_cuda: Any) -> None:
    gc.use_deterministic_algorithms(True)
    start = rng.normal(size=(5, 3))
    expected = WRITES[name](gc.tensor(start), gc.tensor(INDEX), gc.tensor(VALUES)).numpy()
    for _ in range(5):
        x, i, v = there(start), there(INDEX), there(VALUES)
        with strict_cuda.never_waits():
            out = WRITES[name](x, i, v)
        np.testing.assert_array_equal(strict_cuda.host(out._array), expected)


@pytest.mark.parametrize("name", WRITES)
def test_without_the_switch_any_write_may_win(name: str, strict_cuda: Any) -> None:
    start = rng.normal(size=(5, 3))
    found = {
        strict_cuda.host(WRITES[name](there(start), there(INDEX), there(VALUES))._array).tobytes() for _ in range(20)
    }
    assert len(found) > 1


@pytest.mark.skipif(kernels.COMPILER is None, reason="needs g++")
@pytest.mark.parametrize("name", SUMS)
def test_sums_come_in_one_order(name: str, strict_cuda: Any) -> None:
    gc.use_deterministic_algorithms(True)
    start = rng.normal(size=(5, 3))
    expected = SUMS[name](gc.tensor(start), gc.tensor(INDEX), gc.tensor(VALUES)).numpy()
    found = set()
    for _ in range(8):
        x, i, v = there(start), there(INDEX), there(VALUES)
        with strict_cuda.never_waits():
            out = SUMS[name](x, i, v)
        np.testing.assert_allclose(strict_cuda.host(out._array), expected, rtol=1e-12)
        found.add(strict_cuda.host(out._array).tobytes())
    assert len(found) == 1


def test_what_has_no_order_is_refused_or_warned_of(strict_cuda: Any) -> None:
    x = there(rng.normal(size=5))
    x.cumsum(0)
    gc.use_deterministic_algorithms(True)
    x.long().cumsum(0)
    for program, what in (
        (lambda: x.cumsum(0), "cumsum_cuda_kernel"),
        (lambda: gc.bincount(x.abs().long(), x), "_bincount_cuda"),
    ):
        with pytest.raises(RuntimeError, match=rf"{what} does not have a deterministic implementation, but you set"):
            program()
    gc.use_deterministic_algorithms(True, warn_only=True)
    with pytest.warns(UserWarning, match="cumsum_cuda_kernel does not have a deterministic implementation"):
        x.cumsum(0)
    gc.tensor([1.0, 2.0]).cumsum(0)  # on the host there is but one order
