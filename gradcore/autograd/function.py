"""torch.autograd.function: operations whose derivative the user writes. It must not know any primitive.

The context holds its node weakly and the node holds the context, so a graph with Functions is freed like any other.
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from gradcore.autograd.backward_step import BackwardStep, Like
from gradcore.autograd.once import once_differentiable
from gradcore.backends import of
from gradcore.graph import Node, Output, modes, recorded, versions
from gradcore.graph.node import Target
from gradcore.graph.sweep import FREED_MESSAGE
from gradcore.recorder import inplace, views
from gradcore.recorder.saved import Saved
from gradcore.recorder.value import Value, wrap

__all__ = [
    "BackwardCFunction", "Function", "FunctionCtx", "FunctionMeta", "InplaceFunction", "NestedIOFunction",
    "once_differentiable",
]  # fmt: skip


class FunctionCtx:
    """What `forward` leaves for `backward`: saved tensors, marks on outputs, and any attribute the user sets."""

    needs_input_grad: tuple[bool, ...] = ()
    materialize_grads = True
    _materialize_non_diff_grads = True
    to_save: tuple[Any, ...] = ()
    saved_for_forward: tuple[Any, ...] = ()
    dirty_tensors: tuple[Any, ...] = ()
    non_differentiable: tuple[Any, ...] = ()
    kept: tuple[Any, ...] = ()  # what `saved_tensors` are in `jvp`
    _accessed = False
    _forward_cls: type[Function]
    _node: Callable[[], Node | None] | None = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep `tensors` (inputs, outputs or others, or None) for `backward`, where they are `saved_tensors`."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep `tensors` for `jvp`. Raises TypeError for anything but a Tensor or None."""
        for t in tensors:
            if not isinstance(t, Value) and t is not None:
                raise TypeError(
                    "save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes on "
                    f"ctx (got {type(t).__name__})"
                )
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Any) -> None:
        """Say which inputs `forward` changed in place; each must be an output too."""
        self.dirty_tensors = args

    def mark_shared_storage(self, *pairs: Any) -> None:
        """Do nothing: who shares memory is seen."""

    def mark_non_differentiable(self, *args: Any) -> None:
        """Say which outputs have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether `backward` gets zeros (the default) or None for the gradients that did not arrive."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` was given. Raises RuntimeError if it was overwritten since, or freed."""
        if self._node is None:
            return self.kept
        node = self._node()
        if self._accessed:
            raise RuntimeError(
                "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is set on the "
                "autograd.Function. Either access saved_tensors only once, or set clear_saved_tensors_on_access=False."
            )
        if node is None or type(node.saved) is not tuple:
            raise RuntimeError(FREED_MESSAGE)
        found = tuple(None if s is None else unsaved(s, i, node) for i, s in enumerate(node.saved))
        if self._forward_cls.clear_saved_tensors_on_access:
            node.saved, self._accessed = (), True
        return found

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """`saved_tensors`, of old."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    @property
    def _raw_saved_tensors(self) -> tuple[Any, ...]:
        from gradcore.autograd.function_saved import raw

        return raw(self._node and self._node())

    def maybe_clear_saved_tensors(self) -> None:
        """Do nothing: a sweep that does not retain the graph frees what was saved."""


def unsaved(saved: Saved, i: int, node: Node) -> Value:
    """The tensor that a node saved as number `i`. Raises RuntimeError if it was overwritten since."""
    array = saved.array
    if array is not None and versions.newest[0] < node.stamp:
        write = versions.write_after(node.stamp, of(array).storage(array))
        if write is not None:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: saved "
                f"tensor {i} of shape {list(array.shape)}, saved by {node.name()}, was overwritten by {write.by} (its "
                f"storage is now at version {write.count}). Save a clone() of it."
            )
    return saved.value(node)


class BackwardCFunction(FunctionCtx):
    """The context of one Function; each Function has a subclass of its own, called like its node."""

    def apply(self, *args: Any) -> Any:
        """Call the Function's `backward`, and return what it does."""
        return self._forward_cls.pulled(self, list(args))


class FunctionNode(Node):
    """The node of a Function. The attributes that the user set on the context are its own, too."""

    __slots__ = ("ctx",)

    ctx: FunctionCtx

    def __getattr__(self, name: str) -> Any:
        if name == "ctx":
            raise AttributeError(name)
        return getattr(self.ctx, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(Node, name) or name == "ctx":
            object.__setattr__(self, name, value)
        else:
            setattr(self.ctx, name, value)

    def __repr__(self) -> str:
        return f"<gradcore.autograd.function.{self.step.name} object at {id(self):#x}>"


class FunctionMeta(type):
    """Gives each Function the class of its contexts."""

    def __init__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> None:
        cls._backward_cls = type(f"{name}Backward", (BackwardCFunction,), {"_forward_cls": cls})
        super().__init__(name, bases, attributes)


class Function(metaclass=FunctionMeta):
    """The base of operations with a derivative of their own: static methods `forward` and `backward`, run by `apply`.

    `forward(ctx, *args)`, or `forward(*args)` with `setup_context(ctx, inputs, output)`, returns a Tensor or a tuple;
    `backward(ctx, *grad_outputs)` returns a gradient, or None, for each argument of `forward`. `vjp` is another name of
    `backward`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke "
            f"them on the class itself: {type(self).__name__}.apply(...)",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Raise RuntimeError: a Function is called by `apply`."""
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function "
            f"with static forward method, and call {type(self).__name__}.apply(...)."
        )

    @staticmethod
    def forward(*args: Any, **keywords: Any) -> Any:
        """Compute the outputs. Every Function has its own."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Leave in `ctx` what `backward` needs. A Function that has one has a `forward` without `ctx`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient of each argument of `forward`, given that of each output."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Return the tangent of each output, given that, or None, of each argument of `forward`."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    # Whether what was saved is let go as soon as `backward` has asked for it, once; and whether the gradients come to
    # `backward` as one list, out of which it may take them. Both save memory.
    clear_saved_tensors_on_access = False
    boxed_grads_call = False

    # Whether `forward` and `backward` run on a batch as they are; else `vmap`, if there is one, is called instead.
    generate_vmap_rule = False

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """Return the outputs for a batch, and in which dimension they have it, or None. `in_dims` says so of `args`."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap static method or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def has_jvp(cls) -> bool:
        """Whether there is a `jvp` of the user's."""
        return cls.jvp is not Function.jvp

    @classmethod
    def has_vmap(cls) -> bool:
        """Whether there is a `vmap` of the user's."""
        return cls.vmap is not Function.vmap

    @classmethod
    def derivative(cls) -> Callable[..., Any]:
        has_backward, has_vjp = cls.backward is not Function.backward, cls.vjp is not Function.vjp
        if has_backward and has_vjp:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement one "
                f"of them. ({cls.__name__})"
            )
        return cls.vjp if has_vjp else cls.backward

    @classmethod
    def pulled(cls, ctx: Any, gradients: list[Any]) -> Any:
        """What `backward` makes of the gradients of the outputs."""
        return cls.derivative()(ctx, gradients) if cls.boxed_grads_call else cls.derivative()(ctx, *gradients)

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` unrecorded and record the whole as one node. Returns what `forward` returns.

        An argument given by its name is an input like the others, at its place in `forward`.
        """
        if kwargs or (cls.setup_context is not Function.setup_context and _may_have_defaults(cls.forward)):
            args = _placed(cls, args, kwargs)
        if modes.unusual and _is_transformed(args):
            from gradcore.autograd import function_transforms

            done = function_transforms.mapped(cls, args)
            if done is not NotImplemented:
                return done
            args = function_transforms.on_one_level(args)
        tensors = [a if isinstance(a, Value) else None for a in args]
        origins = [None if a is None else inplace.target(a) for a in tensors]
        ctx, output = cls.run(args, tuple(origin is not None for origin in origins))
        outs = output if isinstance(output, tuple) else (output,)
        results = _Results(cls.__name__, ctx, tensors, outs)
        made = results.recorded(origins) if modes.is_grad_enabled() and any(ctx.needs_input_grad) else results.plain()
        return made if isinstance(output, tuple) else made[0]

    @classmethod
    def run(cls, args: tuple[Any, ...], needs: tuple[bool, ...] = ()) -> tuple[FunctionCtx, Any]:
        """Run `forward` unrecorded: the context, and what it returns."""
        ctx: FunctionCtx = cls._backward_cls()
        ctx.needs_input_grad = needs
        pushed = None
        if modes.unusual and _is_transformed(args):
            from gradcore.autograd import function_transforms

            pushed = function_transforms.pushed(args)
        with modes.no_grad():
            if cls.setup_context is Function.setup_context:
                output = cls.forward(ctx, *args)
            else:
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
            if pushed is not None:
                output = function_transforms.with_tangents(cls, pushed, output)
        return ctx, output


class InplaceFunction(Function):
    """Another name for Function, of old; an object of it remembers whether it is to work in place."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class NestedIOFunction(Function):
    """Another name for Function, of old. It does not take nested inputs apart: torch's does so no longer, either."""


def _may_have_defaults(forward: Any) -> bool:
    return bool(getattr(forward, "__defaults__", True)) or hasattr(forward, "__wrapped__")


def _placed(cls: type[Function], args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
    """All arguments by position, with the defaults of a `forward` that leaves the context to `setup_context`."""
    ctx = () if cls.setup_context is not Function.setup_context else (None,)
    bound = inspect.signature(cls.forward).bind(*ctx, *args, **keywords)
    if not ctx:
        bound.apply_defaults()
    for name in keywords:
        if name in bound.kwargs:
            raise TypeError(
                f"{cls.__name__}.apply() cannot take the argument {name!r} by its name: `forward` takes it by name only, or "
                "one before it is missing. The gradients of `backward` go by position: give the arguments so"
            )
    return bound.args[len(ctx) :]


def _is_transformed(args: tuple[Any, ...]) -> bool:
    for a in args:
        if isinstance(a, Value):
            views.follow(a)
            if hasattr(a._array, "frame"):
                return True
    return False


class _Results:
    """What `forward` returned, on its way to become outputs of a node, or plain results."""

    def __init__(self, name: str, ctx: FunctionCtx, inputs: list[Any], outs: tuple[Any, ...]) -> None:
        self.name, self.ctx, self.inputs, self.outs = name, ctx, inputs, outs
        for kind, marked in (("mark_dirty can", ctx.dirty_tensors), ("mark_non_differentiable", ctx.non_differentiable)):
            for i, t in enumerate(marked):
                if not isinstance(t, Value):
                    raise RuntimeError(f"{kind} only accept variables, but argument {i} is of type {type(t).__name__}")
        if not all(any(t is out for out in outs) for t in ctx.dirty_tensors):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that are "
                f"modified inplace must all be outputs of the Function. ({name})"
            )

    def is_dirty(self, t: Any) -> bool:
        return any(t is dirty for dirty in self.ctx.dirty_tensors)

    def as_is(self, t: Any) -> bool:
        """Whether `t` is an input that was returned untouched."""
        return any(t is x for x in self.inputs if x is not None) and not self.is_dirty(t)

    def differentiable(self, t: Any) -> bool:
        return (
            isinstance(t, Value)
            and t._array.dtype.kind not in "biu"
            and not any(t is constant for constant in self.ctx.non_differentiable)
        )

    def plain(self) -> tuple[Any, ...]:
        """The results of a Function that is not recorded."""
        for t in self.ctx.dirty_tensors:
            inplace.bump(t, self.name)
        return tuple(self._plain(out) if isinstance(out, Value) else out for out in self.outs)

    def _plain(self, out: Value) -> Value:
        """A result without a history: what has one, being an input, keeps it, and a tensor beside it is returned."""
        if inplace.target(out) is not None and any(out is x for x in self.inputs):
            return wrap(out._array)  # type: ignore[no-any-return]
        return _alias(out) if self.as_is(out) else out

    def recorded(self, origins: list[Target | None]) -> tuple[Any, ...]:
        """The results as outputs of a new node."""
        ctx, outs = self.ctx, self.outs
        self._check_dirty()
        for t in ctx.dirty_tensors:
            inplace.bump(t, self.name)
        kinds = {id(out): i for i, out in enumerate(outs) if self.differentiable(out) and not self.as_is(out)}
        saved = tuple(self._saved(i, t, kinds, origins) for i, t in enumerate(ctx.to_save))
        zeros = ctx._materialize_non_diff_grads  # what is unlike anything gets None
        likes = (
            [Like.of_gradient(x) for x in self.inputs],
            [Like.of(out) if zeros or self.differentiable(out) else None for out in outs],
        )
        step = BackwardStep(ctx, f"{self.name}Backward", *likes)
        node: Any = recorded(step, tuple(origin for origin in origins if origin is not None), saved, FunctionNode)
        node.ctx = ctx
        ctx._node = weakref.ref(node)
        several = sum(self.differentiable(out) for out in outs) > 1
        made = tuple(self._output(out, Output(node, i, len(outs)), several) for i, out in enumerate(outs))
        ctx.to_save = ctx.dirty_tensors = ctx.non_differentiable = ()  # outputs among them would hold their own node
        return made

    def _check_dirty(self) -> None:
        for t in self.ctx.dirty_tensors:
            if not any(t is x for x in self.inputs):
                refused = (
                    "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been mutated "
                    f"should be passed to ctx.mark_dirty(). ({self.name}, of shape {list(t._array.shape)})"
                )
                if views.is_view(t):  # its history would be written into what it is a view of
                    raise RuntimeError(refused)
                warnings.warn(refused, stacklevel=4)
            inplace.check_writable(t, self.name)
            if views.is_view(t) and len(self.outs) > 1:
                raise RuntimeError(
                    "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot "
                    f"return more than one Tensor ({self.name} returned {len(self.outs)}). Make sure that the input is not "
                    "a view, with .clone() for example, or split it into two Functions."
                )

    def _saved(self, i: int, t: Any, outputs: dict[int, int], origins: list[Target | None]) -> Saved | None:
        if t is None:
            return None
        if not isinstance(t, Value):
            raise TypeError(
                f"save_for_backward can only save variables, but argument {i} is of type {type(t).__name__} (set it as an "
                "attribute of ctx)"
            )
        if id(t) in outputs:
            return Saved(t._array, (outputs[id(t)], len(self.outs)))
        own = [origin for x, origin in zip(self.inputs, origins, strict=True) if x is t]
        return Saved(t._array, own[0] if own else inplace.target(t), t)

    def _output(self, out: Any, place: Output, several: bool) -> Any:
        if not isinstance(out, Value):
            return out
        as_is = self.as_is(out)
        if not self.differentiable(out):
            return self._plain(out) if as_is else out
        if self.is_dirty(out):
            inplace.rebase(out, wrap(out._array, place))
            return out
        if as_is:
            out = _alias(out)
        out._node = place
        views.forbid_writes(out, views.SEVERAL if several else views.CUSTOM)
        return out


def _alias(t: Value) -> Value:
    out: Value = wrap(t._array)
    views.note_view(out, t, None, {})
    return out
