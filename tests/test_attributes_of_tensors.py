"""Attributes of tensors that few ask for, beside torch: subclasses of one's own, shared memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def test_tensors_of_ones_own_class() -> None:
    def program(lib: Any) -> Any:
        class Own(lib.Tensor):  # type: ignore[misc]
            pass

        make, x = lib.Tensor._make_subclass, lib.ones(3)
        own, plain, grown = make(Own, x, True), Own._make_subclass(Own, x), make(Own, lib.ones(3, requires_grad=True) * 2)
        told = [type(own) is Own, own.requires_grad, own.is_leaf, own._version]
        x.add_(1)
        told += [own.tolist(), own._version, own.data_ptr() == x.data_ptr(), plain.requires_grad, grown.requires_grad]
        (own * own).sum().backward()
        told += [own.grad.tolist(), type(make(lib.nn.Parameter, x, True)) is lib.nn.Parameter]
        told += [type(make(lib.Tensor, x)) is lib.Tensor, x.requires_grad, x.grad, type(x._make_subclass(Own, x)) is Own]
        wrong = [(int, x), (3, x), (Own, 3)]
        refused = attempt(lambda: make(Own, lib.ones(2, dtype=lib.int64), True))
        return told, [attempt(lambda given=given: make(*given)) for given in wrong], refused[1]

    same(program, torch)


def test_memory_to_share() -> None:
    def program(lib: Any) -> Any:
        x = lib.ones(3, requires_grad=True)
        return x.share_memory_() is x, x.requires_grad, x.tolist()

    same(program, torch)
