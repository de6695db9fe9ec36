"""A user's Function inside a transform: its `jvp` for tangents, its `vmap` for batches. It must not know any primitive.

A Function runs on values of a transform as on any others, and its `backward` too; what is left is the tangents of its
results, which are not those of the operations inside `forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gradcore.backends import of
from gradcore.graph import Leaf, modes, sweep
from gradcore.recorder.primitive import registry
from gradcore.recorder.value import Value, wrap
from gradcore.transforms import trees
from gradcore.transforms.batches import Batched
from gradcore.transforms.crossings import batch, lift, primal_part, tangent_part, unbatch
from gradcore.transforms.lifted import Frame, Lifted, evaluate, top_of, zeros_like
from gradcore.transforms.mapping import place, randomness_in
from gradcore.transforms.tangents import Dual

Array = Any


class VmapInfo(NamedTuple):
    """What a Function's `vmap` is told."""

    batch_size: int
    randomness: str


def on_one_level(args: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments with the tensors among them as values of the innermost transform that any of them is of."""
    top = top_of([a._array for a in args if isinstance(a, Value)])
    return tuple(args) if top is None else tuple(lift(a, top.frame) if isinstance(a, Value) else a for a in args)


def mapped(cls: Any, args: tuple[Any, ...]) -> Any:
    """What the `vmap` of a Function makes of arguments of a batch; NotImplemented if it has none, or there is no batch."""
    top = top_of([a._array for a in args if isinstance(a, Value)])
    if not isinstance(top, Batched) or not cls.has_vmap():
        return NotImplemented
    if cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overridden vmap "
            "staticmethod. Please set generate_vmap_rule=False or delete the overridden vmap staticmethod to avoid ambiguity"
        )
    frame = top.frame
    which = [_is_of(a, frame) and (a._array.mapped or a._node is not None) for a in args]
    given = [
        unbatch(a, axis=0, frame=frame) if yes else wrap(a._array.data) if _is_of(a, frame) else a
        for a, yes in zip(args, which, strict=True)
    ]
    pair = cls.vmap(VmapInfo(frame.size, randomness_in(frame)), tuple(0 if yes else None for yes in which), *given)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise RuntimeError(
            "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure compatible "
            f"with the output. Got a {type(pair)} instead ({cls.__name__})"
        )
    leaves, shape = trees.flat(pair[0])
    dims = trees.spread(pair[1], shape)
    if dims is None:
        raise RuntimeError(
            "The autograd.Function's vmap staticmethod returned an incompatible (output, out_dims) tuple. Expected out_dims="
            f"{pair[1]} to be compatible with the structure of `output`. out_dims has structure {trees.shape_of(pair[1])} "
            f"but output has structure {shape} ({cls.__name__})"
        )
    return shape.tree(_entered(x, dim, frame) for x, dim in zip(leaves, dims, strict=True))


def _is_of(a: Any, frame: Frame) -> bool:
    return isinstance(a, Value) and isinstance(a._array, Batched) and a._array.frame is frame


def _entered(x: Any, dim: int | None, frame: Frame) -> Any:
    return batch(x, axis=place(dim, x._array.ndim), frame=frame) if isinstance(x, Value) and dim is not None else x


# -- tangents ---------------------------------------------------------------------------------------------------------


def _frames(array: Array) -> list[Frame]:
    """The frames of forward mode in which `array` has a tangent."""
    found = []
    while isinstance(array, Lifted):
        if isinstance(array, Dual) and array.tangent is not None:
            found.append(array.frame)
        array = array.primal if isinstance(array, Dual) else array.data
    return found


class Pushed(NamedTuple):
    """The arguments of a Function that have tangents in `frame`: their values and tangents before it ran."""

    frame: Frame
    primals: tuple[Any, ...]
    tangents: tuple[Any, ...]


def pushed(args: tuple[Any, ...]) -> Pushed | None:
    """What `with_tangents` needs to know of the arguments. Nothing if none of them has a tangent."""
    frames = [frame for a in args if isinstance(a, Value) for frame in _frames(a._array)]
    if not frames:
        return None
    frame = max(frames, key=lambda each: each.level)
    # `forward` may overwrite its arguments, and will run a second time on these.
    return Pushed(
        frame,
        tuple(_owned(primal_part, a, frame) if isinstance(a, Value) else a for a in args),
        tuple(
            _owned(tangent_part, a, frame) if isinstance(a, Value) and a._array.dtype.kind not in "biu" else None
            for a in args
        ),
    )


def with_tangents(cls: Any, before: Pushed, output: Any) -> Any:
    """What `forward` returned with the tangents that the Function's own derivative gives."""
    frame, primals, tangents = before
    ctx, below = cls.run(primals)
    ctx.kept = ctx.saved_for_forward or ctx.to_save
    outs = output if isinstance(output, tuple) else (output,)
    values = below if isinstance(below, tuple) else (below,)
    moved = cls.jvp(ctx, *tangents) if cls.has_jvp() else _transposed(cls, ctx, values, tangents)
    moved = moved if isinstance(moved, tuple) else (moved,)
    if len(moved) != len(outs):
        raise RuntimeError(
            f"function {cls.__name__} returned an incorrect number of tangents from jvp (expected {len(outs)}, got "
            f"{len(moved)})"
        )
    for i, (out, value, t) in enumerate(zip(outs, values, moved, strict=True)):
        constant = not isinstance(out, Value) or any(value is each for each in ctx.non_differentiable)
        if constant or out._array.dtype.kind in "biu":
            if t is not None and cls.has_jvp():
                raise RuntimeError(
                    f"function {cls.__name__} returned a tangent from jvp at position {i}, but the output of forward there "
                    "is not differentiable: return None at that position instead"
                )
            if isinstance(out, Value):
                out._array = _part(primal_part, out, frame)
            continue
        _check(cls, value, t)
        made = zeros_like(value._array) if t is None else t._array
        out._array = evaluate(registry["pair"], _part(primal_part, out, frame), made, frame=frame)
    return output


def _owned(crossing: Any, a: Value, frame: Frame) -> Value:
    array = _part(crossing, a, frame)
    return wrap(of(array).owned(array))  # type: ignore[no-any-return]


def _part(crossing: Any, a: Value, frame: Frame) -> Array:
    return evaluate(crossing.primitive, a._array, frame=frame)


def _check(cls: Any, value: Value, t: Any) -> None:
    if t is not None and (not isinstance(t, Value) or t._array.shape != value._array.shape):
        have = list(t._array.shape) if isinstance(t, Value) else type(t).__name__
        raise RuntimeError(
            f"function {cls.__name__} returned an invalid tangent from jvp: expected a Tensor of shape "
            f"{list(value._array.shape)}, got {have}"
        )


def _transposed(cls: Any, ctx: Any, values: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, ...]:
    """Without a `jvp`: `backward` is linear in the gradients, and its transpose is the derivative."""
    ctx.needs_input_grad = tuple(t is not None for t in tangents)
    top = top_of([t._array for t in tangents if t is not None])
    seeds = [_seed(value, top) if isinstance(value, Value) else None for value in values]
    with modes.enable_grad():
        pulled = cls.pulled(ctx, list(seeds))
    pulled = pulled if isinstance(pulled, tuple) else (pulled,)
    pairs = [
        (c._node, t._array)
        for c, t in zip(pulled, tangents, strict=False)
        if isinstance(c, Value) and t is not None and c._node is not None
    ]
    wanted: Any = {seed._node for seed in seeds if seed is not None}
    found: Any = sweep([node for node, _ in pairs], [t for _, t in pairs], wanted)[0] if pairs else {}
    return tuple(None if seed is None or seed._node not in found else wrap(found[seed._node]) for seed in seeds)


def _seed(value: Value, top: Any) -> Value:
    """A gradient of zero, of the level of the tangents, from which the derivative is recorded."""
    zero = zeros_like(value._array)
    level = zero.frame.level if isinstance(zero, Lifted) else 0
    return wrap(top.lift(zero) if top is not None and top.frame.level > level else zero, Leaf())  # type: ignore[no-any-return]
