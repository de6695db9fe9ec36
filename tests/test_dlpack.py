"""torch.utils.dlpack: capsules go both ways between gradcore and torch, and share memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.utils import dlpack
from tests.twin import attempt, same

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.dlpack")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "complex64", "float16"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
def test_capsules_go_both_ways_and_share_memory(dtype: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng().integers(0, 100, shape)
    of_torch = torch.from_numpy(values).to(getattr(torch, dtype))
    x = dlpack.from_dlpack(theirs.to_dlpack(of_torch))
    assert x.dtype is getattr(gradcore, dtype)
    assert x.shape == shape
    np.testing.assert_array_equal(x.numpy(), values)
    of_torch.zero_()
    assert not x.numpy().any()
    y = gradcore.tensor(values, dtype=getattr(gradcore, dtype)).clone()
    back = theirs.from_dlpack(dlpack.to_dlpack(y))
    assert back.dtype is getattr(torch, dtype)
    y.zero_()
    assert not back.any()


def test_strides_are_kept_and_copies_are_apart() -> None:
    of_torch = torch.arange(12.0).reshape(3, 4).t()[1:]
    x = dlpack.from_dlpack(theirs.to_dlpack(of_torch))
    assert x.tolist() == of_torch.tolist()
    copied = dlpack.from_dlpack(theirs.to_dlpack(of_torch), copy=True)
    of_torch.zero_()
    assert not x.numpy().any()
    assert copied.numpy().any()


def test_what_is_refused() -> None:
    def program(lib: Any) -> Any:
        module = dlpack if lib is gradcore else theirs
        x = lib.ones(2)
        capsule = module.to_dlpack(x)
        first = module.from_dlpack(capsule)
        return [
            first, module.from_dlpack(module.to_dlpack(lib.ones(2, requires_grad=True))), module.from_dlpack(x),
            attempt(lambda: module.from_dlpack(capsule))[0], [(each.name, each.value) for each in module.DLDeviceType],
        ]  # fmt: skip

    same(program, torch)
    with pytest.raises(RuntimeError, match="__dlpack__, got int"):
        dlpack.from_dlpack(3)


def test_memory_lives_as_long_as_somebody_uses_it() -> None:
    array = np.arange(5.0)
    x = gradcore.from_numpy(array)
    capsule, held = dlpack.to_dlpack(x), weakref.ref(array)
    del x, array
    back = theirs.from_dlpack(capsule)
    del capsule
    gc.collect()
    assert held() is not None
    assert back.tolist() == [0, 1, 2, 3, 4]
    del back
    gc.collect()
    assert held() is None
