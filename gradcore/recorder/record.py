"""Running a primitive on Tensors and recording it: the full semantics, in one place. It must not know any operation.

`specialise` unrolls the commonest case of this into straight-line code; everything else comes here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, Final

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.graph import Output, modes, recorded
from gradcore.graph.node import Target
from gradcore.recorder import errors, exact, views
from gradcore.recorder.primitive import DERIVED, Primitive
from gradcore.recorder.saved import pack_saved
from gradcore.recorder.steps import Kernel, Steps, compiled, kernels_of
from gradcore.recorder.transfer import transfer
from gradcore.recorder.value import Value, meta, wrap

SCALARS: tuple[Any, ...] = (bool, int, float, complex)
_ON_HOST = {host.Array}


def apply(op: Primitive, function: Callable[..., Any], inputs: Sequence[Any], params: dict[str, Any]) -> Any:
    """Run `op` on Tensors, numbers and None, and record it if an input needs a gradient and grad mode is on.

    Returns a Tensor, a tuple of them, or NotImplemented for an input that is none of these. Raises RuntimeError for
    shapes that do not broadcast and for mixed devices.
    """
    if modes.watchers and (watch := modes.watchers.pop(get_ident(), None)) is not None:
        return watch(op, inputs, lambda: apply(op, function, inputs, params))
    elementwise = op.kind == "elementwise"
    for i, x in enumerate(inputs):
        if not isinstance(x, Value) and type(x) not in SCALARS and (x is not None or elementwise):
            x = operand(x)
            if x is NotImplemented:
                return NotImplemented
            inputs = [*inputs[:i], x, *inputs[i + 1 :]]
    for name, value in params.items():
        if isinstance(value, Value):
            params = {**params, name: _number_of(value, op, name)}
    if lifter:
        inputs = lifter[0](inputs, params)
    if elementwise:
        inputs = _gathered(inputs)
        kernel = _kernel(op, inputs)
        dtype, any_tensor = _common_dtype(op, inputs)
        inputs = exact.with_numbers(op, inputs, dtype)
        alike = _in_dtype(op, inputs, dtype)
        if alike is not inputs:
            return function(*alike, **params)
        kernel = exact.fitting(kernel, inputs, dtype)
        if not isinstance(kernel, exact.Exact):  # which takes numbers as they are
            inputs = _without_numbers(op, inputs, kernel, dtype, any_tensor)
    else:
        kernel = _kernel(op, inputs)
    raw = [x._array if isinstance(x, Value) else x for x in inputs]
    if modes.forwards and (instead := modes.forwards.get(get_ident())) is not None:
        result = instead(op, kernel, raw, params, lambda: _computed(op, kernel, inputs, raw, params))
    else:
        result = _computed(op, kernel, inputs, raw, params)
    outs = tuple(kernel.as_array(each) for each in result) if isinstance(result, tuple) else (kernel.as_array(result),)
    wrapped = tuple(wrap(each) for each in outs)
    if op.view and outs and kernel.F.storage(outs[0]) is kernel.F.storage(raw[0]):
        for i, each in enumerate(wrapped):
            views.note_view(each, inputs[0], function, params, i if op.outputs == ("outs",) else None)
    if modes.is_grad_enabled():
        attach(op, kernel, inputs, params, wrapped)
    elif modes.is_inference_mode_enabled():
        for each in wrapped:
            meta(each).inference |= not views.is_view(each)
    return wrapped if isinstance(result, tuple) else wrapped[0]


def _number_of(x: Value, op: Primitive, name: str) -> Any:
    """The number that a 0-d Tensor holds, which is given for a static parameter."""
    if x._array.ndim or x._node is not None:
        raise TypeError(f"{op.name}(): argument '{name}' must be Number, not Tensor")
    return x._array.item()


def _computed(op: Primitive, kernel: Kernel, inputs: Sequence[Any], raw: Sequence[Any], params: dict[str, Any]) -> Any:
    """What the forward of `op` makes of raw inputs."""
    try:
        return _quietly(kernel.F, kernel.forward, *raw, **params)
    except Exception as error:
        raise errors.translated(op, inputs, error) from error


def _quietly(F: Any, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """What `function` returns, with floating-point warnings off; unlike the backend's, for any number of threads at once."""
    before = F.noise()
    try:
        F.quiet()
        return function(*args, **keywords)
    finally:
        F.unquiet(before)


# What makes inputs of several levels of transforms inputs of one, set where transforms are defined.
lifter: list[Callable[..., Any]] = []


def attach(
    op: Primitive, kernel: Kernel, inputs: Sequence[Any], params: dict[str, Any], outs: Sequence[Value]
) -> None:
    """Record that `op` on `inputs` gave `outs`, if an input that has a derivative needs a gradient."""
    if not op.differentiable or not outs:
        return
    origins: list[Target | None] = []
    raw = []
    for x in inputs:
        if isinstance(x, Value):
            origins.append(x._node if x._meta is None else views.current(x))
            raw.append(x._array)
        else:
            origins.append(None)
            raw.append(x)
    if origins.count(None) == len(origins):
        return
    needs = tuple([origin is not None and op.has_rule(i) for i, origin in enumerate(origins)])
    if True not in needs:
        return
    any_number = op.outputs == ("outs",)
    differentiable = outs
    if op.constant and not any_number:
        differentiable = [out for name, out in zip(op.outputs, outs, strict=True) if name not in op.constant]
    arrays = [out._array for out in outs]
    conjugate = op.holomorphic and any(_is_complex(kernel, a) for a in (*raw, *arrays))
    fits = _fits(op, raw, needs, arrays[0].shape) if op.kind == "elementwise" else None
    steps: Steps = kernel.steps
    step = steps[needs, conjugate, fits is not None]
    saved: Any = saver(op, step.layout)(raw, [tuple(arrays)] if any_number else arrays, params)
    _refuse_inference(op, inputs, saved)
    if step.several:
        saved = (saved, tuple([(out._array.shape, out._array.dtype) for out in differentiable]))
    if fits is not None:
        saved = (saved, fits)
    targets = tuple([origin for origin, need in zip(origins, needs, strict=True) if need and origin is not None])
    node = recorded(step, targets, saved)
    if modes.unusual:
        pack_saved(node)
    if step.several:
        for i, out in enumerate(differentiable):
            out._node = Output(node, i, len(differentiable))
    else:
        differentiable[0]._node = node


@functools.cache
def saver(op: Primitive, layout: tuple[str, ...]) -> Callable[[Sequence[Any], Sequence[Any], dict[str, Any]], Any]:
    """What picks the values named in `layout` from raw inputs, raw outputs (one tuple if of any number) and params."""
    parts = []
    for name in layout:
        if name in op.params:
            default = f", defaults[{name!r}]" if name in op.defaults else ""
            parts.append(f"params.get({name!r}{default})" if default else f"params[{name!r}]")
        elif name in op.outputs:
            parts.append(f"outs[{op.outputs.index(name)}]")
        else:
            ending = next((each for each in DERIVED if name not in op.inputs and name.endswith(each)), "")
            i = op.inputs.index(name.removesuffix(ending))
            read = _DERIVED[ending]
            many = op.variadic and i == len(op.inputs) - 1
            parts.append(f"tuple([{read.format('x')} for x in inputs[{i}:]])" if many else read.format(f"inputs[{i}]"))
    source = f"def save(inputs, outs, params):\n    return ({''.join(f'{part}, ' for part in parts)})\n"
    namespace: dict[str, Any] = {"defaults": op.defaults}
    exec(compiled(source), namespace)
    return namespace["save"]  # type: ignore[no-any-return]


_DERIVED: Final = {
    "": "{}",
    "_shape": "tuple(getattr({}, 'shape', ()))",
    "_dtype": "getattr({}, 'dtype', None)",
}


def _fits(op: Primitive, raw: Sequence[Any], needs: tuple[bool, ...], shape: tuple[int, ...]) -> Any:
    shapes = tuple([None if x.shape == shape else tuple(x.shape) for x, need in zip(raw, needs, strict=True) if need])
    return None if shapes.count(None) == len(shapes) else shapes


def _is_complex(kernel: Kernel, array: Any) -> bool:
    return isinstance(array, kernel.F.Array) and array.dtype.kind == "c"


def _refuse_inference(op: Primitive, inputs: Sequence[Any], saved: tuple[Any, ...]) -> None:
    for x in inputs:
        if isinstance(x, Value) and x._meta is not None and x._meta.inference and any(s is x._array for s in saved):
            raise RuntimeError(
                f"Inference tensors cannot be saved for backward ({op.name} saves one of shape {list(x._array.shape)}). "
                "Please do not use Tensors created in inference mode in computation tracked by autograd. To work "
                "around this, you can make a clone to get a normal tensor and use it in autograd, or use "
                "`no_grad()` instead of `inference_mode()`."
            )


def _gathered(inputs: Sequence[Any]) -> Sequence[Any]:
    """The inputs with 0-d host values where the others are: as torch does, and torch only does it for these."""
    if len({type(x._array) for x in inputs if isinstance(x, Value)}) == 1:
        return inputs
    away = next((x._array for x in inputs if isinstance(x, Value) and type(x._array) is not host.Array), None)
    if away is None:
        return inputs
    F = of(away)
    return [
        transfer(x, F, F.device_of(away)[1])
        if isinstance(x, Value) and type(x._array) is host.Array and x._array.ndim == 0
        else x
        for x in inputs
    ]


def _kernel(op: Primitive, inputs: Sequence[Any]) -> Kernel:
    """The kernel for the inputs' device; they must all be on one."""
    arrays = [x._array for x in inputs if isinstance(x, Value)]
    types = set(map(type, arrays))
    if types == _ON_HOST:
        return kernels_of(op)[host.Array]
    if not arrays:
        raise TypeError(f"{op.name}(): at least one input must be a Tensor, got {errors.described(inputs)}")
    first = arrays[0]
    F = of(first)
    device = F.device_of(first)
    for other in arrays[1:]:
        if type(other) is not type(first) or F.device_of(other) != device:
            raise errors.mixed_devices(op, inputs)
    return kernels_of(op)[type(first)]


# -- promotion of elementwise inputs ----------------------------------------------------------------------------------


def _in_dtype(op: Primitive, inputs: Sequence[Any], dtype: Any) -> Sequence[Any]:
    """The inputs with those Tensors that are promoted in `dtype`, by recorded conversions; the very same if they were."""
    out = inputs
    for i, x in enumerate(inputs):
        if isinstance(x, Value) and x._array.dtype != dtype and op.inputs[i] not in op.unpromoted:
            out = [*out[:i], cast(x, dtype), *out[i + 1 :]]
    return out


def _without_numbers(
    op: Primitive, inputs: Sequence[Any], kernel: Kernel, dtype: Any, any_tensor: bool
) -> Sequence[Any]:
    """The inputs with Python numbers as what the forward takes for them."""
    out = list(inputs)
    for i, x in enumerate(inputs):
        if isinstance(x, Value) or op.inputs[i] in op.unpromoted:
            continue
        if any_tensor:
            # A forward of several steps must see an array: log(2.0), say, would be a strong float64.
            number = _as_kind(x, dtype)
            out[i] = number if kernel.bare else _quietly(kernel.F, kernel.F.full, (), number, dtype)
        else:
            out[i] = wrap(kernel.F.asarray(x, dtype))
    return out


def _common_dtype(op: Primitive, inputs: Sequence[Any]) -> tuple[Any, bool]:
    """The dtype of the inputs that are promoted, and whether any of these is a Tensor."""
    dims, zero_dims, scalars = [], [], []
    for name, x in zip(op.inputs, inputs, strict=True):
        if name in op.unpromoted:
            continue
        if not isinstance(x, Value):
            scalars.append(type(x))
        elif x._array.ndim:
            dims.append(x._array.dtype)
        else:
            zero_dims.append(x._array.dtype)
    dtype = dtypes.promote(tuple(dims), tuple(zero_dims), tuple(scalars))
    if op.to_float and dtype.kind in "biu":
        dtype = dtypes.get_default_dtype().numpy
    if dtype.kind in op.refuses:
        raise errors.no_such_kernel(op, inputs, dtype)
    return dtype, bool(dims or zero_dims)


def cast(x: Value, dtype: Any) -> Value:
    """`x` in another NumPy dtype, recorded."""
    return converter[0](x, dtype=dtype)  # type: ignore[no-any-return]


def copied(x: Value, for_leaf: bool, keep: bool) -> Value:
    """A copy of `x` to be the gradient of a leaf or of another tensor, recorded under torch's names for either."""
    return copiers[for_leaf](x, keep=keep)  # type: ignore[no-any-return]


# The primitives that convert dtypes and that copy, set where they are defined.
converter: list[Callable[..., Any]] = []
copiers: list[Callable[..., Any]] = []


def _as_kind(x: Any, dtype: Any) -> Any:
    """A Python number as one that array libraries take to be weaker than `dtype`."""
    if type(x) is int and dtype.kind in "iu":
        return wrapped_around(x, dtype)
    if dtype.kind in "biufc":
        return x
    return dtype.type(x)  # bfloat16 and its like know no weak Python numbers


def wrapped_around(x: int, dtype: Any) -> int:
    """The integer of `dtype` that a Python integer becomes: torch reads 64 bits and keeps the lowest of them."""
    if not -(1 << 63) <= x < 1 << 64:
        raise OverflowError("int too big to convert")
    bits = 8 * dtype.itemsize
    x &= (1 << bits) - 1
    return x - (1 << bits) if dtype.kind == "i" and x >> (bits - 1) else x


def operand(x: Any) -> Any:
    """`x` as what operations take: NumPy's numbers and those of a subclass as Python's, arrays as constants.

    Returns NotImplemented for anything else.
    """
    if isinstance(x, Value):
        return x
    if isinstance(x, host.generic):
        x = x.item()
    for kind in SCALARS:
        if isinstance(x, kind):
            return kind(x)
    try:
        of(x)
    except TypeError:
        return NotImplemented
    return wrap(x)
