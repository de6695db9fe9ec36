"""Jacobians and Hessians: a derivative for each unit array of a basis, all at once. It must not know any operation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from gradcore import engine
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.graph import Leaf, modes, release, sweep
from gradcore.recorder.around import observed, observers
from gradcore.recorder.inplace import target
from gradcore.recorder.primitive import registry
from gradcore.recorder.value import Value, wrap
from gradcore.transforms import trees
from gradcore.transforms.arguments import Argnums, Arguments
from gradcore.transforms.batches import NeedsLoop
from gradcore.transforms.crossings import batch, lift, unbatch
from gradcore.transforms.derivatives import Recording, push_forward, tensors_only, with_aux
from gradcore.transforms.lifted import Frame, Lifted, inside
from gradcore.transforms.mapping import as_given, name_of, program, vmap

Function = Callable[..., Any]


def refuse_complex(api: str, leaves: Sequence[Any], what: str) -> None:
    """Raise RuntimeError if one of `leaves` is complex."""
    for i, x in enumerate(leaves):
        if isinstance(x, Value) and x._array.dtype.kind == "c":
            raise RuntimeError(
                f"{api}: Expected all {what} to be real but received complex tensor at flattened input idx: {i}"
            )


def basis(x: Value, start: int, stop: int, first: int = 0, rows: int | None = None) -> Value:
    """The unit arrays of the shape of `x` number `start` to `stop`, one after another, from place `first` among `rows`."""
    plain = x._array
    while isinstance(plain, Lifted):
        plain = plain.plain
    F = of(plain)
    with F.on_device(F.device_of(plain)[1]):
        made = F.zeros((stop - start if rows is None else rows, plain.size), plain.dtype)
        F.setitem(made, (F.arange(first, first + stop - start), F.arange(start, stop)), 1)
    return wrap(F.reshape(made, (len(made), *plain.shape)))  # type: ignore[no-any-return]


def chunks(n: int, size: int | None) -> list[tuple[int, int]]:
    """Where the parts of `n` begin and end, of `size` each."""
    size = n if size is None else size
    return [(start, min(start + size, n)) for start in range(0, n, size)] if n else [(0, 0)]


def jacrev(
    func: Function, argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Function:  # fmt: skip
    """Return a function that computes the Jacobian of `func` by reverse mode, all rows (or `chunk_size`) in one sweep.

    For each output, in their nesting, the nesting of the arguments that `argnums` says, of shapes (*output, *argument).
    With `has_aux`, `func` returns (output, aux), and the result is (Jacobian, aux). Raises RuntimeError for complex tensors.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        arguments = Arguments(args, argnums)
        refuse_complex("jacrev", arguments.leaves, "inputs")
        run = program(func, arguments.arrays)
        recording = Recording(func, arguments, lambda xs: run(*arguments.replaced(xs)))
        output, aux = with_aux(recording.output, has_aux, "vjp(f, *primals)")
        leaves, made = trees.flat(output)
        outs = tensors_only(leaves, "vjp(f, *primals)")
        refuse_complex("jacrev", outs, "outputs")
        recording.close([*outs, *(x for x in trees.leaves_of(aux) if isinstance(x, Value))])
        rows = [arguments.tree(_rows(recording, i, out, chunk_size)) for i, out in enumerate(outs)]
        found = as_given(made.tree(rows), arguments.arrays)
        return (found, as_given(trees.mapped(recording.released, aux), arguments.arrays)) if has_aux else found

    return wrapper


def _rows(recording: Recording, i: int, out: Value, chunk_size: int | None) -> list[Value]:
    """The Jacobian of output number `i` by each input."""
    n = len(recording.outs)

    def pull(seed: Value) -> list[Value]:
        return recording.pulled([seed if k == i else None for k in range(n)], True)

    reshape, join = registry["reshape"].function, registry["concatenate"].function
    parts = [vmap(pull)(basis(out, start, stop)) for start, stop in chunks(out._array.size, chunk_size)]
    columns = [part[0] if len(part) == 1 else join(*part, axis=0) for part in zip(*parts, strict=True)]
    return [reshape(c, shape=(*out._array.shape, *c._array.shape[1:])) for c in columns]


def jacfwd(func: Function, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error") -> Function:
    """Return a function that computes the Jacobian of `func` by forward mode, all columns at once. As `jacrev`."""

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        arguments = Arguments(args, argnums)
        refuse_complex("jacfwd", arguments.leaves, "inputs")
        kept: dict[str, Any] = {}
        run, leaves, beside = program(func, arguments.arrays), arguments.leaves, arguments.beside()
        n = len(leaves)

        def push(*tangents: Value) -> Any:
            # What is not differentiated enters, too, so that it can be overwritten by what is.
            moving = (*tangents, *(None for _ in beside))
            given = (*leaves, *beside)
            result = push_forward(lambda *xs: run(*arguments.replaced(xs[:n], xs[n:])), given, moving, False, has_aux)
            moved, kept["shape"] = trees.flat(result[1])
            refuse_complex("jacfwd", moved, "outputs")
            return tuple(moved), result[2] if has_aux else None

        push.__name__ = name_of(run)
        columns, aux = vmap(push, out_dims=(-1, None), randomness=randomness)(*_bases(leaves))
        rows = [arguments.tree(list(_parts(c, leaves))) for c in columns]
        found = as_given(kept["shape"].tree(rows), arguments.arrays)
        return (found, as_given(aux, arguments.arrays)) if has_aux else found

    return wrapper


def _bases(leaves: Sequence[Any]) -> list[Value]:
    """A batch of tangents for each leaf: its unit arrays in their turn, where the others have zeros."""
    for x in leaves:
        if not isinstance(x, Value):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
    sizes = [x._array.size for x in leaves]
    return [basis(x, 0, n, sum(sizes[:j]), sum(sizes)) for j, (x, n) in enumerate(zip(leaves, sizes, strict=True))]


def _parts(columns: Value, leaves: Sequence[Value]) -> Iterator[Value]:
    """The columns of a Jacobian that belong to each leaf, in its shape."""
    reshape, part, start = registry["reshape"].function, registry["basic_getitem"].function, 0
    for x in leaves:
        end = start + x._array.size
        own = columns if len(leaves) == 1 else part(columns, index=(..., slice(start, end)))
        yield reshape(own, shape=(*columns._array.shape[:-1], *x._array.shape))
        start = end


def hessian(func: Function, argnums: Argnums = 0) -> Function:
    """Return a function that computes the second derivatives of `func`: forward over reverse mode."""
    return jacfwd(jacrev(func, argnums), argnums)


def pulled_at_once(
    outputs: Sequence[Value], inputs: Sequence[Value], gradients: Sequence[Value | None], retain: bool, traced: bool
) -> list[Value | None]:
    """As `engine.grad`, with one more dimension in front of each of `gradients` and of the results, in one sweep."""
    size = next(g._array.shape[0] for g in gradients if g is not None)
    frame = Frame(size)
    before = host.noise()
    try:
        host.quiet()
        with inside(frame), modes.enable_grad() if traced else modes.no_grad():
            seeds = [None if g is None else batch(g, axis=0, frame=frame) for g in gradients]
            landed = pulled_by_operations(outputs, inputs, seeds, True)
            found = [None if c is None else unbatch(lift(c, frame), axis=0, frame=frame) for c in landed]
    except NeedsLoop as needed:
        if needed.frame is not frame:
            raise
        return _pulled_one_by_one(outputs, inputs, gradients, retain, traced)
    finally:
        host.unquiet(before)
    if not retain:  # only now, for a loop needs what was saved
        ends, wanted = ([at for x in xs if (at := target(x)) is not None] for xs in (outputs, inputs))
        release(ends, set(wanted))
    return found if traced else [None if c is None else wrap(c._array) for c in found]


def pulled_by_operations(
    outputs: Sequence[Value], inputs: Sequence[Value], gradients: Sequence[Value | None], retain: bool
) -> list[Value | None]:
    """As `engine.grad`, by operations on Tensors, which take values of any level to nodes of any level."""
    targets, cotangents = engine.seeds(outputs, gradients, True)
    wanted = [target(x) for x in inputs]
    with observed(targets, set(wanted)) if observers else nullcontext():
        found, _ = sweep(targets, cotangents, set(wanted), retain, True)
        for where in found:
            for hook in (isinstance(where, Leaf) and where.hooks) or ():
                found[where] = hook(found[where])
    return [found.get(where) for where in wanted]


def _pulled_one_by_one(
    outputs: Sequence[Value], inputs: Sequence[Value], gradients: Sequence[Any], retain: bool, traced: bool
) -> list[Value | None]:
    n = len(gradients[0])
    rows = [engine.grad(outputs, inputs, [g[i] for g in gradients], retain or i < n - 1, traced) for i in range(n)]
    stack = registry["stack"].function
    return [None if column[0] is None else stack(*column, axis=0) for column in zip(*rows, strict=True)]


def unit_arrays(x: Value) -> Iterator[Value]:
    """The unit arrays of the shape of `x`, of which few exist at a time."""
    for start, stop in chunks(x._array.size, _FEW):
        rows = basis(x, start, stop)._array
        for i in range(stop - start):
            yield wrap(of(rows).as_array(rows[i]))


_FEW = 32


def unit_rows(x: Value) -> Value:
    """The unit arrays of the shape of `x`, one after another."""
    return basis(x, 0, x._array.size)
