"""torch.autograd.graph: nodes, edges, and hooks on what nodes save, as users see them. It must not know any operation."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from gradcore.autograd.accepted import (
    region_activation_memory_budget,
    set_override_stale_capture_stream,
    set_warn_on_accumulate_grad_stream_mismatch,
)
from gradcore.autograd.edges import GradientEdge
from gradcore.autograd.multi_grad import register_multi_grad_hook
from gradcore.graph import GraphNode, Output
from gradcore.graph.node import seen
from gradcore.recorder import inplace, saved
from gradcore.recorder.value import looks
from gradcore.tensor import Tensor

__all__ = [
    "GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "get_gradient_edge",
    "increment_version", "region_activation_memory_budget", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks",
    "set_override_stale_capture_stream", "set_warn_on_accumulate_grad_stream_mismatch",
]  # fmt: skip

Node = GraphNode


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Return the place in the graph where the gradient of `tensor` arrives.

    `autograd.grad` and `autograd.backward` take it in place of the tensor, which need not be kept alive. Raises
    RuntimeError for a tensor that requires no gradient.
    """
    where = inplace.target(tensor)
    if where is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node, index = (where.node, where.index) if isinstance(where, Output) else (where, 0)
    seen.setdefault(node, {})[index] = looks(tensor._array)
    return GradientEdge(node, index)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Note a change of one or more tensors' memory that gradcore cannot see, as if an in-place operation had made it.

    Raises RuntimeError for anything but tensors.
    """
    if isinstance(tensor, Tensor):
        tensor = (tensor,)
    if not isinstance(tensor, Iterable):
        raise RuntimeError(f"increment_version expect a Iterable[Tensor] as input (got {type(tensor).__name__})")
    for t in tensor:
        if not isinstance(t, Tensor):
            raise RuntimeError(
                f"increment_version expects each element of the iterable to be a tensor (got {type(t).__name__})"
            )
        if not t.is_inference():
            inplace.bump(t, "increment_version")


# -- what nodes save --------------------------------------------------------------------------------------------------


class saved_tensors_hooks:
    """Inside, nodes keep `pack_hook(tensor)` instead of each tensor they save; a sweep gets it by `unpack_hook`.

    What `pack_hook` returns must not hold the tensor it was given, which may hold the node (`.detach()` cuts it off).
    Only the innermost pair of hooks is used. Raises TypeError for hooks that cannot be called, and if `unpack_hook` returns
    no tensor; RuntimeError where such hooks are disabled, and if `pack_hook` writes to the tensor.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        for hook in (self.pack_hook, self.unpack_hook):
            if not callable(hook):
                raise TypeError(f"saved_tensors_hooks: expected two functions, got {hook!r}")
        context = saved.packing(self.pack_hook, self.unpack_hook)
        context.__enter__()
        self._entered.append(context)

    def __exit__(self, *exception: object) -> None:
        self._entered.pop().__exit__(None, None, None)


class save_on_cpu(saved_tensors_hooks):
    """Inside, nodes keep what they save in the host's memory, and bring it back to its device for the sweep.

    `pin_memory` and `device_type` are there for torch's sake: copies are made in ordinary memory.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: (t.device, t.detach().cpu()), lambda packed: packed[1].to(packed[0]))


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Generator[None, None, None]:
    """Inside, `saved_tensors_hooks` raises RuntimeError with this message; so does entering it among such hooks."""
    if saved.hooks.pairs:
        raise RuntimeError(error_message)
    before, saved.hooks.forbidden = saved.hooks.forbidden, error_message
    try:
        yield
    finally:
        saved.hooks.forbidden = before


class _AllowMutationOnSavedContext:
    """The copies made under `allow_mutation_on_saved_tensors`, by array and version."""

    def __init__(self) -> None:
        self.cloned: dict[tuple[int, int], tuple[weakref.ref[Any], Tensor]] = {}

    def clear(self) -> None:
        """Forget the copies; nodes keep their own."""
        self.cloned.clear()

    def copy(self, t: Tensor) -> Tensor:
        """A copy of `t` as it is now, one for all nodes that save it."""
        key = (id(t._array), t._version)
        kept = self.cloned.get(key)
        if kept is None or kept[0]() is not t._array:
            kept = self.cloned[key] = (weakref.ref(t._array), t.detach().clone())
        return kept[1]


class _Mutation(threading.local):
    allowed = False


_mutation = _Mutation()


@contextmanager
def allow_mutation_on_saved_tensors() -> Generator[_AllowMutationOnSavedContext, None, None]:
    """Inside, tensors that nodes save may be overwritten: nodes keep copies, made at once, one for each version.

    (torch copies when the write comes, and wants the backward pass inside, too.) Raises RuntimeError if nested.
    """
    if _mutation.allowed:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    context = _AllowMutationOnSavedContext()
    _mutation.allowed = True
    try:
        with saved_tensors_hooks(context.copy, lambda copy: copy):
            yield context
    finally:
        _mutation.allowed = False
        context.clear()
