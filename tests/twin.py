"""Run one program on gradcore and on torch and compare all it returns. It must not know what the programs are about.

A program takes the library (`gradcore` or `torch`) and returns numbers, strings, tensors, or nested lists of them. An
exception is a result too: its type and, up to the first punctuation, what it says.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import gradcore

Program = Callable[[Any], Any]


class Programs(list[Program]):
    """Programs as they are defined: used as a decorator, it takes one up."""

    def __call__(self, program: Program) -> Program:
        self.append(program)
        return program


def outcome(program: Program, library: Any) -> Any:
    """What `program` returned or raised, in a form without tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(program(library))
        except Exception as error:
            return raised(error)


def attempt(f: Callable[[], Any]) -> Any:
    """Inside a program: the result of `f`, or what it raised, and go on."""
    try:
        return f()
    except Exception as error:
        return raised(error)


def raised(error: Exception) -> tuple[str, str, str]:
    """An exception as a result."""
    kind = next(k.__name__ for k in type(error).__mro__ if k.__module__ == "builtins")
    return "raised", kind, " ".join(str(error).split())


def plain(result: Any) -> Any:
    """Tensors as (dtype, shape, requires_grad, leaf, node name, numbers)."""
    if hasattr(result, "requires_grad") and hasattr(result, "grad_fn"):
        node = result.grad_fn
        name = None if node is None else name_of(node)
        values = result.detach()
        values = values.resolve_conj() if hasattr(values, "resolve_conj") else values
        return (str(result.dtype), tuple(result.shape), result.requires_grad, result.is_leaf, name, values.tolist())
    if isinstance(result, (list, tuple)):
        return [plain(each) for each in result] if not (result and result[0] == "raised") else result
    if isinstance(result, dict):
        return {key: plain(value) for key, value in result.items()}
    return result


def of_its_largest(x: Any) -> Any:
    """Inside a program: `x` in units of its largest number if that is above 1.

    In single precision, sums whose terms cancel keep the rounding errors of the terms.
    """
    return x / x.abs().max().clamp(min=1)


def name_of(node: Any) -> str:
    name = node.name
    return re.sub(r"^torch::autograd::", "", name() if callable(name) else name)


def compare(ours: Any, theirs: Any, where: str = "result", *, rtol: float = 1e-5, words: int = 4) -> None:
    """Assert that two outcomes are the same: types and words exactly, numbers to `rtol`."""
    if isinstance(theirs, tuple) and theirs[:1] == ("raised",):
        assert isinstance(ours, tuple), f"{where}: torch raised {theirs[1:]}, gradcore returned {ours}"
        assert ours[:1] == ("raised",), f"{where}: torch raised {theirs[1:]}, gradcore returned {ours}"
        assert ours[1] == theirs[1], f"{where}: torch raised {theirs[1:]}, gradcore {ours[1:]}"
        first = theirs[2].split()[:words]
        assert ours[2].split()[:words] == first, f"{where}: torch said {theirs[2]!r}, gradcore {ours[2]!r}"
    elif isinstance(theirs, (list, tuple)):
        assert isinstance(ours, (list, tuple)), f"{where}: {ours} but torch has {theirs}"
        assert len(ours) == len(theirs), f"{where}: {ours} but torch has {theirs}"
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            compare(a, b, f"{where}[{i}]", rtol=rtol, words=words)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            compare(ours[key], theirs[key], f"{where}[{key!r}]", rtol=rtol, words=words)
    elif isinstance(theirs, (float, complex)):
        assert type(ours) is type(theirs), f"{where}: {ours!r} but torch has {theirs!r}"
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol, err_msg=where)
    else:
        assert ours == theirs, f"{where}: {ours!r} but torch has {theirs!r}"


def same(program: Program, torch: Any, *, rtol: float = 1e-5, words: int = 4, may_raise: bool = False) -> None:
    """Assert that `program` does the same on gradcore as on torch.

    That it raises the same error is right only if it `may_raise`: else nothing might be compared, and nobody would know.
    """
    theirs = outcome(program, torch)
    if not may_raise and isinstance(theirs, tuple) and theirs[:1] == ("raised",):
        raise AssertionError(f"torch raised {theirs[1:]}")
    compare(outcome(program, gradcore), theirs, rtol=rtol, words=words)
