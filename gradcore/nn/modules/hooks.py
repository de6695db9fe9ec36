"""Modules called while somebody watches: hooks around forward and backward. It must not know any module."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from gradcore.autograd import Function
from gradcore.graph.modes import is_grad_enabled
from gradcore.ops.filling import zeros
from gradcore.recorder.hooks import RemovableHandle
from gradcore.tensor import Tensor


class Hook(NamedTuple):
    """A function that is called, whether it takes keyword arguments too, and whether even after an error."""

    call: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


Hooks = dict[int, Hook]
_keys = count()

# The hooks of all modules, by kind; those of a module come after them.
everywhere: dict[str, Hooks] = {
    name: {} for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
}
# Hooks that are asked when a parameter, buffer or module is registered, by which of them.
asking: dict[str, Hooks] = {"parameter": {}, "buffer": {}, "module": {}}


class Watched:
    """What can be called, with functions that watch the call."""

    # Dictionaries of hooks are made when a first one is registered, so that modules without any cost nothing.
    _watched = False
    _forward_hooks: Hooks = {}  # noqa: RUF012
    _forward_pre_hooks = _backward_hooks = _backward_pre_hooks = _forward_hooks

    def forward(self, *input: Any) -> Any:
        """Compute the output; every subclass defines it. Raises NotImplementedError."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._watched:
            return _call(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; what it returns, if anything, replaces the arguments."""
        return self._registered("_forward_pre_hooks", Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward; what it returns, if anything, replaces the output.

        With `always_call`, after one that raised an exception too.
        """
        return self._registered("_forward_hooks", Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` in each backward; what it returns, if anything, replaces the cotangents."""
        return self._registered("_backward_pre_hooks", Hook(hook), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` in each backward; it may replace the cotangents of the inputs."""
        return self._registered("_backward_hooks", Hook(hook), prepend)

    def _registered(self, kind: str, hook: Hook, prepend: bool = False) -> RemovableHandle:
        self.__dict__["_watched"] = True
        return add(self.__dict__.setdefault(kind, {}), hook, prepend)


def of(module: Watched, kind: str) -> list[tuple[int, Hook]]:
    """The hooks of a kind that are called for `module`, those of all modules first."""
    return [*everywhere[kind].items(), *getattr(module, kind).items()]


def register_everywhere(kind: str, hook: Hook) -> RemovableHandle:
    """Let `hook` be called for every module: until there is no such hook any longer, all calls are watched."""
    taken = add(everywhere[kind], hook)
    Watched._watched = True

    def remove() -> None:
        taken.remove()
        Watched._watched = any(everywhere.values())

    return RemovableHandle(remove)


def asked(what: str, module: Any, name: str, value: Any) -> Any:
    """What is registered for `value`: what the hooks make of it."""
    for hook in asking[what].values():
        changed = hook.call(module, name, value)
        value = value if changed is None else changed
    return value


def add(hooks: Hooks, hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Put `hook` at the end (or the start) of `hooks`, and return the handle that takes it off."""
    key = next(_keys)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[key] = hook
    hooks.update(others)
    return RemovableHandle(lambda: _drop(hooks, key))


def _drop(hooks: Hooks, key: int) -> None:
    hooks.pop(key, None)


def _call(module: Watched, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run the module's forward between its hooks."""
    called: set[int] = set()
    result = None
    try:
        args, kwargs = _before(module, args, kwargs)
        watched = of(module, "_backward_hooks") or of(module, "_backward_pre_hooks")
        backward = _Backward(module) if watched else None
        if backward is not None:
            args = backward.watch_inputs(args)
        result = module.forward(*args, **kwargs)
        for key, hook in of(module, "_forward_hooks"):
            called.add(key)
            changed = _after(hook, module, args, kwargs, result)
            result = result if changed is None else changed
        return result if backward is None else backward.watch_outputs(result)
    except Exception:
        for key, hook in of(module, "_forward_hooks"):
            if hook.always_call and key not in called:
                try:
                    _after(hook, module, args, kwargs, result)
                except Exception as error:
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that was silenced as another "
                        f"error was raised in forward: {error}",
                        stacklevel=3,
                    )
        raise


def _before(module: Watched, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for _, hook in of(module, "_forward_pre_hooks"):
        if not hook.with_kwargs:
            changed = hook.call(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
            continue
        changed = hook.call(module, args, kwargs)
        if changed is not None:
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(
                    f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                )
            args, kwargs = changed
    return args, kwargs


def _after(hook: Hook, module: Watched, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    return hook.call(module, args, kwargs, result) if hook.with_kwargs else hook.call(module, args, result)


# -- backward ---------------------------------------------------------------------------------------------------------
# Two identities in the graph, around the forward, see all cotangents of the outputs and of the inputs at once.


class BackwardHookFunction(Function):  # type: ignore[misc, valid-type]
    """The identity of some tensors, whose backward is shown to `see`, which may replace it.

    Unless this is the `first` that a sweep meets, zeros stand for cotangents that nobody has.
    """

    @staticmethod
    def forward(ctx: Any, see: Callable[[tuple[Any, ...]], Any], first: bool, *tensors: Tensor) -> Any:
        """Return the tensors as views."""
        ctx.see, ctx.first = see, first
        ctx.made = [(x.shape, x.dtype, x.device) for x in tensors]
        ctx.set_materialize_grads(False)
        views = tuple(x.view_as(x) for x in tensors)
        ctx.mark_non_differentiable(*(view for x, view in zip(tensors, views, strict=True) if not x.requires_grad))
        return views

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return what `see` makes of the cotangents."""
        if not ctx.first:
            gradients = tuple(
                zeros(shape, dtype=dtype, device=device) if gradient is None else gradient
                for gradient, (shape, dtype, device) in zip(gradients, ctx.made, strict=True)
            )
        return (None, None, *ctx.see(gradients))


class _Backward:
    """One call of a module with hooks on its backward."""

    def __init__(self, module: Watched) -> None:
        self.module = module
        self.of_outputs: tuple[Any, ...] | None = None
        self.sees_inputs = False

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with an identity around those that are tensors if one of them needs a gradient."""
        self.at = [i for i, each in enumerate(args) if isinstance(each, Tensor)]
        self.count = len(args)
        if not is_grad_enabled() or not any(args[i].requires_grad for i in self.at):
            return args
        self.sees_inputs = True
        return _around(args, self.at, self.on_inputs, first=False)

    def watch_outputs(self, result: Any) -> Any:
        """The result, a tensor or a tuple, with an identity around what needs a gradient."""
        outputs = result if isinstance(result, tuple) else (result,)
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
            return result
        self.at_outputs = [i for i, each in enumerate(outputs) if isinstance(each, Tensor)]
        self.outputs = len(outputs)
        if not is_grad_enabled() or not any(outputs[i].requires_grad for i in self.at_outputs):
            return result
        watched = _around(outputs, self.at_outputs, self.on_outputs, first=True)
        return watched if isinstance(result, tuple) else watched[0]

    def on_outputs(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        """Show the cotangents of the outputs to the pre-hooks; to the hooks too, if no input needs a gradient."""
        shown = _spread(gradients, self.at_outputs, self.outputs)
        for _, hook in of(self.module, "_backward_pre_hooks"):
            changed = hook.call(self.module, shown)
            if changed is not None:
                shown = _replaced(changed, shown, "Backward pre hook")
        self.of_outputs = shown
        if not self.sees_inputs:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs "
                "require gradients.",
                stacklevel=5,
            )
            for _, hook in of(self.module, "_backward_hooks"):
                changed = hook.call(self.module, (None,) * self.count, shown)
                if changed is not None and not (isinstance(changed, tuple) and set(changed) <= {None}):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None for "
                        "all gradients."
                    )
        return tuple(shown[i] for i in self.at_outputs)

    def on_inputs(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        """Show the cotangents of inputs and outputs to the hooks, unless these came by another way than the outputs."""
        if self.of_outputs is None:
            return gradients
        given, self.of_outputs = self.of_outputs, None
        shown = _spread(gradients, self.at, self.count)
        for _, hook in of(self.module, "_backward_hooks"):
            changed = hook.call(self.module, shown, given)
            if changed is not None:
                shown = _replaced(changed, shown, "Backward hook")
        self.of_outputs = None
        return tuple(shown[i] for i in self.at)


def _around(values: tuple[Any, ...], at: list[int], see: Any, first: bool) -> tuple[Any, ...]:
    watched = dict(zip(at, BackwardHookFunction.apply(see, first, *(values[i] for i in at)), strict=True))
    return tuple(watched.get(i, each) for i, each in enumerate(values))


def _spread(gradients: tuple[Any, ...], at: list[int], length: int) -> tuple[Any, ...]:
    placed = dict(zip(at, gradients, strict=True))
    return tuple(placed.get(i) for i in range(length))


def _replaced(changed: Any, shown: tuple[Any, ...], who: str) -> tuple[Any, ...]:
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != len(shown):
        raise RuntimeError(f"{who} returned an invalid number of grad_input, got {len(changed)}, but expected {len(shown)}")
    return changed  # type: ignore[no-any-return]
