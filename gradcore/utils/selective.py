"""Selective checkpoints: which results of operations are kept from the first run. It must not know any operation.

Kept results stand in for the operations of the second run, which is recorded all the same.
"""

from __future__ import annotations

import enum
import functools
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Any, Final

from gradcore import ops
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.graph import modes, versions
from gradcore.ops.aten import OpOverload, overload_of
from gradcore.recorder.primitive import Primitive
from gradcore.recorder.steps import Kernel
from gradcore.recorder.transfer import moved
from gradcore.recorder.value import wrap

__all__ = ["SAC_IGNORED_OPS", "CheckpointPolicy", "SelectiveCheckpointContext", "create_selective_checkpoint_contexts"]

# Operations that no policy is asked of.
SAC_IGNORED_OPS: Final[set[OpOverload]] = {OpOverload("detach")}


class CheckpointPolicy(enum.Enum):
    """What becomes of an operation's results: kept, computed again, or kept in the host's memory.

    "Must" and "prefer" are for compilers to tell apart: here they are the same.
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


_SAVES = {CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE}
_OFFLOADS = {CheckpointPolicy.MUST_CPU_OFFLOAD, CheckpointPolicy.PREFER_CPU_OFFLOAD}


class SelectiveCheckpointContext:
    """What a policy is told besides the operation and its arguments: what the operation returned."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute = is_recompute
        self.op_output = op_output


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False
) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return what `context_fn` of `checkpoint` is to return, so that some results are kept, not computed again.

    `policy_fn(ctx, op, *args, **kwargs)` is asked after each operation of the first run and returns a CheckpointPolicy (or
    whether to keep the results). `op` is one of `gradcore.ops.aten`, `args` are its tensors, `kwargs` the static parameters
    of the primitive, `ctx.op_output` the result. A list is of the operations to keep.

    The backward pass raises RuntimeError for a kept result that was overwritten, unless `allow_cache_entry_mutation`; if it
    is asked for kept results twice; and if the second run has other operations. Raises ValueError for a list of anything
    but operations, TypeError for what is neither a list nor a function.
    """
    if isinstance(policy_fn_or_list, list):
        for op in policy_fn_or_list:
            if not isinstance(op, OpOverload):
                packet = isinstance(op, ops.aten.OpOverloadPacket)
                hint = f" Please name the overload: {op}.default, say, instead of {op}." if packet else ""
                raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}.{hint}")
        kept = set(policy_fn_or_list)

        def policy(ctx: SelectiveCheckpointContext, op: Any, *args: Any, **keywords: Any) -> Any:
            return op in kept

    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    results: _Results = defaultdict(dict)
    return _Keeping(results, policy), _Giving(results, allow_cache_entry_mutation)


class _Kept:
    """The arrays that an operation returned, and how often each had been overwritten by then."""

    def __init__(self, outs: Any, offload: bool) -> None:
        self.single = not isinstance(outs, tuple)
        arrays = (outs,) if self.single else outs
        self.places = [(of(array), of(array).device_of(array)[1]) for array in arrays]
        self.arrays = [moved(array, host, None) if offload else array for array in arrays]
        self.versions = [versions.count(of(a).storage(a)) for a in self.arrays]

    def outs(self, mutable: bool) -> Any:
        """What the operation returned. Raises RuntimeError if it was overwritten."""
        if not mutable and self.versions != [versions.count(of(a).storage(a)) for a in self.arrays]:
            raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")
        outs = tuple(moved(a, *place) for a, place in zip(self.arrays, self.places, strict=True))
        return outs[0] if self.single else outs


_GIVEN = "given"
_Results = dict[OpOverload, dict[int, _Kept | str | None]]


class _Instead:
    """Computes the results of a thread's operations inside a `with` block, and counts the operations by name."""

    def __init__(self, results: _Results) -> None:
        self.results = results

    def __enter__(self) -> _Instead:
        self.counts: dict[OpOverload, int] = defaultdict(int)
        self.outer = modes.forwards.get(get_ident())
        modes.forwards[get_ident()] = self.forward
        modes.unusual.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        modes.unusual.remove(self)
        self._leave()

    def _leave(self) -> None:
        if self.outer is None:
            modes.forwards.pop(get_ident(), None)
        else:
            modes.forwards[get_ident()] = self.outer

    def forward(self, op: Primitive, kernel: Kernel, raw: list[Any], params: dict[str, Any], run: Callable[[], Any]) -> Any:
        """The results of an operation."""
        self._leave()  # what runs now is none of this block's operations
        try:
            name = overload_of(op)
            inner = run if self.outer is None else functools.partial(self.outer, op, kernel, raw, params, run)
            if name in SAC_IGNORED_OPS:
                return inner()
            index, self.counts[name] = self.counts[name], self.counts[name] + 1
            return self.results_of(name, index, kernel, raw, params, inner)
        finally:
            modes.forwards[get_ident()] = self.forward

    def results_of(
        self, op: OpOverload, index: int, kernel: Kernel, raw: list[Any], params: dict[str, Any], run: Callable[[], Any]
    ) -> Any:
        """The results of the operation that is number `index` of its name."""
        raise NotImplementedError


class _Keeping(_Instead):
    """The first run: the policy says of each operation whether its results are kept."""

    def __init__(self, results: _Results, policy: Callable[..., Any]) -> None:
        super().__init__(results)
        self.policy = policy

    def results_of(
        self, op: OpOverload, index: int, kernel: Kernel, raw: list[Any], params: dict[str, Any], run: Callable[[], Any]
    ) -> Any:
        """The results, computed."""
        outs = run()
        outs = tuple(map(kernel.as_array, outs)) if isinstance(outs, tuple) else kernel.as_array(outs)
        seen = SelectiveCheckpointContext(is_recompute=False, op_output=_shown(kernel, outs))
        with modes.no_grad():
            policy = self.policy(seen, op, *(_shown(kernel, x) for x in raw), **params)
        keeps = policy if isinstance(policy, bool) else policy in _SAVES | _OFFLOADS
        self.results[op][index] = _Kept(outs, policy in _OFFLOADS) if keeps else None
        return outs


def _shown(kernel: Kernel, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_shown(kernel, each) for each in value)
    return wrap(value) if isinstance(value, kernel.F.Array) else value


class _Giving(_Instead):
    """The second run: what was kept, and the others computed again."""

    def __init__(self, results: _Results, mutable: bool) -> None:
        super().__init__(results)
        self.mutable = mutable

    def results_of(
        self, op: OpOverload, index: int, kernel: Kernel, raw: list[Any], params: dict[str, Any], run: Callable[[], Any]
    ) -> Any:
        """The results: those that were kept are given once."""
        if index not in self.results.get(op, {}):
            which = f"{op} invocation index {index}" if op in self.results else str(op)
            raise RuntimeError(
                f"{which} encountered during backward but not found in storage. This can happen if the operations in the "
                "checkpointed region are nondeterministic or depend on global state that changed between forward and "
                "backward."
            )
        kept = self.results[op][index]
        if kept is None:
            return run()
        if isinstance(kept, str):
            raise RuntimeError(
                "Trying to backward an extra time. You are only allowed to backward once on any region computed under "
                "selective activation checkpoint."
            )
        self.results[op][index] = _GIVEN
        return kept.outs(self.mutable)
