"""Where the history of a value leads: whether anybody can still differentiate it. It must not know any transform."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gradcore.graph import Leaf, Output
from gradcore.recorder import views
from gradcore.recorder.value import Value


def origin(x: Value) -> Any:
    """Where `x` came from, None for a constant."""
    return x._node if x._meta is None else views.current(x)


def _nobody() -> None:
    """The owner of a leaf that a transform made and is done with: nobody asks for a gradient there any more."""


def spend(targets: Iterable[Any]) -> None:
    """Note that a transform is done with those of `targets` that are leaves of its own."""
    for target in targets:
        if type(target) is Leaf:
            target.owner = _nobody


def leads_out(outs: Sequence[Value], own: set[Any]) -> bool:
    """Whether the graph of `outs` leads to other leaves than `own`, and than those that are spent."""
    stack: list[Any] = [origin(out) for out in outs]
    seen = set()
    while stack:
        target = stack.pop()
        if target is None or target in seen:
            continue
        seen.add(target)
        if type(target) is Leaf:
            if target not in own and target.owner is not _nobody:
                return True
            continue
        stack.extend((target.node if type(target) is Output else target).targets)
    return False
