"""Tensors of given or counted numbers: zeros, full, arange, linspace, eye and their like. It must not know
any derivative."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Unpack

from gradcore import dtypes, layouts
from gradcore.backends import numpy as host
from gradcore.backends.determinism import mode
from gradcore.ops import arguments, literals
from gradcore.ops.arguments import python_number, whole
from gradcore.ops.creation import Array, Make, Options, made
from gradcore.ops.registry import methods, named, op
from gradcore.recorder.caller import warn
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def size_of(name: str, size: Sequence[Any], keyword: Any = None) -> tuple[int, ...]:
    """Return the shape meant by `*size` or `size=`. Raises TypeError for what is no size, RuntimeError if
    negative."""
    if keyword is not None:
        size = (keyword,)
    if not size:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    try:
        shape: tuple[int, ...] = arguments.shape(size)
    except TypeError:
        raise TypeError(
            f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(size[0]).__name__}"
        ) from None
    if min(shape, default=0) < 0:
        if name == "zeros":
            raise RuntimeError(f"zeros: Dimension size must be non-negative (size {list(shape)})")
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)} ({name})")
    if math.prod(shape) > _MOST or (0 in shape and math.prod(n or 1 for n in shape) > _MOST):
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(shape)} ({name})")
    return shape


# More elements than this no processor can address.
_MOST = 1 << 58


def in_order_of(like: Array, fill: Callable[[tuple[int, ...]], Array], options: Options | None = None) -> Array:
    """Return `fill(shape)` for the shape of `like`, with the dimensions in the order they have there in
    memory."""
    order = _memory_order(like)
    if order is None or (options or {}).get("memory_format") is layouts.contiguous_format:
        return fill(like.shape)
    array = fill(tuple(like.shape[d] for d in order))
    return array.transpose([order.index(d) for d in range(like.ndim)])


def _memory_order(array: Array) -> list[int] | None:
    """The dimensions from the outermost in memory, None for C order and where elements overlap."""
    if array.flags.c_contiguous or 0 in array.strides:
        return None
    return sorted(range(array.ndim), key=lambda d: -array.strides[d])


# -- one number everywhere -----------------------------------------------------------------------------------


def _zeros(F: ModuleType, shape: tuple[int, ...], dtype: Any) -> Array:
    return F.zeros(shape, dtype)


def _ones(F: ModuleType, shape: tuple[int, ...], dtype: Any) -> Array:
    return F.ones(shape, dtype)


def uninitialised(F: ModuleType, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return memory as it is found, or marked as such if the user asked for that."""
    array = F.empty(shape, dtype)
    if mode.enabled and mode.fill:
        _mark(F, array)
    return array


def _mark(F: ModuleType, array: Array) -> None:
    """Write into memory that is not initialised what shows that, for programs that must give the same every time."""
    kind = array.dtype.kind
    worst = {"b": True, "i": (1 << (8 * array.itemsize - 1)) - 1, "u": (1 << (8 * array.itemsize)) - 1}.get(kind, math.nan)
    F.setitem(array, ..., worst)


def _forms(name: str, fill: Any, what: str) -> Any:
    """Make `name(*size)`, `name_like(input)` and `input.new_name(*size)` of `fill(F, shape, dtype)`."""

    def plain(*sizes: Any, size: Any = None, **options: Unpack[Options]) -> Tensor:
        shape = size_of(name, sizes, size)
        return made(name, lambda F, dtype: fill(F, shape, dtype), options)

    def like(input: Tensor, **options: Unpack[Options]) -> Tensor:
        arguments.need_tensor(input, f"{name}_like")
        source = input._array
        return made(
            f"{name}_like",
            lambda F, dtype: in_order_of(source, lambda shape: fill(F, shape, dtype), options),
            options,
            like=input,
        )

    def new(input: Tensor, *sizes: Any, size: Any = None, **options: Unpack[Options]) -> Tensor:
        shape = size_of(f"new_{name}", sizes, size)
        return made(f"new_{name}", lambda F, dtype: fill(F, shape, dtype), options, like=input)

    for form, public, told in (
        (plain, name, f"Return a tensor of {what}, of the default dtype unless another is given."),
        (like, f"{name}_like", f"Return a tensor of {what} with the shape, dtype and device of `input`."),
        (new, f"new_{name}", f"Return a tensor of {what} with this tensor's dtype and device."),
    ):
        form.__doc__ = told
        if form is new:
            form.__name__ = form.__qualname__ = public
            methods[public] = form
        else:
            named(form, public)
    return plain


zeros = _forms("zeros", _zeros, "zeros")
ones = _forms("ones", _ones, "ones")
empty = _forms("empty", uninitialised, "uninitialised numbers")


def _fill(value: Any) -> Any:
    """Return what makes an array full of `value`, a number or a 0-d Tensor."""

    def fill(F: ModuleType, shape: tuple[int, ...], dtype: Any) -> Array:
        kind, noise = dtypes.of(dtype), host.noise()
        try:
            host.quiet()
            number = literals.number(value, kind).item()
        finally:
            host.unquiet(noise)
        if kind.itemsize > 2 and number - number != 0:
            from cmath import isfinite  # few programs come here, and all would load it

            if isfinite(value):
                raise RuntimeError(f"value cannot be converted to type {kind.name} without overflow ({value!r})")
        return F.full(shape, number, dtype)

    return fill


@op(method=False)
def full(size: Any, fill_value: Any, **options: Unpack[Options]) -> Tensor:
    """Return a tensor filled with a number, of the dtype that `tensor(fill_value)` has."""
    value = python_number(fill_value, "full", "fill_value")
    if isinstance(size, int):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, not int")
    shape, fill = size_of("full", (size,)), _fill(value)
    kind = next(n for n in (bool, int, float, complex) if isinstance(value, n))
    return made("full", lambda F, dtype: fill(F, shape, dtype), options, default=dtypes.of_scalar(kind))


@op(method=False)
def full_like(input: Tensor, fill_value: Any, **options: Unpack[Options]) -> Tensor:
    """Return a tensor filled with a number with the shape, dtype and device of `input`."""
    arguments.need_tensor(input, "full_like")
    fill, source = _fill(python_number(fill_value, "full_like", "fill_value")), input._array
    return made(
        "full_like",
        lambda F, dtype: in_order_of(source, lambda shape: fill(F, shape, dtype), options),
        options,
        like=input,
    )


@op(function=False)
def new_full(input: Tensor, size: Any, fill_value: Any, **options: Unpack[Options]) -> Tensor:
    """Return a tensor filled with a number with this tensor's dtype and device."""
    shape, fill = size_of("new_full", (size,)), _fill(python_number(fill_value, "new_full", "fill_value"))
    return made("new_full", lambda F, dtype: fill(F, shape, dtype), options, like=input)


@op(method=False)
def scalar_tensor(s: Any, **options: Unpack[Options]) -> Tensor:
    """Return a 0-d tensor of a number, of the default dtype."""
    fill = _fill(python_number(s, "scalar_tensor", "s"))
    return made("scalar_tensor", lambda F, dtype: fill(F, (), dtype), options)


@op(method=False)
def empty_strided(size: Any, stride: Any, **options: Unpack[Options]) -> Tensor:
    """Return uninitialised numbers with these strides, counted in elements."""
    return _strided("empty_strided", size, stride, options)


def _strided(name: str, size: Any, stride: Any, options: Options, like: Value | None = None) -> Tensor:
    shape, strides = size_of(name, (size,)), arguments.shape((stride,))
    if len(shape) != len(strides):
        raise RuntimeError(f"mismatch in length of strides and shape ({name}: size {list(shape)}, stride {list(strides)})")
    length = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if length > _MOST:
        raise RuntimeError(f"Storage size calculation overflowed: sizes={list(shape)}, strides={list(strides)} ({name})")

    def make(F: ModuleType, dtype: Any) -> Array:
        return F.as_strided(uninitialised(F, (length,), dtype), shape, strides, 0) if length else F.empty(shape, dtype)

    return made(name, make, options, like=like)


@op(function=False)
def new_empty_strided(input: Tensor, size: Any, stride: Any, **options: Unpack[Options]) -> Tensor:
    """Return uninitialised numbers with these strides and this tensor's dtype and device."""
    return _strided("new_empty_strided", size, stride, options, input)


# -- counting ------------------------------------------------------------------------------------------------


def _counted(name: str, make: Make, options: Options, *, default: dtypes.dtype | None = None) -> Tensor:
    """`made` of numbers one after the other, which are written into an `out=` of as many in the shape it has."""
    out: Any = options.get("out")

    def shaped(F: ModuleType, dtype: Any) -> Array:
        array = make(F, dtype)
        return array.reshape(out._array.shape) if array.size == out._array.size else array

    return made(name, shaped if isinstance(out, Value) else make, options, default=default)


@op(method=False)
def arange(*bounds: Any, start: Any = None, end: Any = None, step: Any = None, **options: Unpack[Options]) -> Tensor:
    """Return start, start + step, ... before end: `arange(end)`, `arange(start, end)`, `arange(start, end,
    step)`.

    int64 if all numbers are integers, else of the default dtype. Raises RuntimeError for a zero step or one
    of the wrong sign.
    """
    if len(bounds) > 3:
        raise TypeError(f"arange() takes from 1 to 3 positional arguments but {len(bounds)} were given")
    if len(bounds) == 1 and end is None:
        end = bounds[0]
    else:
        start, end, step = (*bounds, *(start, end, step)[len(bounds) :])
    if end is None:
        raise TypeError('arange() missing 1 required positional arguments: "end"')
    first = 0 if start is None else python_number(start, "arange", "start")
    last = python_number(end, "arange", "end")
    by = 1 if step is None else python_number(step, "arange", "step")
    for number in (first, last, by):
        if isinstance(number, complex):
            raise RuntimeError(f"value cannot be converted to type double without overflow (arange of {number})")
    integral = isinstance(first, int) and isinstance(last, int) and isinstance(by, int)
    _refuse_long(first, last, by)

    def make(F: ModuleType, dtype: Any) -> Array:
        if dtype.kind not in "iufV":
            raise NotImplementedError(f"\"arange\" not implemented for '{dtypes.of(dtype)._title}'")
        begin, stop, stride = first, last, by
        _refuse_unbounded(begin, stop)
        if dtype == dtypes.int64.numpy:  # torch counts in int64 here, and in float64 for all other dtypes
            begin, stop, stride = int(begin), int(stop), int(stride)
            _refuse_long(begin, stop, stride)
            if stride == 0 != by:
                raise ValueError(f"step must be nonzero (arange, where {by} is 0 in int64)")
        n = _steps(begin, stop, stride)
        if n > _MOST:
            raise RuntimeError(f"invalid size, possible overflow? (arange of {begin}, {stop}, {stride})")
        if dtype == dtypes.int64.numpy and begin == 0 and stride == 1:
            return F.arange(n)
        if dtype.kind in "iu":
            return F.astype(int(begin) + int(stride) * F.arange(n), dtype)
        return F.astype(begin + stride * F.astype(F.arange(n), "f8"), dtype)

    return _counted("arange", make, options, default=dtypes.int64 if integral else None)


def _refuse_unbounded(start: float, end: float) -> None:
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end} (arange)")


def _refuse_long(*numbers: Any) -> None:
    for number in numbers:
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise RuntimeError(f"value cannot be converted to type int64_t without overflow (arange of {number})")


def _steps(start: float, end: float, step: float) -> int:
    _refuse_unbounded(start, end)
    if step == 0:
        raise RuntimeError(f"step must be nonzero (arange of {start}, {end}, {step})")
    if (end - start) * math.copysign(1, step) < 0:
        raise RuntimeError(f"upper bound and lower bound inconsistent with step sign (arange of {start}, {end}, {step})")
    if isinstance(end - start, int) and isinstance(step, int):
        return -int((start - end) // step)
    return math.ceil((end - start) / step)


@op("range", method=False)
def range_(start: Any = 0, end: Any = None, step: Any = 1, **options: Unpack[Options]) -> Tensor:
    """Return start, start + step, ... up to and including end, of the default dtype. Deprecated in torch."""
    if end is None:
        start, end = 0, start
    first, last, by = (python_number(x, "range", name) for x, name in ((start, "start"), (end, "end"), (step, "step")))
    n = _steps(first, last, by)
    n = int((last - first) / by) + 1 if n >= 0 else 0
    warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end)."
    )
    return _counted("range", lambda F, dtype: F.astype(first + by * F.arange(n), dtype), options)


def _spaced(F: ModuleType, start: Any, end: Any, steps: int, dtype: Any) -> Array:
    """`steps` numbers from `start` to `end`, each half counted from its end, as torch does."""
    kind = F.dtype("f8") if dtype.kind in "iub" else F.dtype("f4") if dtype.itemsize == 2 else dtype
    if dtype.kind in "iu":
        start, end = int(start), int(end)
    count = F.astype(F.arange(steps), kind)
    first, last = F.asarray(start, kind), F.asarray(end, kind)
    step = (last - first) / F.asarray(max(steps - 1, 1), kind)
    return F.where(count < steps // 2 + (steps == 1), first + step * count, last - step * (steps - 1 - count))


def _count(name: str, steps: Any) -> int:
    if (n := whole(name, "steps", steps)) < 0:
        raise RuntimeError(f"number of steps must be non-negative (got {n})")
    return n


def _refuse_bool(kernel: str, dtype: Any, n: int) -> None:
    if dtype.kind == "b" and n > 1:
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def _refuse_real(name: str, inferred: dtypes.dtype | None, dtype: Any) -> None:
    if inferred is not None and dtype.kind != "c":
        raise RuntimeError(
            f"torch.{name}(): inferred dtype {inferred._title} can't be safely cast to passed dtype "
            f"{dtypes.of(dtype)._title}"
        )


def _endpoints(name: str, *ends: Any) -> tuple[list[Any], dtypes.dtype | None]:
    """The end points as numbers, and the complex dtype if one is complex."""
    numbers = []
    for which, x in zip(("start", "end"), ends, strict=True):
        if isinstance(x, Value):
            if x._array.ndim:
                raise RuntimeError(
                    f"{name} only supports 0-dimensional start and end tensors, but got {which} with "
                    f"{x._array.ndim} dimension(s)."
                )
            x = x._array.item()
        numbers.append(python_number(x, name, which))
    is_complex = any(isinstance(x, complex) for x in numbers)
    return numbers, dtypes.get_default_dtype().to_complex() if is_complex else None


@op(method=False)
def linspace(start: Any, end: Any, steps: int, **options: Unpack[Options]) -> Tensor:
    """Return `steps` evenly spaced numbers from `start` to `end`, both included. Raises RuntimeError for
    steps < 0."""
    (first, last), default = _endpoints("linspace", start, end)
    n = _count("linspace", steps)

    def make(F: ModuleType, dtype: Any) -> Array:
        _refuse_real("linspace", default, dtype)
        _refuse_bool("linspace_cpu", dtype, n)
        return F.astype(_spaced(F, first, last, n, dtype), dtype)

    return _counted("linspace", make, options, default=default)


@op(method=False)
def logspace(start: Any, end: Any, steps: int, base: Any = 10.0, **options: Unpack[Options]) -> Tensor:
    """Return `base` to the power of `steps` evenly spaced numbers from `start` to `end`."""
    (first, last), default = _endpoints("logspace", start, end)
    n = _count("logspace", steps)

    def make(F: ModuleType, dtype: Any) -> Array:
        _refuse_real("logspace", default, dtype)
        _refuse_bool("logspace_cpu", dtype, n)
        if n == 1 and dtype.kind in "iu":  # torch rounds the exponents of several integers, but not that of one
            return F.full((1,), int(base**first), dtype)
        exponents = _spaced(F, first, last, n, dtype)
        return F.astype(F.power(F.asarray(base, exponents.dtype), exponents), dtype)

    return _counted("logspace", make, options, default=default)


@op(method=False)
def eye(n: int, m: int | None = None, **options: Unpack[Options]) -> Tensor:
    """Return the n × m matrix with ones on the diagonal; m is n if not given."""
    rows = whole("eye", "n", n)
    columns = rows if m is None else whole("eye", "m", m)
    for name, size in (("n", rows), ("m", columns)):
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size} (eye)")
    return made("eye", lambda F, dtype: F.eye(rows, columns, dtype=dtype), options)
