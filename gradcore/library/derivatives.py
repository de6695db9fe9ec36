"""The derivative of an operator as an autograd.Function around its kernel. It must not know names or kernels.

A Function takes tensors and returns tensors. So lists of tensors among the arguments are spread out, and what they were
stands in one more argument, the last. Kernels may do with arrays what they like, so they never see those of a transform.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from gradcore.autograd import function_transforms
from gradcore.autograd.function import Function
from gradcore.graph import modes
from gradcore.library.schema import tensors_in
from gradcore.ops import function
from gradcore.recorder.primitive import registry
from gradcore.recorder.value import Value, wrap
from gradcore.transforms.crossings import lift
from gradcore.transforms.lifted import evaluate, top_of
from gradcore.transforms.trees import Shape, leaves_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradcore.library.operators import OpOverload


class _Call:
    """One call of an operator: how its arguments and its results nest. It holds no tensor, since nodes hold it."""

    def __init__(self, values: Sequence[Any], named: dict[str, Any]) -> None:
        self.inputs, self.named = Shape(tuple, None, tuple(map(_nesting, values))), named
        self.output = Shape(None)

    def flat(self, values: Sequence[Any]) -> list[Any]:
        """The arguments of the Function, but for the last."""
        nested = zip(values, self.inputs.inner, strict=True)
        return [leaf for a, shape in nested for leaf in (a if shape.inner else [a])]

    def output_of(self, results: tuple[Any, ...]) -> Any:
        """The results in their nesting."""
        return self.output.tree(results)


def _nesting(value: Any) -> Shape:
    spread = isinstance(value, list) and any(isinstance(each, Value) for each in value)
    return Shape(list, None, tuple(Shape(None) for _ in value)) if spread else Shape(None)


def recorded(op: OpOverload, values: Sequence[Any], named: dict[str, Any]) -> Any:
    """Run the kernel of `op`, and record it as one node if a gradient is to go through."""
    needed = modes.is_grad_enabled() and any(t.requires_grad for t in tensors_in(values))
    if not needed and not modes.unusual:
        with modes.no_grad():
            return op.below(values, named)
    call = _Call(values, named)
    return call.output_of(_function(op).apply(*call.flat(values), call))


def mapped(op: OpOverload, values: Sequence[Any], named: dict[str, Any]) -> Any:
    """What `op` is of a batch; NotImplemented if there is none among the arguments."""
    call = _Call(values, named)
    results = function_transforms.mapped(_function(op), (*call.flat(values), call))
    return results if results is NotImplemented else call.output_of(results)


def _on_plain_arrays(op: OpOverload, values: Sequence[Any], named: dict[str, Any]) -> Any:
    """Run the kernel of `op` on what the arguments are outside of all transforms; its results are constants of them."""
    top = top_of([t._array for t in tensors_in(values)])
    if top is None or op._schema.is_mutable:
        return op.below(values, named)
    result = mapped(op, values, named)
    if result is NotImplemented:
        call = _Call(values, named)
        parts = [_primal(t, top) if isinstance(t, Value) else t for t in call.flat(values)]
        result = _on_plain_arrays(op, call.inputs.tree(parts), named)
    leaves = [lift(t, top.frame) if isinstance(t, Value) else t for t in leaves_of(result)]
    return shape_of(result).tree(leaves)


def _primal(t: Value, top: Any) -> Value:
    made: Value = wrap(evaluate(registry["primal_part"], t._array, frame=top.frame))
    return made


def _one_by_one(op: OpOverload, info: Any, in_dims: tuple[Any, ...], values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What `op` is of a batch without a rule: of each of it, stacked."""
    if op._schema.is_mutable:
        raise RuntimeError(
            f"Batching rule not implemented for {op.name()}; the fallback path doesn't work on out= or view ops. Use "
            "register_vmap."
        )
    if info.batch_size == 0:
        raise RuntimeError(
            f"Batching rule not implemented for {op.name()}. The fallback path does not support vmap over dims of size 0."
        )
    call, dims = _Call(values, named), leaves_of(in_dims)
    results = []
    for i in range(info.batch_size):
        each = [t if dim is None else t.select(dim, i) for t, dim in zip(call.flat(values), dims, strict=True)]
        results.append(op(*call.inputs.tree(each), **named))
        if all(dim is None for dim in dims):
            return results[0], None
    if len(results) > 1:
        warnings.warn(
            f"There is a performance drop because we have not yet implemented the batching rule for {op.name()}: vmap runs "
            "it one by one. Use register_vmap.",
            UserWarning,
            stacklevel=2,
        )
    shape, together = shape_of(results[0]), zip(*map(leaves_of, results), strict=True)
    stacked = [function("", "stack")(each) if isinstance(each[0], Value) else each[0] for each in together]
    return shape.tree(stacked), shape.tree(0 if isinstance(t, Value) else None for t in stacked)


def _function(op: OpOverload) -> Any:
    if op._function is None:
        op._function = _function_of(op)
    return op._function


def _function_of(op: OpOverload) -> type[Function]:
    def forward(ctx: Any, *flat: Any) -> tuple[Any, ...]:
        call = ctx._call = flat[-1]
        values = call.inputs.tree(flat[:-1])
        result = _on_plain_arrays(op, values, call.named) if modes.unusual else op.below(values, call.named)
        setup = op.derivative.setup_context if op.derivative is not None else None
        if setup is not None:
            by_name = {"keyword_only_inputs": call.named} if call.named else {}
            setup(ctx=ctx, inputs=values, output=result, **by_name)
        call.output = shape_of(result)
        return tuple(leaves_of(result))

    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        formula = op.derivative.backward if op.derivative is not None else None
        if formula is None:
            raise RuntimeError(
                f"Trying to backward through {op} but no autograd formula was registered. Please use register_autograd to "
                "add one."
            )
        call, needs, given = ctx._call, ctx.needs_input_grad, ctx._call.output.tree(grads)
        ctx.needs_input_grad = call.inputs.tree(needs[:-1])
        try:
            found = formula(ctx, *(given if isinstance(given, tuple) else (given,)))
        finally:
            ctx.needs_input_grad = needs
        return (*_spread(call.inputs, found if isinstance(found, tuple) else (found,)), None)

    def vmap(info: Any, in_dims: tuple[Any, ...], *flat: Any) -> tuple[Any, Any]:
        call = flat[-1]
        values, in_dims = call.inputs.tree(flat[:-1]), call.inputs.tree(in_dims[:-1])
        if op.vmap_rule is None:
            result, dims = _one_by_one(op, info, in_dims, values, call.named)
        else:
            args, by_name = op._schema.given(values, call.named)
            result, dims = op.vmap_rule(info, in_dims[: len(args)], *args, **by_name)
        call.output, leaves, dims = shape_of(result), leaves_of(result), leaves_of(dims)
        return tuple(leaves), tuple(dims * len(leaves) if len(dims) == 1 else dims)

    methods: dict[str, Any] = {"forward": forward, "backward": backward, "vmap": vmap}
    name = f"GeneratedBackwardFor_{op.namespace}_{op._opname}_{op._overloadname}"
    return type(name, (Function,), {key: staticmethod(f) for key, f in methods.items()})


def _spread(inputs: Shape, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    """The gradients of the flat arguments; a None stands for a list of them."""
    if not any(each.inner for each in inputs.inner):
        return grads  # the node itself says whether they are as many
    nests = tuple(Shape(list, None, (Shape(None),) * len(g)) if isinstance(g, list) else Shape(None) for g in grads)
    if len(grads) != len(inputs.inner) or any(
        g is not None and nest != each for g, nest, each in zip(grads, nests, inputs.inner, strict=True)
    ):
        raise RuntimeError(
            "Expected the return from backward to be of the same structure as the inputs. Got: "
            f"{Shape(tuple, None, nests)} (return from backward), {inputs} (inputs)"
        )
    spread: list[Any] = []
    for g, each in zip(grads, inputs.inner, strict=True):
        spread += ([None] * len(each.inner) if g is None else g) if each.inner else [g]
    return tuple(spread)


# -- without a derivative ---------------------------------------------------------------------------------------------


class WarnNotImplemented(Function):
    """Where a gradient ends that would go through an operator without a derivative: it warns, and goes no further."""

    @staticmethod
    def forward(ctx: Any, text: str, outs: tuple[Any, ...], *inputs: Any) -> tuple[Any, ...]:
        ctx.text, ctx.inputs = text, len(inputs)
        return outs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        warnings.warn(ctx.text, UserWarning, stacklevel=2)
        return (None,) * (2 + ctx.inputs)


def unregistered(op: OpOverload, values: Sequence[Any], named: dict[str, Any]) -> Any:
    """Run the kernel of `op`, recorded as far as it consists of operations, and see that a backward through it warns."""
    result = op.below(values, named)
    inputs = [t for t in tensors_in([*values, *named.values()]) if t.requires_grad]
    if not modes.is_grad_enabled() or not inputs:
        return result
    text = (
        f"{op.name()}: an autograd kernel was not registered to the Autograd key(s) but we are trying to backprop through "
        "it. This may lead to silently incorrect behavior. Use register_autograd, or implement it for the key "
        "CompositeImplicitAutograd if it consists of differentiable operations."
    )
    outs = [t for t in leaves_of(result) if isinstance(t, Value) and t._array.dtype.kind not in "biu"]
    for t in outs:
        if t.requires_grad and not any(t is x for x in inputs):  # type: ignore[attr-defined]
            t.register_hook(_Warning(text))  # type: ignore[attr-defined]
    cut = [t for t in outs if not t.requires_grad]  # type: ignore[attr-defined]
    if not cut:
        return result
    made = dict(zip(map(id, cut), WarnNotImplemented.apply(text, tuple(cut), *inputs), strict=True))
    return shape_of(result).tree(made.get(id(t), t) for t in leaves_of(result))


class _Warning:
    """A hook that warns."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, grad: Any) -> None:
        warnings.warn(self.text, UserWarning, stacklevel=2)
