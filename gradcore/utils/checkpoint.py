"""torch.utils.checkpoint: forget what nodes save and compute it again when a sweep asks. It must not know any operation.

It is done by hooks on saved tensors, which leave a place for each: torch's non-reentrant kind, and the only one here.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from gradcore.graph import modes
from gradcore.recorder import inplace, saved
from gradcore.recorder.value import Value
from gradcore.utils import sweeps
from gradcore.utils.checkpoint_loop import checkpoint_loop
from gradcore.utils.random_state import RandomState
from gradcore.utils.reentrant import (
    CheckpointFunction,
    DefaultDeviceType,
    check_backward_validity,
    detach_variable,
    get_device_states,
    set_device_states,
)
from gradcore.utils.selective import (
    SAC_IGNORED_OPS,
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)
from gradcore.utils.sweeps import GraphExecGroup

__all__ = [
    "SAC_IGNORED_OPS", "CheckpointError", "CheckpointFunction", "CheckpointPolicy", "DefaultDeviceType", "GraphExecGroup",
    "SelectiveCheckpointContext", "check_backward_validity", "checkpoint", "checkpoint_loop", "checkpoint_sequential",
    "create_selective_checkpoint_contexts", "detach_variable", "get_device_states", "noop_context_fn",
    "set_checkpoint_debug_enabled", "set_checkpoint_early_stop", "set_device_states",
]  # fmt: skip


class CheckpointError(RuntimeError):
    """The function did something else when it was run again."""


class _Stop(BaseException):
    """Ends a recomputation when all there was to find is found; no `except Exception` of the function may catch it."""


def noop_context_fn() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """The contexts of a function and its recomputation where none are given."""
    return nullcontext(), nullcontext()


class _Settings:
    early_stop: bool | None = None
    debug: bool | None = None


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Generator[None, None, None]:
    """Inside, checkpoints made stop their recomputation early, or do not, whatever they were told."""
    before, _Settings.early_stop = _Settings.early_stop, enable
    try:
        yield
    finally:
        _Settings.early_stop = before


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Generator[None, None, None]:
    """Inside, checkpoints made take notes for their error messages, or do not, whatever they were told."""
    before, _Settings.debug = _Settings.debug, enabled
    try:
        yield
    finally:
        _Settings.debug = before


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Return `function(*args, **kwargs)`, whose nodes keep nothing: a backward pass runs it again for what they need.

    The second run sees the same random numbers (unless `preserve_rng_state=False` is among `kwargs`), and with `early_stop`
    ends as soon as everything is there. `context_fn` returns contexts for both runs (`create_selective_checkpoint_contexts`
    makes such). `determinism_check="default"` compares
    number, shapes, dtypes and devices of what the runs save, "none" does not; `debug` lists the operations of both runs if
    they differ. `use_reentrant` changes nothing.

    The backward pass raises CheckpointError if the runs differ, RuntimeError if an argument was overwritten between them.
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of ['default', 'none'], but got {determinism_check} (checkpoint)"
        )
    if not modes.is_grad_enabled():
        return function(*args, **kwargs)
    first, second = context_fn()
    sweeps.watch()
    frame = _Frame(function, args, kwargs, second, preserve)
    frame.check = determinism_check == "default"
    frame.early_stop = early_stop if _Settings.early_stop is None else _Settings.early_stop
    frame.log = [] if (debug if _Settings.debug is None else _Settings.debug) else None
    with first, saved.packing(frame.pack, _unpack), _logging(frame.log):
        out = function(*args, **kwargs)
    frame.completed = True
    return out


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Return what `functions`, a sequence of them or an `nn.Sequential`, make of `input` one after another.

    They are divided into `segments`, and all but the last are checkpoints. Raises ValueError for other keywords than
    `preserve_rng_state`.
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(steps) // segments

    def run(part: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def forward(value: Any) -> Any:
            for step in part:
                value = step(value)
            return value

        return forward

    for start in range(0, size * (segments - 1), size or 1):
        part = run(steps[start : start + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return run(steps[size * (segments - 1) :])(input)


# -- what is computed again -------------------------------------------------------------------------------------------


_Found = tuple[Value, int]  # a tensor that was computed again, and its version when it was saved


class _Place:
    """Stands in a node for a tensor that the function saved: the frame and the tensor's number in it."""

    __slots__ = ("__weakref__", "frame", "index")

    def __init__(self, frame: _Frame, index: int) -> None:
        self.frame, self.index = frame, index

    def among(self, found: dict[int, _Found]) -> _Found:
        """What stands here, taken out of what was computed again."""
        if self.index not in found:
            raise self.frame.saved_less(max(found, default=-1) + 1)
        return found.pop(self.index)


class _Argument:
    """An argument of the function for its second run. One that needs a gradient goes through the hooks around, if any."""

    def __init__(self, t: Value) -> None:
        self.version = t._version  # type: ignore[attr-defined]
        self.tensor: Value | None = t
        self.saved: saved.Saved | None = None
        if saved.hooks.pairs:  # of a checkpoint around this one, say, which shall not keep the tensor alive
            self.tensor, self.saved = None, saved.Saved(t._array, inplace.target(t))

    def value(self) -> Value:
        if self.saved is not None:
            return self.saved.value(None)  # type: ignore[arg-type]  # which only outputs of the node need
        assert self.tensor is not None
        if self.tensor._version != self.version:  # type: ignore[attr-defined]
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: an "
                f"argument of checkpoint, of shape {list(self.tensor._array.shape)}, is at version "
                f"{self.tensor._version}; expected version {self.version} instead."  # type: ignore[attr-defined]
            )
        return self.tensor


class _Frame:
    """One call of `checkpoint`: how to run the function again, and what its first run saved. It holds no node."""

    check: bool
    early_stop: bool
    log: list[str] | None
    completed = False  # until then a sweep of the function itself may ask for what it saved so far

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: AbstractContextManager[Any],
        preserve: bool,
    ) -> None:
        self.function = function
        self.args = [_Argument(a) if isinstance(a, Value) else a for a in args]
        self.kwargs = {name: _Argument(a) if isinstance(a, Value) else a for name, a in kwargs.items()}
        self.context = context
        self.random = RandomState([*args, *kwargs.values()]) if preserve else None
        self.places: list[weakref.ref[_Place]] = []
        self.looks: list[tuple[Any, ...]] = []

    def pack(self, t: Value) -> _Place:
        """Keep a place instead of `t`."""
        place = _Place(self, len(self.places))
        self.places.append(weakref.ref(place))
        self.looks.append(_look(t))
        return place

    def recompute(self) -> dict[int, _Found]:
        """Run the function again; return the tensors it saves, by number, but for those that no node waits for."""
        found: dict[int, _Found] = {}
        count = 0
        log: list[str] | None = None if self.log is None else []

        def pack(t: Value) -> Value:
            nonlocal count
            index, count = count, count + 1
            kept: Value = t.detach()  # type: ignore[attr-defined]  # for the function itself, should it run a sweep
            if index >= len(self.places):
                if self.check and self.completed:
                    raise self._differs(
                        "trying to save more tensors during recomputation than during the original forward pass.", log
                    )
                return kept
            if self.check and _look(t) != self.looks[index]:
                raise self._differs(
                    "Recomputed values for the following tensors have different metadata than during the forward pass.\n"
                    f"tensor at position {index}:\nsaved metadata: {_told(self.looks[index])}\n"
                    f"recomputed metadata: {_told(_look(t))}",
                    log,
                )
            if self.places[index]() is not None:
                found[index] = kept, kept._version  # type: ignore[attr-defined]
            if self.early_stop and count == len(self.places):
                raise _Stop
            return kept

        given = [a.value() if isinstance(a, _Argument) else a for a in self.args]
        named = {name: a.value() if isinstance(a, _Argument) else a for name, a in self.kwargs.items()}
        again = nullcontext() if self.random is None else self.random.again()
        try:
            with again, modes.enable_grad(), self.context, saved.packing(pack, lambda t: t), _logging(log):
                self.function(*given, **named)
        except _Stop:
            pass
        if self.check and (count < len(self.places) or (self.completed and count > len(self.places))):
            raise self.saved_less(count, log)
        return found

    def saved_less(self, count: int, log: list[str] | None = None) -> CheckpointError:
        """The second run saved `count` tensors only."""
        return self._differs(
            "A different number of tensors was saved during the original forward and recomputation.\n"
            f"Number of tensors saved during forward: {len(self.places)}\n"
            f"Number of tensors saved during recomputation: {count}",
            log,
        )

    def _differs(self, how: str, log: list[str] | None) -> CheckpointError:
        name = getattr(self.function, "__name__", repr(self.function))
        if self.log is None or log is None:
            return CheckpointError(f"checkpoint of {name}: {how}\nPass debug=True to checkpoint to see the operations.")
        return CheckpointError(
            f"checkpoint of {name}: {how}\nOperations during the forward pass: {', '.join(self.log)}\n"
            f"Operations during recomputation: {', '.join(log)}"
        )


def _look(t: Value) -> tuple[Any, ...]:
    return tuple(t._array.shape), t._array.dtype, type(t._array)


def _told(look: tuple[Any, ...]) -> str:
    shape, dtype, kind = look
    return f"{{'shape': {list(shape)}, 'dtype': {dtype}, 'array': {kind.__module__}.{kind.__name__}}}"


@contextmanager
def _logging(log: list[str] | None) -> Iterator[None]:
    """Note in `log` the names of nodes that this thread records."""
    if log is None:
        yield
        return
    me = threading.get_ident()

    def notice(node: Any) -> None:
        if threading.get_ident() == me:
            log.append(node.name())

    modes.noticing.append(notice)
    try:
        yield
    finally:
        modes.noticing.remove(notice)


def _unpack(place: _Place) -> Value:
    """What was saved, out of the recomputation of this sweep. It is given once, and kept no longer."""
    frame = place.frame
    found = sweeps.found()
    if found is None:  # somebody looks at what a node saved
        return _untouched(place.among(frame.recompute()))
    if frame not in found or place.index not in found[frame]:
        found[frame] = frame.recompute()
    return _untouched(place.among(found[frame]))


def _untouched(found: _Found) -> Value:
    """The tensor, if the recomputation has not overwritten it since it was saved."""
    t, version = found
    if t._version != version:  # type: ignore[attr-defined]
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: a tensor of "
            f"shape {list(t._array.shape)} that a function saved under checkpoint was overwritten by that function"
        )
    return t
