"""Writing in place: values, versions and histories, through views too. It must not know any particular operation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.graph import Leaf, Node, modes, stamps, versions
from gradcore.recorder import errors, views
from gradcore.recorder.primitive import Primitive
from gradcore.recorder.record import attach, cast, lifter
from gradcore.recorder.steps import Kernel, kernels_of
from gradcore.recorder.value import Meta, Value, meta, wrap
from gradcore.recorder.views import retainer as retainer


def target(t: Value) -> Any:
    """Where `t` came from, views brought up to date."""
    return t._node if t._meta is None else views.current(t)


def inplace(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The in-place method `name` of an operation whose first argument is the Tensor to overwrite.

    It returns that Tensor. Raises RuntimeError for a leaf that needs a gradient, for a result of another shape, and for a
    dtype that cannot hold the result.
    """

    @functools.wraps(function)
    def method(self: Value, *args: Any, **keywords: Any) -> Value:
        if (self._meta is None or _is_ordinary(self._meta)) and (self._node is None or not modes.is_grad_enabled()):
            result = function(self, *args, **keywords)
            if result is NotImplemented:
                return result  # type: ignore[no-any-return]
            if result._node is None:
                return self if _overwrite(self, result, name) else store(self, result, name)
        check_writable(self, name)
        before = self
        if modes.is_grad_enabled() and (
            target(self) is not None or any(isinstance(a, Value) and a._node is not None for a in _flat(args, keywords))
        ):
            # What the operation saves must survive the write.
            before = wrap(of(self._array).owned(self._array), self._node)
            args = tuple(before if a is self else a for a in args)
        result = function(before, *args, **keywords)
        return result if result is NotImplemented else store(self, result, name)

    op: Any = getattr(function, "primitive", None)
    binary = op is not None and op.kind == "elementwise" and len(op.inputs) == 2 and not op.params
    made: Callable[..., Any] = _at_once(op, method, name) if binary else method
    made.__name__ = name
    made.__qualname__ = f"Tensor.{name}"
    made.__doc__ = f"The in-place form of `{function.__name__}`."
    return made


def _is_ordinary(m: Meta) -> bool:
    return m.view is None and m.versions is None and not m.inference


def _overwrite(t: Value, result: Value, name: str) -> bool:
    """Write `result` into `t` if there is nothing to record and nothing to convert: what an optimizer does."""
    array, new = t._array, result._array
    if result._node is not None or new.dtype is not array.dtype or new.shape != array.shape or type(new) is not host.Array:
        return False
    if type(array) is not host.Array or not (array.flags.c_contiguous and array.flags.writeable):
        return False
    array[...] = new
    versions.bump(array if array.base is None else host.storage(array), name)
    return True


def _at_once(op: Primitive, method: Callable[..., Value], name: str) -> Callable[..., Value]:
    """The in-place `method` of `op`, by the one call of the array library that it often is: what an optimizer does."""
    kernel: Kernel | None = None

    @functools.wraps(method)
    def at_once(self: Value, other: Any) -> Value:
        nonlocal kernel
        array, m = self._array, self._meta
        if type(other) is not type(self) or type(array) is not host.Array or (m is not None and not _is_ordinary(m)):
            return method(self, other)
        operand = other._array
        if type(operand) is not host.Array or operand.dtype is not array.dtype or operand.shape != array.shape:
            return method(self, other)
        if (self._node is not None or other._node is not None) and modes.is_grad_enabled():
            return method(self, other)
        if other._meta is not None or modes.unusual or array.dtype.kind != "f" or not array.flags.carray:
            return method(self, other)
        kernel = kernel or kernels_of(op)[host.Array]
        if not kernel.bare or array.itemsize == 2:
            return method(self, other)
        host.quietly(kernel.forward, array, operand, array)
        versions.bump(array if array.base is None else host.storage(array), name)
        return self

    return at_once


def _flat(args: tuple[Any, ...], keywords: dict[str, Any]) -> list[Any]:
    flat: list[Any] = []
    for a in (*args, *keywords.values()):
        flat.extend(a if isinstance(a, (list, tuple)) else (a,))
    return flat


def refuse_inference(t: Value, name: str) -> None:
    """Raise RuntimeError if `t` was made in inference mode, which has been left."""
    if t._meta is not None and t._meta.inference and not modes.is_inference_mode_enabled():
        raise RuntimeError(
            f"Inplace update to inference tensor outside InferenceMode is not allowed ({name}). You can make a clone to "
            "get a normal tensor before doing inplace update."
        )


def check_writable(t: Value, name: str) -> None:
    """Raise RuntimeError if autograd forbids to overwrite `t` now."""
    views.follow(t)
    refuse_inference(t, name)
    m = t._meta
    if not modes.is_grad_enabled():
        return
    if m is not None and m.view is not None and views.requires_grad(t):
        views.refuse_hazard(t)
    if m is not None and m.view is not None and _is_leaf(m.view.base) and views.requires_grad(t):
        raise RuntimeError(
            f"a view of a leaf Variable that requires grad is being used in an in-place operation ({name} on shape "
            f"{list(t._array.shape)}). Do it in a `with no_grad():` block, or on a clone()."
        )
    if m is not None and m.view is not None and views.goes_around(t, m.view):
        views.remake(t, m.view)
    if isinstance(t._node, Leaf):
        raise RuntimeError(
            f"a leaf Variable that requires grad is being used in an in-place operation ({name} on shape "
            f"{list(t._array.shape)}). Do it in a `with no_grad():` block, or on a clone()."
        )


def _beside(t: Value, others: tuple[Any, ...]) -> tuple[Any, ...]:
    """What is written into `t` as inputs of one level with it, with the histories they have now.

    A write to memory that one of them is a view of would change its history.
    """
    if type(t._array) is not host.Array and lifter:
        others = tuple(lifter[0]((t, *others), {})[1:])
    return tuple(wrap(x._array, target(x)) if isinstance(x, Value) and x._meta is not None else x for x in others)


def _is_leaf(t: Value) -> bool:
    return t._node is None or isinstance(t._node, Leaf)


# What makes a Tensor able to hold values of a transform, set where transforms are defined.
receiver: list[Callable[[Value, Value], None]] = []


def receive(t: Value, value: Value) -> None:
    """Get `t` ready to be overwritten by `value`."""
    for ready in receiver:
        ready(t, value)


def store(t: Value, result: Value, name: str) -> Value:
    """Make `t` hold the value and the history of `result`."""
    receive(t, result)
    _check_fits(t, result, name)
    recorded = modes.is_grad_enabled() and (result._node is not None or _requires_grad(t))
    if recorded:
        views.refuse_hazard(t)
        (result,) = _beside(t, (result,))
    write(t, result._array, name)
    if recorded:
        if result._array.dtype != t._array.dtype:
            made = result._node
            result = cast(result, t._array.dtype)
            if type(made) is Node and type(result._node) is Node:
                result._node.step = result._node.step.relabelled(made.step.name)  # type: ignore[attr-defined]
        rebase(t, result)
    return t


def overwritten(
    t: Value,
    write_part: Callable[[Any], Any],
    function: Callable[..., Any],
    others: tuple[Any, ...],
    params: dict[str, Any],
    name: str,
) -> Value:
    """Let `write_part` change the memory of `t` as `function(t, *others, **params)` would; record it as that.

    The rules of `function` may not read `t`, which is not kept.
    """
    check_writable(t, name)
    needed = [x for x in others if isinstance(x, Value) and target(x) is not None]
    recorded = modes.is_grad_enabled() and (bool(needed) or _requires_grad(t))
    if recorded:
        views.refuse_hazard(t)
        others = _beside(t, others)
    node = target(t) if recorded else None
    try:
        write_part(of(t._array).writable(t._array))
    except Exception as error:
        raise errors.translated(function.primitive, (t, *others), error) from error  # type: ignore[attr-defined]
    bump(t, name)
    if recorded:
        result = wrap(t._array)
        op = function.primitive  # type: ignore[attr-defined]
        attach(op, kernels_of(op)[type(t._array)], [wrap(t._array, node), *others], params, [result])
        rebase(t, result)
    return t


def reshaped(function: Callable[..., Any], name: str, nodes: dict[str, str]) -> Callable[..., Any]:
    """The in-place method `name` of a view operation: the Tensor becomes its own view.

    `nodes` says how torch calls the nodes of the operation when it is done in place.
    """

    @functools.wraps(function)
    def method(self: Value, *args: Any, **keywords: Any) -> Value:
        check_writable(self, name)
        before = wrap(self._array, target(self))
        view = None if self._meta is None else self._meta.view
        if view is not None:
            before._meta = self._meta
            if modes.is_grad_enabled() and before._node is not None:
                views.refuse_hazard(self)
        out = function(before, *args, **keywords)
        bump(self, name)
        self._array = out._array
        if view is not None:
            view.chain, view.original = out._meta.view.chain, out._meta.view.original
        if modes.is_grad_enabled():
            self._node = out._node
            if view is not None:
                view.seen = next(stamps)
            if isinstance(out._node, Node) and out._node is not before._node:
                out._node.step = out._node.step.relabelled(nodes[out._node.step.name])  # type: ignore[attr-defined]
        return self

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"The in-place form of `{function.__name__}`."
    return method


def _requires_grad(t: Value) -> bool:
    return t._node is not None if t._meta is None else views.requires_grad(t)


def _check_fits(t: Value, result: Value, name: str) -> None:
    have, want = dtypes.of(result._array.dtype), dtypes.of(t._array.dtype)
    if have is not want and not dtypes.can_cast(have, want):
        raise RuntimeError(
            f"result type {have._title} can't be cast to the desired output type {want._title} ({name} on a tensor of "
            f"shape {list(t._array.shape)})"
        )
    if result._array.shape != t._array.shape:
        raise RuntimeError(
            f"output with shape {list(t._array.shape)} doesn't match the broadcast shape {list(result._array.shape)} "
            f"({name})"
        )
    F = of(t._array)
    if F.device_of(result._array) != F.device_of(t._array):
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found at least two devices, "
            f"{errors.device_name(t._array)} and {errors.device_name(result._array)}!"
        )


def write(t: Value, array: Any, name: str) -> None:
    """Overwrite the memory of `t` and note the new version."""
    refuse_overlap(t, name)
    F = of(array)
    if not hasattr(F, "interpreter"):  # what a transform lifted knows how it is written
        F = of(t._array)
    F.copyto(F.writable(t._array), array, casting="unsafe")
    bump(t, name)


def refuse_overlap(t: Value, name: str) -> None:
    """Raise RuntimeError if two elements of `t` share memory, as those of an expanded tensor do."""
    if overlapping(t._array):
        raise RuntimeError(
            f"unsupported operation: more than one element of the written-to tensor refers to a single memory location "
            f"({name} on shape {list(t._array.shape)}). Please clone() the tensor before performing the operation."
        )


def overlapping(array: Any) -> bool:
    """Whether two elements share memory."""
    if 0 not in array.strides or array.size < 2:
        return False
    return any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True))


def bump(t: Value, name: str) -> None:
    """Note that the memory of `t` was overwritten by the operation `name`."""
    own = None if t._meta is None else t._meta.versions
    if own is not None:
        own.count += 1
    if own is None or not own.silent:
        versions.bump(of(t._array).storage(t._array), name, counted=own is None)


def replace(t: Value, array: Any) -> None:
    """Let `t` hold another array, with the version that it has: `t.data = ...`."""
    own, old = None if t._meta is None else t._meta.versions, of(t._array).storage(t._array)
    if own is None and old is not of(array).storage(array):
        meta(t).versions = versions.Own(versions.count(old), silent=False)
    t._array = array


def rebase(t: Value, result: Value) -> None:
    """Give `t`, and the value it is a view of, the history of `result`."""
    view = None if t._meta is None else t._meta.view
    if view is None:
        if t._node is not result._node:
            t._node = result._node
            views.family_changed(t)
            views.retain_again(t)
        return
    base = view.base
    if result._node is None and base._node is None:
        return
    function = slice_updater[0]
    kernel = kernels_of(function.primitive)[type(base._array)]
    attach(function.primitive, kernel, [wrap(base._array, base._node), result], {"view": views.chain_of(view)}, [base])
    views.family_changed(base)
    views.remake(t, view)
    views.retain_again(base)


# The primitive that writes a part of an array through a chain of views, set where it is defined.
slice_updater: list[Any] = []
