"""torch.autograd.anomaly_mode: which forward call made the node whose backward failed. It must not know any operation.

The answer is in the notes of the exception (torch prints a warning beside it). The mode is one for all threads, as in torch.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from gradcore import engine
from gradcore.backends import of
from gradcore.graph import Node, modes
from gradcore.graph.node import Target
from gradcore.recorder.around import Around, nodes_behind, standing
from gradcore.recorder.value import Value

__all__ = ["detect_anomaly", "set_detect_anomaly"]

# Files whose frames tell a user nothing.
_INSIDE = (str(Path(__file__).resolve().parents[1]), str(contextlib.__file__), "<gradcore>")


class _State:
    enabled = False
    check_nan = True
    lock = threading.Lock()


class _Sweeping(threading.local):
    """The node that a traced sweep of this thread is at: the parent of what is recorded meanwhile."""

    node: Node | None = None


_sweeping = _Sweeping()


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return _State.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode, when it is on, raises for nan."""
    return _State.check_nan


def _set(enabled: bool, check_nan: bool) -> None:
    with _State.lock:
        if enabled and not _State.enabled:
            modes.unusual.append(_State)
            modes.noticing.append(_note_trace)
            engine.observers.append(_observer)
        elif _State.enabled and not enabled:
            modes.unusual.remove(_State)
            modes.noticing.remove(_note_trace)
            engine.observers.remove(_observer)
        _State.enabled, _State.check_nan = enabled, check_nan


class set_detect_anomaly:
    """Switch anomaly mode on or off at once, and back on leaving if used in a `with` statement.

    In this mode each node remembers the call that recorded it; an exception in its backward says which call that was, and
    with `check_nan`, nan in a gradient raises RuntimeError.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = _State.enabled, _State.check_nan
        _set(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        _set(*self._before)


class detect_anomaly:
    """Anomaly mode for a `with` block: see `set_detect_anomaly`. It slows down and is meant for debugging: it warns."""

    def __init__(self, check_nan: bool = True) -> None:
        self._before = _State.enabled, _State.check_nan
        self._check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._before = _State.enabled, _State.check_nan
        _set(True, self._check_nan)

    def __exit__(self, *exception: object) -> None:
        _set(*self._before)


def user_frames() -> traceback.StackSummary:
    """The calls that led here, without those inside gradcore at the end."""
    frames = traceback.extract_stack()
    while frames and frames[-1].filename.startswith(_INSIDE):
        frames.pop()
    return frames


def _note_trace(node: Node) -> None:
    node.metadata["traceback_"] = traceback.format_list(user_frames())
    if _sweeping.node is not None:
        node.metadata["parent_"] = _sweeping.node


def _observer(targets: Sequence[Target], wanted: set[Target] | None) -> AbstractContextManager[None]:
    return standing(nodes_behind(targets), _Watching)


class _Watching(Around):
    """A step that says of an exception which call its node comes from, and makes nan one."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.step)
        self.node = node

    def around(self, g: Any, pull: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Pull back and look at the result."""
        before, _sweeping.node = _sweeping.node, self.node
        try:
            cotangents = pull(g)
            if _State.check_nan:
                self._refuse_nan(cotangents)
        except Exception as error:
            error.add_note(_story(self.node))
            raise
        finally:
            _sweeping.node = before
        return cotangents

    def check(self, node: Node, traced: bool) -> None:
        """Raise if a saved value was overwritten."""
        try:
            self.step.check(node, traced)
        except RuntimeError as error:
            error.add_note(_story(node))
            raise

    def _refuse_nan(self, cotangents: tuple[Any, ...]) -> None:
        places = [i for i, needed in enumerate(self.step.needs) if needed]
        for i, c in zip(places, cotangents, strict=True):
            array = c._array if isinstance(c, Value) else c
            if array is None or array.dtype.kind in "biu":
                continue
            array = getattr(array, "plain", array)  # all of a batch, the primals of dual numbers
            F = of(array)
            if F.to_host(F.as_array(F.any(F.isnan(array)))).item():
                raise RuntimeError(f"Function '{self.step.name}' returned nan values in its {i}th output.")


def _story(node: Node) -> str:
    """Where `node` comes from, and the nodes in whose backward it was recorded."""
    told = f"Error detected in {node.name()}. {_trace(node, 'caused the error')}"
    parent = node.metadata.get("parent_")
    while parent is not None:
        induced = _trace(parent, "induced the previous calculation")
        told += f"\n\nPrevious calculation was induced by {parent.name()}. {induced}"
        parent = parent.metadata.get("parent_")
    return told


def _trace(node: Node, did: str) -> str:
    lines = node.metadata.get("traceback_")
    if lines is None:
        return "No forward pass information available. Enable detect anomaly during forward pass for more information."
    return f"Traceback of forward call that {did}:\n{''.join(lines)}"
