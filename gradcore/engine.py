"""Between Tensors and the sweep: seeds, `backward`, `grad`, accumulation. It must not know any operation but `+`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from types import NoneType
from typing import Any

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.graph import Leaf, modes, sweep, versions
from gradcore.graph.node import Target
from gradcore.graph.sweep import Swept
from gradcore.recorder import errors, hooks, views
from gradcore.recorder.around import observed as entered
from gradcore.recorder.around import observers as observers
from gradcore.recorder.hooks import LeafHooks, add_hook, after_accumulation, before_accumulation
from gradcore.recorder.inplace import retainer, store, target
from gradcore.recorder.record import cast, copied
from gradcore.recorder.value import Value, meta, result_type, wrap

_landing = threading.Lock()
noise, quiet, unquiet = host.noise, host.quiet, host.unquiet
host_array = host.Array
unusual, new = modes.unusual, object.__new__

Removable = hooks.RemovableHandle


def backward(
    tensors: Sequence[Value],
    gradients: Sequence[Value | None],
    retain: bool,
    traced: bool,
    inputs: Sequence[Value] | None = None,
) -> None:
    """Accumulate into `.grad` of the leaves (of `inputs` only, if given) the vector-Jacobian products of `tensors`."""
    lifted = False
    if tensors and (unusual or type(tensors[0]._array) is not host.Array):
        lifted = not traced and _lifted((*tensors, *gradients))
        if not lifted and (there := _elsewhere(tensors[0]._array)):
            with there:
                backward(tensors, gradients, retain, traced, inputs)
            return
    targets, cotangents = seeds(tensors, gradients, traced or lifted)
    wanted = None if inputs is None else {_wanted(_retaining(t), i, "backward") for i, t in enumerate(inputs)}
    observed = entered(targets, wanted) if observers else None
    if traced or lifted:
        with modes.enable_grad() if traced else modes.no_grad(), observed or ExitStack():
            swept = sweep(targets, cotangents, wanted, retain, True)
            _land(swept if traced else ({where: c._array for where, c in swept[0].items()}, {}))
        return
    before = noise()
    try:
        quiet()
        _land(sweep(targets, cotangents, wanted, retain))
    except MemoryError as error:
        raise errors.out_of_memory_in_sweep(error) from error
    finally:
        unquiet(before)
        if observed is not None:
            observed.close()


def backward_of_one(t: Value, retain: bool | None) -> None:
    """What `backward` does for one host scalar, without detours."""
    array, where = t._array, t._node
    seed = _ones.get((array.dtype, array.shape)) if type(array) is host_array else None
    if seed is None or where is None or t._meta is not None or unusual or observers:
        backward((t,), (None,), bool(retain), False)
        return
    before = noise()
    try:
        quiet()
        _land(sweep((where,), (seed,), None, retain))
    except MemoryError as error:
        raise errors.out_of_memory_in_sweep(error) from error
    finally:
        unquiet(before)


def _land(swept: Swept) -> None:
    """Accumulate what a sweep found: hooks have all run, and all is made that takes memory, before a gradient changes."""
    landed, owned = swept
    watched: Sequence[tuple[Leaf, Value, Any]] = ()  # leaves with hooks of the accumulation itself
    for where in landed:
        if where.hooks and type(where) is Leaf:
            _run_hooks(where, landed, owned)
            if type(where.hooks) is LeafHooks and (owner := where.hooks.owner()) is not None:
                landed[where] = c = before_accumulation(where, landed[where])
                watched = (*watched, (where, owner, c))
    if len(landed) == 1:
        ((where, c),) = landed.items()
        if type(where) is Leaf and c is not None and (t := where.owner()) is not None:
            accumulate(t, c, where in owned)
    else:
        _commit([
            _ready(t, c, where in owned)
            for where, c in landed.items()
            if type(where) is Leaf and c is not None and (t := where.owner()) is not None
        ])
    for each in watched:
        after_accumulation(*each)


def _run_hooks(where: Leaf, landed: dict[Target, Any], owned: dict[Target, bool]) -> None:
    c = landed[where]
    for hook in where.hooks or ():
        c = hook(c)
    landed[where] = c
    owned.pop(where, None)


def grad(
    outputs: Sequence[Value],
    inputs: Sequence[Value],
    gradients: Sequence[Value | None],
    retain: bool,
    traced: bool,
) -> list[Value | None]:
    """The vector-Jacobian products of `outputs` with respect to `inputs`, None where there is no path."""
    lifted = False
    if outputs and (unusual or type(outputs[0]._array) is not host.Array):
        lifted = not traced and _lifted((*outputs, *gradients))
        if not lifted and (there := _elsewhere(outputs[0]._array)):
            with there:
                return grad(outputs, inputs, gradients, retain, traced)
    roots, seeded = seeds(outputs, gradients, traced or lifted)
    targets = [_wanted(t, i, "grad") for i, t in enumerate(inputs)]
    observed = entered(roots, set(targets)) if observers else None
    before = noise()
    try:
        quiet()
        with modes.enable_grad() if traced else modes.no_grad():
            landed, owned = sweep(roots, seeded, set(targets), retain, traced or lifted)
            for where in landed:
                if type(where) is Leaf and where.hooks:
                    _run_hooks(where, landed, owned)
    except MemoryError as error:
        raise errors.out_of_memory_in_sweep(error) from error
    finally:
        unquiet(before)
        if observed is not None:
            observed.close()
    cotangents = [landed.get(where) for where in targets]
    if traced:
        return cotangents
    if lifted:
        cotangents = [None if c is None else c._array for c in cotangents]
    return [None if c is None else wrap(_own(t, c)) for t, c in zip(inputs, cotangents, strict=True)]


def _lifted(values: Sequence[Any]) -> bool:
    """Whether an array of a transform is among them, which nodes older than it take only by operations that mix levels."""
    for x in values:
        if isinstance(x, Value):
            views.follow(x)
            if hasattr(x._array, "frame"):
                return True
    return False


def _elsewhere(array: Any) -> AbstractContextManager[Any] | None:
    """The way to the device of `array` if it is not the current one, where cotangents would be added up."""
    F = of(array)
    index = F.device_of(array)[1]
    return None if index == F.current_device() else F.on_device(index)


def _retaining(t: Value) -> Value:
    """One of the `inputs` of backward, which keeps its gradient from now on if it is no leaf."""
    if t._array is not None and not isinstance(target(t), (Leaf, NoneType)) and not meta(t).retains:
        meta(t).retains = True
        retain_grad(t)
    return t


def _wanted(t: Value, index: int, op: str) -> Target:
    where: Target | None = target(t)
    if where is None:
        sentence = {
            "grad": "One of the differentiated Tensors does not require grad",
            "backward": "can't retain_grad on Tensor that has requires_grad=False",
        }[op]
        raise RuntimeError(
            f"{sentence} ({op}: input {index}, shape "
            f"{list(t._array.shape)}). Call requires_grad_() on it before it is used"
        )
    return where


def seeds(
    tensors: Sequence[Value], gradients: Sequence[Value | None], traced: bool
) -> tuple[list[Target], list[Any]]:
    """Where the sweep starts and with which cotangents; all checks are here, so that a wrong call changes nothing."""
    targets: list[Target] = []
    cotangents: list[Any] = []
    for i, t in enumerate(tensors):
        where = t._node if t._meta is None else target(t)
        if where is None:
            raise RuntimeError(
                f"element {i} of tensors does not require grad and does not have a grad_fn: {errors.why_no_grad(t)}"
            )
        targets.append(where)
        given = gradients[i]
        if given is None:
            array = t._array
            seed = _ones.get((array.dtype, array.shape)) if type(array) is host.Array else None
            if seed is None:
                seed = _one(i, array)
            cotangents.append(wrap(of(seed).copy(seed)) if traced else seed)
        else:
            _check_seed(i, t, given)
            g = given if given._array.dtype == t._array.dtype else cast(given, t._array.dtype)
            cotangents.append(g if traced else g._array)
    return targets, cotangents


_ones: dict[Any, Any] = {}


def _one(i: int, array: Any) -> Any:
    """The cotangent 1 of a scalar output. On the host it is made once for all: seeds are never written."""
    if array.size != 1:
        raise RuntimeError(
            f"grad can be implicitly created only for scalar outputs (output {i} has shape {list(array.shape)}; pass a "
            "gradient of that shape, or reduce it with .sum())"
        )
    if array.dtype.kind == "c":
        raise RuntimeError(
            f"grad can be implicitly created only for real scalar outputs but got {dtypes.of(array.dtype)}"
        )
    one = of(array).ones_like(array)
    if type(array) is host.Array:
        one.flags.writeable = False
        _ones[array.dtype, array.shape] = one
    return one


def _check_seed(i: int, t: Value, g: Any) -> None:
    if not isinstance(g, Value):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__} (gradient {i})")
    if g._array.shape != t._array.shape:
        raise errors.shape_of_seed(g, t, i)
    if (g._array.dtype.kind == "c") != (t._array.dtype.kind == "c"):
        raise RuntimeError(
            f"For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{i}] has a dtype of {dtypes.of(g._array.dtype)} and output[{i}] has a dtype of "
            f"{dtypes.of(t._array.dtype)}."
        )
    if of(g._array).device_of(g._array) != of(t._array).device_of(t._array):
        raise RuntimeError(
            f"Expected all tensors to be on the same device: grad_output[{i}] and output[{i}] are not; move the gradient "
            "with .to(output.device)"
        )


def _own(t: Value, c: Any) -> Any:
    """The cotangent of `t` as an array of its dtype that nobody else holds."""
    array = t._array
    if array is None:  # of an edge of the graph
        return of(c).owned(of(c).as_array(c))
    F = of(c)  # a cotangent may be of a transform though the tensor is not
    retains = t._meta is not None and t._meta.retains  # and then a view in place may have reshaped it
    if c.shape != t._array.shape and not retains:
        raise errors.shape_of_gradient(c, t._array, "tensor")
    if c.dtype != t._array.dtype and not hasattr(t, "_grad_dtype"):  # which it has been given on the way
        return F.astype(F.real(c) if c.dtype.kind == "c" and t._array.dtype.kind != "c" else c, t._array.dtype)
    return F.owned(c)


def accumulate(t: Value, c: Any, owned: bool) -> None:
    """Add the cotangent `c` (a raw array, or a Tensor with a history) to the gradient of `t`, as other threads may do."""
    if t._grad is None:
        made = _first(t, c, owned)
        if t._grad is None:  # between this and the next line nothing is called, where another thread could come in
            t._grad = made
            return
    _commit([_ready(t, c, owned)])


def _first(t: Value, c: Any, owned: bool) -> Any:
    """The gradient of `t` that the cotangent `c` is by itself; nobody else holds it if it is `owned`."""
    array = t._array
    fits = owned and type(c) is type(array) and c.dtype is array.dtype and c.base is None and c.shape == array.shape
    if fits and (c.flags.c_contiguous or c.strides == array.strides):
        made: Any = new(result_type[0])  # `wrap`, without the call
        made._array, made._node, made._meta = c, None, None
        return made
    if isinstance(c, Value):
        for_leaf = type(t._node) is Leaf
        return copied(c, for_leaf, not for_leaf or c._array.strides == array.strides)
    return wrap(_own(t, c))


Ready = tuple[Value, Value | None, Value | None, Any, Any]


def _ready(t: Value, c: Any, owned: bool, apart: bool = False) -> Ready:
    """What `_commit` takes to add the cotangent `c` to the gradient of `t`; `apart` leaves the one it has as it is.

    These are `t`, the gradient it has, and the one it is to have; or, if that is None, the array to add to and what to add.
    """
    kept: Any = t._grad
    if kept is None:
        return t, None, _first(t, c, owned), None, c
    if c.shape != kept._array.shape:
        raise errors.shape_of_gradient(c, kept._array, ".grad")
    if isinstance(c, Value):
        return t, kept, kept + c, None, c
    if apart or kept._node is not None:
        return t, kept, (kept.detach() if apart else kept) + wrap(_own(t, c)), None, c
    return t, kept, None, kept._array, c if c.dtype is kept._array.dtype else _own(t, c)


def _commit(ready: Sequence[Ready]) -> None:
    """Change gradients: all of them, also if Ctrl-C is pressed meanwhile, and as other threads may do."""
    interrupt: BaseException | None = None
    late: list[tuple[Value, Any]] = []  # those that others have changed since, or that are of a transform
    written: list[Any] = []
    rest = iter(ready)
    with _landing:  # an interrupt between acquire() and a `try` would leave it locked for ever
        while True:
            try:
                # Signals and other threads come in where something is called and where a loop turns, and only there.
                for t, kept, made, array, c in rest:
                    if t._grad is not kept:
                        late += [(t, c)]
                    elif made is not None:
                        t._grad = made
                    else:
                        try:
                            array += c
                        except (TypeError, ValueError):  # of another kind of array, or of a view that repeats elements
                            array = None
                        if array is kept._array:  # type: ignore[union-attr]
                            written += [array]
                        else:
                            late += [(t, c)]
                break
            except BaseException as error:
                interrupt = error
        for t, c in late:
            _add(t, c)
    for array in written:
        versions.bump(array if array.base is None else of(array).storage(array), "accumulation into .grad")
    if interrupt is not None:
        raise interrupt


def _add(t: Value, c: Any) -> None:
    """Add the cotangent `c` to whatever gradient `t` has by now."""
    _, kept, made, array, c = _ready(t, c, False)
    if made is not None:
        t._grad = made
        return
    assert kept is not None
    try:
        array += c
    except (TypeError, ValueError):
        array = c + array
    with modes.no_grad():
        store(kept, wrap(array), "accumulation into .grad")


def leaf(t: Value) -> Leaf:
    """The end of the graph for `t`, whose gradient `t` owns: the one it had, if it was a leaf before."""
    if not hasattr(t, "_grad"):
        t._grad = None
    kept: Leaf | None = getattr(t, "_leaf", None)
    if kept is None:
        return Leaf(weakref.ref(t))
    kept.owner = weakref.ref(t)
    del t.__dict__["_leaf"]
    return kept


def release(t: Value) -> None:
    """Make `t` a constant. Its end of the graph waits, with its hooks, and takes no gradient meanwhile."""
    where = hooks.end_of(t)
    if where is not None:
        where.owner = NoneType  # of nobody
        t.__dict__["_leaf"] = where
    t._node = None


def checked_inputs(inputs: Any) -> Sequence[Value] | None:
    """The `inputs` argument of backward as a sequence. Raises RuntimeError if it is empty."""
    if inputs is None:
        return None
    inputs = (inputs,) if isinstance(inputs, Value) else tuple(inputs.values() if isinstance(inputs, dict) else inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    return inputs  # type: ignore[no-any-return]


def check_assigned_grad(t: Value, g: Any) -> None:
    """Raise torch's error for a gradient that cannot be the gradient of `t`."""
    if g is None:
        return
    if not isinstance(g, Value):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type '{type(g).__name__}'")
    if g is t:
        raise RuntimeError("can't assign Variable as its own grad")
    wanted = getattr(t, "_grad_dtype", t._array.dtype)
    if wanted is not None and g._array.dtype != wanted:
        raise RuntimeError(
            f"attempting to assign a gradient with dtype '{dtypes.of(g._array.dtype)}' to a tensor with grad_dtype "
            f"'{dtypes.of(wanted)}'. The gradient must match the tensor's grad_dtype (its dtype, by default), which can be "
            "set to another dtype, or None to allow any"
        )
    if of(g._array).device_of(g._array) != of(t._array).device_of(t._array):
        raise RuntimeError("attempting to assign a gradient located on another device than the tensor")
    if g._array.shape != t._array.shape:
        raise RuntimeError(
            f"attempting to assign a gradient of size '{list(g._array.shape)}' to a tensor of size "
            f"'{list(t._array.shape)}'. Please ensure that the gradient and the tensor are the same size"
        )


def retain_grad(t: Value) -> None:
    """Keep the gradient of the non-leaf `t` in its `.grad`, summed over backward passes as for a leaf."""
    owner = weakref.ref(t)
    if not hasattr(t, "_grad"):
        t._grad = None

    def keep(c: Any) -> Any:
        t: Any = owner()
        if t is not None:
            part = c if not isinstance(c, Value) or modes.is_grad_enabled() else c._array
            with _landing:  # who holds the gradient there is sees no change, as in torch
                t._grad = _ready(t, part, False, apart=True)[2]
        return c

    stop = t.__dict__.pop("_stop_retaining", None)  # a write in place has given it another history
    if stop is not None:
        stop()
    t.__dict__["_stop_retaining"] = add_hook(t, keep, last=True)


retainer.append(retain_grad)
