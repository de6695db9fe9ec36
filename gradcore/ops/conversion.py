"""Other dtypes, other devices, copies, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore import devices, dtypes, layouts
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor, not_a_tensor
from gradcore.ops.creation import place
from gradcore.ops.out import put_out
from gradcore.ops.registry import methods, named, op
from gradcore.primitives import conversion as c
from gradcore.recorder import renamed
from gradcore.recorder.caller import warn
from gradcore.recorder.transfer import transfer
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def converted(
    x: Any, dtype: dtypes.dtype | None, device: Any, copy: bool = False, non_blocking: bool = False
) -> Any:
    """Return `x` in `dtype` and on `device`: itself if it is so already, unless a copy is wanted."""
    out = x
    if dtype is not None and dtype.numpy != x._array.dtype:
        if x._array.dtype.kind == "c" and not dtype.is_complex and dtype is not dtypes.bool:
            warn("Casting complex values to real discards the imaginary part")
        out = c.astype(x if dtype.is_floating_point or dtype.is_complex else x.detach(), dtype=dtype.numpy)
    if device is not None:
        F, index = place(device)
        source = of(out._array)
        if F is not getattr(source, "base", source) or source.device_of(out._array)[1] != index:
            out = transfer(out, F, index, non_blocking)
    return _copied(x, keep=True) if copy and out is x else out


_copied = renamed(c.copy, "ToCopy")


@op(function=False)
def to(self: Tensor, *args: Any, **keywords: Any) -> Tensor:
    """Return the tensor in another dtype or on another device, itself if nothing changes and `copy` is not
    set.

    `to(dtype)`, `to(device, dtype)`, `to(other)`, each with `copy`, `memory_format`, which changes nothing here,
    and `non_blocking`: from page-locked memory, or to it from a device, the host does not wait for the copy.
    Raises RuntimeError if the device cannot be used.
    """
    names = ["non_blocking", "copy"]
    if args and isinstance(args[0], Value):
        names = ["other", *names]
    elif args and _is_dtype(args[0]):
        names = ["dtype", *names]
    elif args:
        names = ["device", "dtype", *names]
    if len(args) > len(names):
        raise TypeError(f"to() takes at most {len(names)} positional arguments here, but {len(args)} were given")
    given = dict(zip(names, args, strict=False))
    if unknown := (given.keys() & keywords.keys()) | (keywords.keys() - _TO):
        raise TypeError(f"to() received an invalid combination of arguments (see {', '.join(sorted(unknown))})")
    given.update(keywords)
    how = given.get("copy", False), given.get("non_blocking", False)
    other = given.get("other")
    if other is not None:
        return converted(self, dtypes.of(other._array.dtype), other.device, *how)  # type: ignore[no-any-return]
    dtype = given.get("dtype")
    wanted = None if dtype is None else dtypes.as_dtype(dtype, op="to")
    return converted(self, wanted, given.get("device"), *how)  # type: ignore[no-any-return]


_TO = frozenset({"other", "device", "dtype", "non_blocking", "copy", "memory_format"})


def _is_dtype(x: Any) -> bool:
    return isinstance(x, (dtypes.dtype, type)) or hasattr(x, "newbyteorder")


def _cast_method(name: str, dtype: dtypes.dtype) -> None:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return converted(self, dtype, None)  # type: ignore[no-any-return]

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"Return the tensor in {dtype.name}, itself if it is that already."
    methods[name] = method


for _name, _dtype in {
    "float": dtypes.float32,
    "double": dtypes.float64,
    "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16,
    "int": dtypes.int32,
    "long": dtypes.int64,
    "short": dtypes.int16,
    "char": dtypes.int8,
    "byte": dtypes.uint8,
    "bool": dtypes.bool,
    "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
    "chalf": dtypes.complex32,
}.items():
    _cast_method(_name, _dtype)


@op(function=False)
def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """Return the tensor in the host's memory, itself if it is there."""
    return converted(self, None, "cpu")  # type: ignore[no-any-return]


@op(function=False)
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """Return the tensor on a CUDA device, the current one if none is named; itself if it is there.

    Raises RuntimeError, saying what is missing, where there is no CUDA.
    """
    where = devices.parse("cuda" if device is None else device)
    if where.type != "cuda":
        raise RuntimeError(f"Invalid device, must be cuda device (got {where})")
    return converted(self, None, where, False, non_blocking)  # type: ignore[no-any-return]


@op(function=False)
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """Return the tensor in the dtype and on the device of `other`."""
    need_tensor(other, "type_as", "other")
    return converted(self, dtypes.of(other._array.dtype), other.device)  # type: ignore[no-any-return]


def _of_parts(name: str, compose: Callable[[Any, Any], Any], names: tuple[str, str]) -> None:
    """Publish a function of two tensors of one floating dtype that gives complex numbers."""

    def made(*parts: Any, out: Any = None, **keywords: Any) -> Any:
        parts += tuple(keywords.pop(each) for each in names[len(parts) :] if each in keywords)
        if len(parts) != 2 or keywords:
            raise TypeError(
                f"{name}() takes {names[0]}, {names[1]} and out, but got {len(parts)} of them and {list(keywords)}"
            )
        first, second = parts
        for argument, x in zip(names, (first, second), strict=True):
            need_tensor(x, name, argument)
        have, other = dtypes.of(first._array.dtype), dtypes.of(second._array.dtype)
        for each in (have, other):
            if each not in (dtypes.float16, dtypes.float32, dtypes.float64):
                raise RuntimeError(
                    "Expected both inputs to be Half, Float or Double tensors but got "
                    f"{have._title} and {other._title} ({name})"
                )
        kinds = [(have, other, "second argument")]
        if out is not None:
            kinds.append((have.to_complex(), dtypes.of(out._array.dtype), "argument 'out'"))
        for wanted, got, which in kinds:
            if wanted is not got:
                raise RuntimeError(
                    f"Expected object of scalar type {wanted._title} but got scalar type {got._title} for {which}"
                )
        have.to_complex().numpy  # noqa: B018  (raises for complex32)
        return compose(first, second) if out is None else put_out(name, compose, out, (first, second), {})

    what = f"Return complex numbers of these {names}. Raises RuntimeError for other than one floating dtype."
    named(made, name).__doc__ = what


_of_parts("complex", c.complex_of, ("real", "imag"))
_of_parts("polar", c.polar, ("abs", "angle"))


@op()
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """Return a copy with memory of its own; gradients flow to the original."""
    copied = c.copy(input, keep=memory_format is not layouts.contiguous_format)
    if copied is NotImplemented:
        raise not_a_tensor("clone", "input", 1, input)
    return copied  # type: ignore[no-any-return]


@op(function=False)
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """Return the tensor with its elements in C order, itself if they are."""
    return self if self._array.flags.c_contiguous else c.copy(self)
