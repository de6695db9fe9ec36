"""Transforms of functions into functions of their derivatives. It must not know any operation.

Reverse mode is the recorder's: the inputs become leaves, or aliases of values with a history, and the sweep is recorded only
if something else than these leaves can be reached, for only then can anybody differentiate it. Forward mode is dual numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.graph import Leaf, modes, sweep
from gradcore.recorder import errors, views
from gradcore.recorder.around import observed, observers
from gradcore.recorder.primitive import registry
from gradcore.recorder.record import cast
from gradcore.recorder.value import Value, wrap
from gradcore.size import Size
from gradcore.transforms import lifted, trees
from gradcore.transforms.arguments import Argnums, Arguments
from gradcore.transforms.crossings import lift, pair, primal_part, tangent_part
from gradcore.transforms.lifted import Frame, Lifted, inside, zeros_like
from gradcore.transforms.mapping import as_given, as_value, of_arrays, program
from gradcore.transforms.reaching import leads_out, origin, spend
from gradcore.transforms.tangents import Dual

Function = Callable[..., Any]


# -- reverse mode -----------------------------------------------------------------------------------------------------


def _entered(x: Any, recorded: bool) -> Value:
    """`x` as a value to differentiate with respect to, of the level of the innermost transform."""
    if not isinstance(x, Value):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
    if x._array.dtype.kind in "biu":
        raise RuntimeError(
            f"only Tensors of floating point dtype can require gradients (got {dtypes.of(x._array.dtype)} of shape "
            f"{list(x._array.shape)})"
        )
    frames = lifted.active()
    x = lift(x, frames[-1]) if frames else x
    if recorded and origin(x) is not None:
        return registry["alias"].function(x)  # type: ignore[no-any-return]
    return wrap(x._array, Leaf())  # type: ignore[no-any-return]


class Recording:
    """A function run with its inputs as leaves: what it returned, and how to pull cotangents back to the inputs."""

    def __init__(self, function: Callable[[], Any], arguments: Arguments, run: Callable[[list[Value]], Any]) -> None:
        self.outside = modes.is_grad_enabled()
        self.constants = [x for x in map(views.root, arguments.beside()) if x._node is None]
        with modes.enable_grad():
            self.xs = [_entered(x, True) for x in arguments.leaves]
            self.output = run(self.xs)
        self.function = function

    def close(self, outs: Sequence[Value]) -> None:
        """Take `outs` for the outputs."""
        self.outs = list(outs)
        entered = {x._node for x in self.xs}
        self.others = leads_out(self.outs, entered)
        spend(entered)
        written = [x for x in self.constants if x._node is not None and not leads_out([x], set())]
        if written:
            self.outs = [wrap(x._array, origin(x)) for x in self.outs]
        for x in written:
            x._node = None
            views.family_changed(x)

    def released(self, x: Any) -> Any:
        """A result as it is seen outside: a constant unless something outside can be reached."""
        return x if (self.others and self.outside) or not isinstance(x, Value) else wrap(x._array)

    def pulled(self, seeds: Sequence[Value | None], retain: bool) -> list[Value]:
        """The cotangents of the inputs for those of the outputs; zeros where there is no path."""
        given = [(out, seed) for out, seed in zip(self.outs, seeds, strict=True) if seed is not None]
        roots = [(origin(out), out, seed) for out, seed in given if origin(out) is not None]
        wanted = {x._node for x in self.xs}
        recorded = modes.is_grad_enabled() and (self.others or any(origin(seed) is not None for _, seed in given))
        retain = retain or self.others
        targets: list[Any] = [root for root, _, _ in roots]
        looking = observed(targets, wanted) if observers else None  # type: ignore[arg-type]
        before = host.noise()
        try:
            host.quiet()
            if recorded or any(_level(seed) > _level(out) for _, out, seed in roots):
                with modes.enable_grad() if recorded else modes.no_grad():
                    found, _ = sweep(targets, [seed for _, _, seed in roots], wanted, retain, True)  # type: ignore[arg-type]
            else:
                found, _ = sweep(targets, [seed._array for _, _, seed in roots], wanted, retain)  # type: ignore[arg-type]
        finally:
            host.unquiet(before)
            if looking is not None:
                looking.close()
        landed = [_landed(x, found.get(x._node)) for x in self.xs]  # type: ignore[arg-type]
        return landed if recorded else [wrap(c._array) for c in landed]


def _level(x: Value) -> int:
    return x._array.frame.level if isinstance(x._array, Lifted) else 0


def _landed(x: Value, c: Any) -> Value:
    if c is None:
        return wrap(zeros_like(x._array))  # type: ignore[no-any-return]
    value = c if isinstance(c, Value) else wrap(of(c).as_array(c))
    if value._array.dtype.kind == "c" and x._array.dtype.kind != "c":
        value = registry["real"].function(value)
    if value._array.dtype != x._array.dtype:
        value = cast(value, x._array.dtype)
    # A cotangent may share memory with values, or with another cotangent.
    return value if value._node is not None or type(value._array) is not host.Array else wrap(value._array.copy())


def _seed(out: Value) -> Value:
    return wrap(of(out._array).ones_like(out._array))  # type: ignore[no-any-return]


def with_aux(output: Any, has_aux: bool, api: str) -> tuple[Any, Any]:
    if not has_aux:
        return output, None
    if not (isinstance(output, tuple) and len(output) == 2):
        raise RuntimeError(f"{api}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return output


def grad_and_value(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return a function that computes the gradient of `func`, which returns a scalar, and its value: (gradient, value).

    The gradient has the nesting of the arguments that `argnums` says. With `has_aux`, `func` returns (value, aux), and so
    does the result in place of the value. Plain arrays are taken and returned, too. Raises RuntimeError for no scalar.
    """
    api = "grad_and_value(f)(*args)"

    @functools.wraps(func)
    def wrapper(*args: Any, **keywords: Any) -> Any:
        arguments = Arguments(args, argnums)
        run = program(func, arguments.arrays)
        recording = Recording(func, arguments, lambda xs: run(*arguments.replaced(xs), **keywords))
        output, aux = with_aux(recording.output, has_aux, api)
        output = as_value(output)
        if not isinstance(output, Value):
            raise RuntimeError(f"{api}: Expected f(*args) to return a Tensor, got {type(output)}")
        if output._array.ndim:
            raise RuntimeError(
                f"{api}: Expected f(*args) to return a scalar Tensor, got tensor with {output._array.ndim} dims. Maybe you "
                "wanted to use the vjp or jacrev APIs instead?"
            )
        if output._array.dtype.kind == "c":
            raise RuntimeError(
                f"grad can be implicitly created only for real scalar outputs but got {dtypes.of(output._array.dtype)}"
            )
        recording.close([output, *(x for x in trees.leaves_of(aux) if isinstance(x, Value))])
        gradients = recording.pulled([_seed(output), *[None] * (len(recording.outs) - 1)], False)
        value = recording.released(output)
        kept = (value, trees.mapped(recording.released, aux)) if has_aux else value
        return as_given((arguments.tree(gradients), kept), arguments.arrays)

    return wrapper


def grad(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return a function that computes the gradient of `func`, which returns a scalar; with `has_aux`, (gradient, aux).

    See `grad_and_value`.
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **keywords: Any) -> Any:
        gradient, value = both(*args, **keywords)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def tensors_only(leaves: Sequence[Any], api: str) -> list[Value]:
    leaves = list(map(as_value, leaves))
    if not leaves:
        raise RuntimeError(f"{api}: Expected f to be a function that has non-empty output (got output = [])")
    for x in leaves:
        if not isinstance(x, Value):
            raise RuntimeError(f"{api}: expected f(*primals) to return only tensors, got unsupported type {type(x)}")
    return leaves


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """Return `func(*primals)` and a function from cotangents of its outputs to a tuple of those of the primals.

    That function may be called many times. With `has_aux`, `func` returns (output, aux), and aux is returned third.
    Raises RuntimeError for outputs that are not floating or complex.
    """
    return _vjp(func, primals, has_aux, "vjp(f, *primals)", tuple(range(len(primals))))


def _vjp(func: Function, primals: tuple[Any, ...], has_aux: bool, api: str, argnums: Any) -> Any:
    arguments = Arguments(primals, argnums)
    run = program(func, arguments.arrays)
    recording = Recording(func, arguments, lambda xs: run(*arguments.replaced(xs)))
    output, aux = with_aux(recording.output, has_aux, api)
    leaves, shape = trees.flat(output)
    outs = tensors_only(leaves, api)
    for out in outs:
        if out._array.dtype.kind in "biu":
            raise RuntimeError(
                "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got Tensor with dtype "
                f"{dtypes.of(out._array.dtype)}"
            )
    recording.close([*outs, *(x for x in trees.leaves_of(aux) if isinstance(x, Value))])
    rest = [None] * (len(recording.outs) - len(outs))

    def pull(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        """Return the products of the cotangents with the Jacobian."""
        seeds, found = trees.flat(cotangents)
        if found != shape:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {found}, primal output: {shape}"
            )
        seeds = [_checked(i, as_value(seed), out) for i, (seed, out) in enumerate(zip(seeds, outs, strict=True))]
        with modes.set_grad_enabled(modes.is_grad_enabled() if create_graph is None else create_graph):
            pulled = recording.pulled([*seeds, *rest], retain_graph)
        return as_given(arguments.tree(pulled), arguments.arrays)

    value = as_given(shape.tree(map(recording.released, outs)), arguments.arrays)
    return (value, pull, as_given(trees.mapped(recording.released, aux), arguments.arrays)) if has_aux else (value, pull)


def _checked(i: int, seed: Any, out: Value) -> Value:
    if seed is None:
        if out._array.size != 1:
            raise RuntimeError(
                f"grad can be implicitly created only for scalar outputs (cotangent {i} is None, the output has shape "
                f"{list(out._array.shape)})"
            )
        return _seed(out)
    if not isinstance(seed, Value):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(seed).__name__} (cotangent {i})")
    if seed._array.shape != out._array.shape:
        raise errors.shape_of_seed(seed, out, i)
    if seed._array.dtype.kind == "c" and out._array.dtype.kind != "c":
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"cotangent {i} has {dtypes.of(seed._array.dtype)}, the output {dtypes.of(out._array.dtype)}"
        )
    return seed if seed._array.dtype == out._array.dtype else cast(seed, out._array.dtype)


# -- forward mode -----------------------------------------------------------------------------------------------------


def check_tangent(primal: Any, tangent: Any) -> None:
    """Raise ValueError or RuntimeError if `tangent` cannot be one of `primal`."""
    for what, x in (("primal", primal), ("tangent", tangent)):
        if x._array.dtype.kind in "biu":
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {dtypes.of(x._array.dtype)}")
    if primal._array.shape != tangent._array.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(primal._array.shape)} while the given forward gradient is of size "
            f"{list(tangent._array.shape)}."
        )


def jvp(
    func: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...], *, strict: bool = False, has_aux: bool = False
) -> Any:
    """Return `func(*primals)` and the product of its Jacobian with `tangents`, of the nesting and shapes of the primals.

    `strict` refuses an output that does not depend on the primals. With `has_aux`, `func` returns (output, aux), and aux is
    returned third. Raises RuntimeError for nestings or shapes that differ, ValueError for integers.
    """
    for name, x in (("primals", primals), ("tangents", tangents)):
        if not isinstance(x, tuple):
            raise RuntimeError(
                f"jvp(f, primals, tangents): Expected {name} to be a tuple. E.g. it should be valid to call f(*primals)."
            )
        if not x:
            raise RuntimeError(f"jvp(f, primals, tangents): Expected {name} to be a non-empty tuple of Tensors.")
    shape, other = trees.shape_of(primals), trees.shape_of(tangents)
    if shape != other:
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python structure. For example, if "
            f"primals is a tuple of 3 tensors, tangents also must be. Got primals with structure {shape} and tangents with "
            f"structure {other}"
        )
    return push_forward(func, primals, trees.leaves_of(tangents), strict, has_aux)


def push_forward(
    func: Function, primals: tuple[Any, ...], tangents: Sequence[Any], strict: bool = False, has_aux: bool = False
) -> Any:
    """`jvp` with a tangent, or None, for each leaf of the primals."""
    leaves, shape = trees.flat(primals)
    arrays = of_arrays(leaves)
    func = program(func, arrays)
    leaves, tangents = list(map(as_value, leaves)), list(map(as_value, tangents))
    for x, t in zip(leaves, tangents, strict=True):
        if t is not None:
            for name, each in (("primals", x), ("tangents", t)):
                if not isinstance(each, Value):
                    raise RuntimeError(
                        f"jvp(f, primals, tangents): Expected {name} to only contain Tensors, got {type(each)}"
                    )
            check_tangent(x, t)
    frame = Frame()
    with inside(frame):
        duals = [_moving(x, t, frame) for x, t in zip(leaves, tangents, strict=True)]
        output, aux = with_aux(func(*shape.tree(duals)), has_aux, "jvp(f, primals, tangents)")
        outs, made = trees.flat(output)
        outs = tensors_only(outs, "jvp(f, primals, tangents)")
        if strict and not all(_moves(x._array, frame) for x in outs):
            raise RuntimeError(
                "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not allowed "
                "with strict=True."
            )
        values = made.tree(primal_part(x, frame=frame) for x in outs)
        moved = made.tree(tangent_part(x, frame=frame) for x in outs)
        if has_aux:
            aux = trees.mapped(lambda x: primal_part(x, frame=frame) if isinstance(x, Value) else x, aux)
    return as_given((values, moved, aux) if has_aux else (values, moved), arrays)


def _moves(array: Any, frame: Frame) -> bool:
    return isinstance(array, Dual) and array.frame is frame and array.tangent is not None


def _moving(x: Any, t: Any, frame: Frame) -> Any:
    if t is not None:
        return pair(x, cast_like(t, x), frame=frame)
    # A constant of the frame, so that a gradient inside it is one of the frame, too.
    return lift(x, frame) if isinstance(x, Value) else x


def cast_like(t: Value, x: Value) -> Value:
    """`t` as a tangent of `x`: in its dtype and, as in torch, not in the memory of another layout than that of `x`."""
    a, b = t._array, x._array
    if a.dtype != b.dtype:
        return cast(t, b.dtype)
    if isinstance(a, Lifted) or isinstance(b, Lifted) or _laid_out(a) == _laid_out(b):
        return t
    return registry["copy"].function(t)  # type: ignore[no-any-return]


def _laid_out(array: Any) -> Any:
    shape, strides, offset = views.layout_of(array)
    return offset, of(array).storage(array).size, *(s for s, n in zip(strides, shape, strict=True) if n != 1)


def linearize(func: Function, *primals: Any) -> tuple[Any, Function]:
    """Return `func(*primals)` and its derivative there, a linear function of tangents that does not run `func` again."""
    arguments = Arguments(primals, tuple(range(len(primals))))
    outside = modes.is_grad_enabled()
    with modes.enable_grad():
        xs = [_entered(x, True) for x in arguments.leaves]
        output, pull = vjp(program(func, arguments.arrays), *arguments.replaced(xs))
        outs, made = trees.flat(output)
        seeds = [_entered(wrap(zeros_like(out._array)), False) for out in outs]
        pulled = trees.leaves_of(pull(made.tree(seeds), create_graph=True))
    linear = _Linear(seeds, pulled)
    spend(x._node for x in (*xs, *seeds))
    linear.others = leads_out(pulled, set())

    def push(*tangents: Any) -> Any:
        """Return the product of the Jacobian with the tangents."""
        given, found = trees.flat(tangents)
        if found != arguments.shape:
            raise RuntimeError(f"Expected the tangents {found} to have the same argspec as the primals {arguments.shape}")
        given = list(map(as_value, given))
        for i, (t, x) in enumerate(zip(given, xs, strict=True)):
            if t._array.shape != x._array.shape:
                raise RuntimeError(
                    f"tangent:{i} with shape {Size(t._array.shape)} in flattened pytree doesn't match the shape "
                    f"{Size(x._array.shape)} of the corresponding primal."
                )
            if t._array.dtype != x._array.dtype and not arguments.arrays:
                raise RuntimeError(
                    f"tangent:{i} with dtype {dtypes.of(t._array.dtype)} in flattened pytree doesn't match the dtype "
                    f"{dtypes.of(x._array.dtype)} of the corresponding primal."
                )
        return as_given(
            made.tree(linear.pulled([cast_like(t, x) for t, x in zip(given, xs, strict=True)], True)), arguments.arrays
        )

    value = as_given(made.tree(x if outside and leads_out([x], set()) else wrap(x._array) for x in outs), arguments.arrays)
    return value, push


class _Linear(Recording):
    """A recording of a function that is linear in its inputs."""

    def __init__(self, xs: list[Value], outs: list[Value]) -> None:
        self.xs, self.outs, self.others = xs, outs, False
