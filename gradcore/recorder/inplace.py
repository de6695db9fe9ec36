"""Writing in place: values, versions and histories, through views too. It must not know any particular operation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import Leaf, modes, stamps, versions
from gradcore.recorder import errors, views
from gradcore.recorder.record import attach, cast
from gradcore.recorder.steps import kernels_of
from gradcore.recorder.value import Value, wrap


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
        check_writable(self, name)
        before = self
        if modes.is_grad_enabled() and (
            target(self) is not None or any(isinstance(a, Value) and a._node is not None for a in _flat(args, keywords))
        ):
            # What the operation saves must survive the write.
            before = wrap(of(self._array).owned(self._array), self._node)
            args = tuple(before if a is self else a for a in args)
        result = function(before, *args, **keywords)
        return result if result is NotImplemented else store(self, result, name)  # type: ignore[no-any-return]

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"The in-place form of `{function.__name__}`."
    return method


def _flat(args: tuple[Any, ...], keywords: dict[str, Any]) -> list[Any]:
    flat: list[Any] = []
    for a in (*args, *keywords.values()):
        flat.extend(a if isinstance(a, (list, tuple)) else (a,))
    return flat


def check_writable(t: Value, name: str) -> None:
    """Raise RuntimeError if autograd forbids to overwrite `t` now."""
    m = t._meta
    if m is not None and m.inference and not modes.is_inference_mode_enabled():
        raise RuntimeError(
            f"Inplace update to inference tensor outside InferenceMode is not allowed ({name}). You can make a clone to "
            "get a normal tensor before doing inplace update."
        )
    if not modes.is_grad_enabled():
        return
    if m is not None and m.view is not None and isinstance(m.view.base._node, Leaf):
        raise RuntimeError(
            f"a view of a leaf Variable that requires grad is being used in an in-place operation ({name} on shape "
            f"{list(t._array.shape)}). Do it in a `with no_grad():` block, or on a clone()."
        )
    if isinstance(t._node, Leaf):
        raise RuntimeError(
            f"a leaf Variable that requires grad is being used in an in-place operation ({name} on shape "
            f"{list(t._array.shape)}). Do it in a `with no_grad():` block, or on a clone()."
        )


def store(t: Value, result: Value, name: str, *, written: bool = False) -> Value:
    """Make `t` hold the value and the history of `result`; `written` says that its memory does already."""
    F = of(t._array)
    if not written:
        _check_fits(t, result, name)
        write(t, result._array, name)
    else:
        bump(t, name)
    if modes.is_grad_enabled():
        if result._node is not None and result._array.dtype != t._array.dtype:
            result = cast(result, t._array.dtype)
        _rebase(t, result, F)
    return t


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
    F = of(t._array)
    if t._array.size > 1 and 0 in t._array.strides and any(
        s == 0 and n > 1 for s, n in zip(t._array.strides, t._array.shape, strict=True)
    ):
        raise RuntimeError(
            f"unsupported operation: more than one element of the written-to tensor refers to a single memory location "
            f"({name} on shape {list(t._array.shape)}). Please clone() the tensor before performing the operation."
        )
    F.copyto(t._array, array, casting="unsafe")
    bump(t, name)


def bump(t: Value, name: str) -> None:
    """Note that the memory of `t` was overwritten by the operation `name`."""
    if t._meta is not None and t._meta.versions is not None:
        t._meta.versions[0] += 1
    else:
        versions.bump(of(t._array).storage(t._array), name)


def _rebase(t: Value, result: Value, F: Any) -> None:
    """Give `t`, and the value it is a view of, the history of `result`."""
    view = None if t._meta is None else t._meta.view
    if view is None:
        if t._node is not result._node:
            t._node = result._node
            views.family_changed(t)
        return
    base = view.base
    if result._node is None and base._node is None:
        return
    if not view.tracked:
        raise RuntimeError(
            "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use "
            "case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and "
            "the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or both "
            "outside (if you want the inplace to be tracked)."
        )
    function = slice_updater[0]
    kernel = kernels_of(function.primitive)[type(base._array)]
    attach(function.primitive, kernel, [wrap(base._array, base._node), result], {"view": view.chain}, [base])
    views.family_changed(base)
    with modes.enable_grad():
        t._node = view.chain.replay(base)._node
    view.seen = next(stamps)


# The primitive that writes a part of an array through a chain of views, set where it is defined.
slice_updater: list[Any] = []
