"""Writes into expanded tensors, of which several elements are one in memory, beside torch: refused, or deprecated."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def index(lib: Any, shape: tuple[int, ...] = (1,)) -> Any:
    return lib.zeros(shape, dtype=lib.int64)


def mask(lib: Any) -> Any:
    return lib.tensor([[True, False, True], [False, False, False]])


REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "scatter_": lambda lib, e: e.scatter_(0, index(lib, (1, 1)), 5.0),
    "scatter_ of a tensor": lambda lib, e: e.scatter_(0, index(lib, (1, 1)), lib.ones(1, 1)),
    "scatter_ that adds": lambda lib, e: e.scatter_(0, index(lib, (1, 1)), lib.ones(1, 1), reduce="add"),
    "scatter_ of nothing": lambda lib, e: e.scatter_(0, index(lib, (0, 0)), 5.0),
    "scatter_add_": lambda lib, e: e.scatter_add_(0, index(lib, (1, 1)), lib.ones(1, 1)),
    "scatter_reduce_": lambda lib, e: e.scatter_reduce_(0, index(lib, (1, 1)), lib.ones(1, 1), "sum"),
    "index_add_": lambda lib, e: e.index_add_(0, index(lib), lib.ones(1, 3)),
    "index_copy_": lambda lib, e: e.index_copy_(0, index(lib), lib.ones(1, 3)),
    "index_reduce_": lambda lib, e: e.index_reduce_(0, index(lib), lib.ones(1, 3), "amax"),
    "put_": lambda lib, e: e.put_(index(lib), lib.ones(1)),
    "put_ that adds": lambda lib, e: e.put_(index(lib), lib.ones(1), accumulate=True),
    "masked_scatter_": lambda lib, e: e.masked_scatter_(mask(lib), lib.ones(6)),
    "fill_ by a tensor": lambda lib, e: e.fill_(lib.tensor(3.0)),
    "copy_": lambda lib, e: e.copy_(lib.ones(2, 3)),
    "setitem of a slice": lambda lib, e: e.__setitem__(slice(0, 2), lib.ones(3)),
    "add_": lambda lib, e: e.add_(1),
}
DEPRECATED: dict[str, Callable[[Any, Any], Any]] = {
    "index_put_": lambda lib, e: e.index_put_((index(lib),), lib.tensor(5.0)),
    "index_put_ that adds": lambda lib, e: e.index_put_((index(lib),), lib.tensor(5.0), accumulate=True),
    "masked_fill_": lambda lib, e: e.masked_fill_(mask(lib), 5.0),
    "masked_fill_ by a tensor": lambda lib, e: e.masked_fill_(mask(lib)[:, :1], lib.tensor(5.0)),
    "masked_fill_ by a row": lambda lib, e: e.masked_fill_(mask(lib)[0], 5.0),
    "index_fill_": lambda lib, e: e.index_fill_(0, index(lib), 5.0),
    "index_fill_ of columns": lambda lib, e: e.index_fill_(-1, index(lib), 5.0),
    "setitem at integers": lambda lib, e: e.__setitem__(index(lib), 5.0),
    "setitem at integers, a tensor": lambda lib, e: e.__setitem__(index(lib), lib.ones(3)),
    "setitem by a mask": lambda lib, e: e.__setitem__(mask(lib), 5.0),
    "setitem by a mask, a tensor": lambda lib, e: e.__setitem__(mask(lib), lib.ones(2)),
}
ALLOWED: dict[str, Callable[[Any, Any], Any]] = {
    "zero_": lambda lib, e: e.zero_(),
    "fill_": lambda lib, e: e.fill_(5.0),
    "fill_diagonal_": lambda lib, e: e.fill_diagonal_(5.0),
    "setitem of a row": lambda lib, e: e.__setitem__(0, 5.0),
    "setitem of a slice": lambda lib, e: e.__setitem__(slice(0, 1), lib.ones(3)),
}


def expanded(lib: Any) -> Any:
    return lib.zeros(1, 3).expand(2, 3)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    def program(lib: Any) -> Any:
        e = expanded(lib)
        return attempt(lambda: REFUSED[name](lib, e)), e, e._version

    same(program, torch)
    assert attempt(lambda: REFUSED[name](gradcore, expanded(gradcore)))[1] == "RuntimeError"
    whole = gradcore.zeros(2, 3)
    REFUSED[name](gradcore, whole)  # what shares nothing is taken


@pytest.mark.parametrize("name", DEPRECATED)
def test_deprecated(name: str) -> None:
    def program(lib: Any) -> Any:
        e = expanded(lib)
        told = attempt(lambda: DEPRECATED[name](lib, e))
        return None if told is None else told is e or told, e

    same(program, torch)
    with pytest.warns(UserWarning, match="on expanded tensors is deprecated. Please clone") as caught:
        DEPRECATED[name](gradcore, expanded(gradcore))
    assert [each.filename for each in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DEPRECATED[name](gradcore, gradcore.zeros(2, 3))
        DEPRECATED[name](gradcore, gradcore.zeros(3, 2).t())


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name: str) -> None:
    def program(lib: Any) -> Any:
        e = expanded(lib)
        ALLOWED[name](lib, e)
        return e

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(program, torch)


@pytest.mark.parametrize("name", DEPRECATED)
def test_what_would_be_recorded_is_refused(name: str) -> None:
    """torch lets it be written, and refuses in the backward."""

    def write_and_differentiate(lib: Any, e: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            DEPRECATED[name](lib, e)
            e.sum().backward()

    for lib in (torch, gradcore):
        x = lib.ones(1, 3, requires_grad=True)
        e = (x * 2).expand(2, 3)
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            write_and_differentiate(lib, e)
    assert e.tolist() == [[2, 2, 2]] * 2
    with gradcore.no_grad(), pytest.warns(UserWarning, match="deprecated"):
        DEPRECATED[name](gradcore, e)
    assert e.sum().item() != 12
