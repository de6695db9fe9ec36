"""Copies and pickles of tensors, run by torch beside gradcore: values, layouts, shared memory, gradients, attributes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
}


def tensors(lib: Any) -> list[Any]:
    x = lib.arange(6.0).reshape(2, 3)
    grown = lib.arange(3.0).requires_grad_()
    (grown * grown).sum().backward()
    noted = lib.ones(2)
    noted.note = ["kept"]
    return [
        x, x.t(), x[1], x[:, ::2], x[0, 0], x.expand(2, 2, 3), lib.zeros(0, 3), grown, noted, lib.tensor(True),
        x.to(lib.complex64), x.view(lib.int32), lib.nn.Parameter(x),
    ]  # fmt: skip


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_what_torchs_is(how: str) -> None:
    def program(lib: Any) -> Any:
        out = []
        for x in tensors(lib):
            y = COPIES[how](x)
            alike = x.numel() > 0 and y.data_ptr() == x.data_ptr()
            stride = y.stride() if y.numel() and how != "pickle" else None  # NumPy's pickles close the gaps
            out.append([type(y).__name__, y, y.grad, alike, stride, getattr(y, "note", None), y._is_view()])
        return out

    same(program, torch)


@pytest.mark.parametrize("how", ["copy", "pickle"])
def test_a_copy_of_a_result_is_a_leaf(how: str) -> None:
    def program(lib: Any) -> Any:
        x = lib.ones(3, requires_grad=True)
        y = x * 2
        y.retain_grad()
        z = COPIES[how](y)
        z.sum().backward()
        return z, z.is_leaf, z.grad, x.grad, attempt(lambda: copy.deepcopy(y))[1]

    same(program, torch)


@pytest.mark.parametrize("make", [lambda x: x[1], lambda x: x.t(), lambda x: x.detach(), lambda x: x.data[:, 1:]])
@pytest.mark.parametrize("first", [0, 1])
def test_what_shared_memory_does_so_after_a_deep_copy(make: Callable[[Any], Any], first: int) -> None:
    def program(lib: Any) -> Any:
        x = lib.arange(6.0).reshape(2, 3).clone()
        pair = [x, make(x)]
        if first:
            pair.reverse()
        again = copy.deepcopy(pair)
        again[0].fill_(7.0)
        return again, pair

    same(program, torch)


def test_a_deep_copy_of_a_part_of_a_users_array_takes_no_more_memory() -> None:
    big = np.zeros((1000, 10))
    for part in (big[3], big[:4, ::2], big[::-1][:3]):
        y = copy.deepcopy(gradcore.from_numpy(part))
        np.testing.assert_array_equal(y.numpy(), part)
        assert gradcore.backends.numpy.storage(y.numpy()).nbytes == part.nbytes


def test_copies_on_a_device_stay_there(strict_cuda: Any) -> None:
    x = gradcore.arange(6.0, device="cuda").reshape(2, 3)
    row, same_memory = copy.deepcopy([x, x[1]])[1], copy.copy(x)
    assert row.device == same_memory.device == x.device
    assert same_memory.data_ptr() == x.data_ptr()
    assert row.tolist() == [3, 4, 5]
