"""Memory shared with torch on a real GPU. Nothing else about it."""

from __future__ import annotations

import pytest

import gradcore as gc

torch = pytest.importorskip("torch")


@pytest.mark.cuda
def test_arrays_are_shared_with_torch() -> None:
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    x = gc.arange(6, device="cuda", dtype=gc.float32)
    y = torch.from_dlpack(x)
    y += 1
    torch.cuda.synchronize()
    assert x.tolist() == [1, 2, 3, 4, 5, 6]
    back = gc.from_dlpack(y)
    back.mul_(2)
    gc.cuda.synchronize()
    assert y.tolist() == [2, 4, 6, 8, 10, 12]
    assert torch.as_tensor(x, device="cuda").data_ptr() == y.data_ptr()
