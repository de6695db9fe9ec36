"""What the node of a user's Function does in a sweep: run `backward`, check its results. It must not know any primitive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import Node, modes
from gradcore.recorder import errors, steps
from gradcore.recorder.hooks import changeable
from gradcore.recorder.record import cast
from gradcore.recorder.value import Value, wrap


class Like:
    """Shape, dtype and backend of an input or output: what a gradient of it must look like."""

    __slots__ = ("F", "dtype", "shape")

    def __init__(self, array: Any) -> None:
        self.F, self.shape, self.dtype = of(array), tuple(array.shape), array.dtype

    @staticmethod
    def of(t: Any) -> Like | None:
        return Like(t._array) if isinstance(t, Value) else None

    @staticmethod
    def of_gradient(t: Any) -> Like | None:
        """What a gradient of `t` looks like; its dtype is None if any will do."""
        like = Like.of(t)
        if like is not None:
            like.dtype = getattr(t, "_grad_dtype", like.dtype)
        return like


class BackwardStep:
    """What the node of one call of a Function does in a sweep: run `backward` and check what it returns."""

    def __init__(
        self,
        ctx: Any,
        name: str,
        inputs: list[Like | None],
        outs: list[Like | None],
        keep: Sequence[bool] | None = None,
    ) -> None:
        self.ctx, self.name, self.inputs, self.outs = ctx, name, inputs, outs
        # What is no tensor is no input of the node.
        self.needs = tuple(n for n, like in zip(ctx.needs_input_grad, inputs, strict=True) if like is not None)
        kept = iter(keep or (True,) * sum(self.needs))
        self.keep = tuple(need and next(kept) for need in ctx.needs_input_grad)
        self.frees = bool(ctx.to_save)

    def narrowed(self, wanted: tuple[bool, ...]) -> BackwardStep:
        """The step that returns only some of the cotangents."""
        narrow = BackwardStep(self.ctx, self.name, self.inputs, self.outs, wanted)
        narrow.frees = self.frees
        return narrow

    def check(self, node: Node, traced: bool) -> None:
        """Saved tensors are checked when `backward` asks for them."""

    def relabelled(self, name: str) -> BackwardStep:
        """The Function's own name stays."""
        return self

    def pull(self, g: list[Any], saved: Any) -> tuple[Any, ...]:
        """Run `backward` unrecorded, on Tensors around raw cotangents."""
        with modes.no_grad():
            # A view, because what the user returns may be held elsewhere, and leaves keep only arrays that own themselves.
            return tuple(None if c is None else c._array[...] for c in self._run(g, False))

    def traced(self, node: Node, g: list[Any]) -> tuple[Any, ...]:
        """Run `backward`, recorded."""
        with modes.enable_grad():
            return self._run(g, True)

    def _run(self, g: list[Any], traced: bool) -> tuple[Any, ...]:
        given = [self._given(part, like) for part, like in zip(g, self.outs, strict=True)]
        returned = self.ctx._forward_cls.pulled(self.ctx, given)
        grads = returned if isinstance(returned, tuple) else (returned,)
        n = len(self.inputs)
        while len(grads) > n and grads[-1] is None:
            grads = grads[:-1]
        if len(grads) != n:
            raise RuntimeError(
                f"function {self.name} returned an incorrect number of gradients (expected {n}, got {len(grads)}): one for "
                f"each argument of forward, which were {_told(self.inputs)}; it returned {_told(grads)}"
            )
        checked = [self._checked(i, grad, traced) for i, grad in enumerate(grads)]
        needs = self.ctx.needs_input_grad
        return tuple(c if keep else None for c, keep, need in zip(checked, self.keep, needs, strict=True) if need)

    def _given(self, part: Any, like: Like | None) -> Value | None:
        if part is None:
            return wrap(like.F.zeros(like.shape, like.dtype)) if like is not None and self.ctx.materialize_grads else None
        if isinstance(part, Value):
            return part
        return wrap(changeable(of(part).as_array(part) if like is None else like.F.as_array(part)))  # type: ignore[no-any-return]

    def _checked(self, i: int, grad: Any, traced: bool) -> Value | None:
        """The gradient of input `i` in its shape and dtype, None if it needs none."""
        like = self.inputs[i]
        if grad is None:
            return None
        if like is None:
            raise RuntimeError(
                f"function {self.name} returned a gradient different than None at position {i + 1}, but the corresponding "
                "forward input was not a Variable"
            )
        if not isinstance(grad, Value):
            raise RuntimeError(f"expected Variable or None (got {type(grad).__name__} from {self.name} at index {i})")
        if not self.ctx.needs_input_grad[i]:
            return None
        shape, dtype = tuple(grad._array.shape), grad._array.dtype
        wanted = dtype if like.dtype is None else like.dtype
        if _underneath(of(grad._array)) is not _underneath(like.F):
            raise RuntimeError(
                f"Function {self.name} returned an invalid gradient at index {i} - it is on "
                f"{errors.device_name(grad._array)}, the input is not"
            )
        if dtype.kind == "c" and wanted.kind != "c":
            raise RuntimeError(
                f"Function {self.name} returned an invalid gradient at index {i} - expected a real one for an input of "
                f"dtype {dtypes.of(wanted)}, got {dtypes.of(dtype)}"
            )
        if shape != like.shape:
            if not _expandable(like.shape, shape):
                raise RuntimeError(
                    f"Function {self.name} returned an invalid gradient at index {i} - got {list(shape)} but expected shape "
                    f"compatible with {list(like.shape)}"
                )
            grad = (
                steps.sum_to(steps.traced, grad, like.shape)
                if traced
                else wrap(like.F.as_array(steps.sum_to(steps.raw(like.F), grad._array, like.shape)))
            )
        return grad if dtype == wanted else cast(grad, wanted)


def _told(values: Sequence[Any]) -> str:
    """The shape of each that has one."""
    shapes = [x._array.shape if isinstance(x, Value) else getattr(x, "shape", None) for x in values]
    return ", ".join("no tensor" if shape is None else f"a tensor {list(shape)}" for shape in shapes)


def _underneath(F: Any) -> Any:
    """The backend of the arrays that those of a transform hold."""
    return getattr(F, "base", F)


def _expandable(shape: tuple[int, ...], larger: tuple[int, ...]) -> bool:
    lead = len(larger) - len(shape)
    return lead >= 0 and all(a in (1, b) for a, b in zip(shape, larger[lead:], strict=True))
