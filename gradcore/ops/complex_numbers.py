"""Parts and conjugates of complex tensors, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import need_tensor
from gradcore.ops.direct import public
from gradcore.ops.registry import methods, named, op
from gradcore.primitives import complex_parts as p
from gradcore.recorder import renamed
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

angle = public(p.angle, "angle", inplace=False)
_conj_physical = renamed(p.conj, "ConjPhysical")


def _is_complex(x: Tensor) -> bool:
    return bool(x._array.dtype.kind == "c")


@op()
def conj(input: Tensor) -> Any:
    """Return the complex conjugate, computed at once; a real tensor itself."""
    return p.conj(input) if _is_complex(input) else input


@op(inplace=True, out=True)
def conj_physical(input: Tensor) -> Any:
    """Return the complex conjugate; a real tensor itself."""
    return _conj_physical(input) if _is_complex(input) else input


@op("resolve_neg")
def resolve_conj(input: Tensor) -> Any:
    """Return the tensor itself: conjugates and negatives are computed at once."""
    need_tensor(input, "resolve_conj")
    return input


@op("is_neg")
def is_conj(input: Tensor) -> bool:
    """Return False: conjugates and negatives are computed at once."""
    need_tensor(input, "is_conj")
    return False


@op(method=False)
def real(input: Tensor) -> Any:
    """Return the real part, a view; a real tensor itself."""
    return p.real(input) if _is_complex(input) else input


@op(method=False)
def imag(input: Tensor) -> Any:
    """Return the imaginary part, a view. Raises RuntimeError for real tensors."""
    if not _is_complex(input):
        raise RuntimeError(
            f"imag is not implemented for tensors with non-complex dtypes (got {dtypes.of(input._array.dtype)})."
        )
    return p.imag(input)


def _overwrite(part: Any, value: Any) -> None:
    if isinstance(value, Value):
        part.copy_(value)
    else:
        part[...] = value


def _set_real(self: Tensor, value: Any) -> None:
    _overwrite(real(self), value)


def _set_imag(self: Tensor, value: Any) -> None:
    _overwrite(imag(self), value)


methods["real"] = property(real, _set_real, doc=real.__doc__)  # type: ignore[assignment]
methods["imag"] = property(imag, _set_imag, doc=imag.__doc__)  # type: ignore[assignment]


@op(method=False)
def view_as_real(input: Tensor) -> Any:
    """Return real and imaginary parts along a last dimension of two, a view. Raises RuntimeError for real tensors."""
    need_tensor(input, "view_as_real")
    if not _is_complex(input):
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return p.view_as_real(input)


@op(method=False)
def view_as_complex(input: Tensor) -> Any:
    """Return pairs along the last dimension as complex numbers, a view. Raises RuntimeError where they are none."""
    need_tensor(input, "view_as_complex")
    array = input._array
    if array.dtype.kind != "f" or array.itemsize < 4:
        raise RuntimeError(
            "view_as_complex is only supported for float and double tensors, but got a tensor of scalar type: "
            f"{dtypes.of(array.dtype)._title}"
        )
    if not array.ndim or array.shape[-1] != 2:
        raise RuntimeError(f"Tensor must have a last dimension of size 2 (view_as_complex got {list(array.shape)})")
    steps = [step // array.itemsize for step in array.strides]
    if steps[-1] != 1 and array.size:
        raise RuntimeError("Tensor must have a last dimension with stride 1 (view_as_complex)")
    if any(step % 2 for step, n in zip(steps[:-1], array.shape[:-1], strict=True) if n > 1):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension (view_as_complex)")
    return p.view_as_complex(input)


def _predicate(name: str, answer: str) -> None:
    def predicate(input: Tensor) -> bool:
        need_tensor(input, name)
        return bool(getattr(dtypes.of(input._array.dtype), answer))

    named(predicate, name).__doc__ = f"The dtype's `{answer}`."


for _name in ("is_complex", "is_floating_point", "is_signed"):
    _predicate(_name, _name)
