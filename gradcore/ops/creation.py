"""Tensors from data: literals, arrays, buffers, dlpack; and where and as what a new tensor is made. It must
not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypedDict

from gradcore import devices, dtypes, layouts
from gradcore.backends import by_type, cuda_streams, of
from gradcore.backends import numpy as host
from gradcore.graph import modes
from gradcore.ops import literals
from gradcore.ops.out import put_out
from gradcore.ops.registry import op
from gradcore.recorder.caller import warn
from gradcore.recorder.transfer import moved
from gradcore.recorder.value import Value, meta, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Array = Any
Make = Callable[[ModuleType, Any], Array]

COPY_WARNING = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
    "sourceTensor.detach().clone().requires_grad_(True), rather than {}(sourceTensor)."
)
GRAD_ERROR = "Only Tensors of floating point and complex dtype can require gradients"


class Options(TypedDict, total=False):
    """What every constructor takes. `memory_format` changes no value."""

    dtype: Any
    device: Any
    requires_grad: bool
    out: Any
    layout: Any
    pin_memory: bool
    memory_format: Any


_OPTIONS = frozenset(Options.__annotations__)


def made(
    name: str, make: Make, options: Options, *, like: Value | None = None, default: dtypes.dtype | None = None
) -> Tensor:
    """Return the Tensor of `make(F, dtype)` as the options of the constructor `name` say.

    Without these, it is of the dtype and on the device of `like`, or of the dtype `default` (the default
    dtype) and on the default device. Raises RuntimeError for an integer dtype with requires_grad.
    """
    if not options and like is None:  # the commonest case, at a third of the cost
        F, index = place(None)
        if index is None:
            return finished(make(F, (default or dtypes.get_default_dtype()).numpy))
    if not options.keys() <= _OPTIONS:
        unknown = options.keys() - _OPTIONS
        raise TypeError(f"{name}() got an unexpected keyword argument '{min(unknown)}'")
    if options.get("layout", layouts.strided) not in (layouts.strided, None):
        raise NotImplementedError(f"{name}(): the layout {options['layout']} does not exist here, only torch.strided")
    out: Any = options.get("out")
    if not (out is None or isinstance(out, Value)):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    wanted = options.get("dtype")
    dtype = None if wanted is None else dtypes.as_dtype(wanted, op=name)
    if out is not None:
        have = dtypes.of(out._array.dtype)
        if dtype not in (None, have):
            raise RuntimeError(f"dtype {dtype._title} does not match dtype of out parameter ({have._title}) ({name})")
        dtype, like = have, out
    if dtype is None:
        dtype = dtypes.of(like._array.dtype) if like is not None else default or dtypes.get_default_dtype()
    F, index = place(options.get("device"), like)
    if index is None:
        array = make(F, dtype.numpy)
    else:
        with F.on_device(index):
            array = make(F, dtype.numpy)
    if like is not None and hasattr(like._array, "beside"):
        array = like._array.beside(array)  # of the transform that `like` is of
    if options.get("pin_memory"):
        array = _pinned(array)
    requires_grad = options.get("requires_grad", False)
    if requires_grad:
        check_differentiable(dtype, name)
    if out is not None:
        put_out(name, lambda: wrap(array), out, (), {})
        filled: Any = out
        return filled.requires_grad_() if requires_grad else filled  # type: ignore[no-any-return]
    return finished(array, requires_grad)


def _pinned(array: Array) -> Array:
    """The host array in page-locked memory, which a device reads by itself."""
    if of(array) is not host:
        raise RuntimeError("Only dense CPU tensors can be pinned")
    return cuda_streams().pinned_copy(array)


def finished(array: Array, requires_grad: bool = False) -> Tensor:
    """Return a new Tensor of an array."""
    tensor = wrap(array)
    if modes.is_inference_mode_enabled():
        meta(tensor).inference = True
    return tensor.requires_grad_() if requires_grad else tensor  # type: ignore[no-any-return]


def check_differentiable(dtype: dtypes.dtype, name: str) -> None:
    """Raise RuntimeError if tensors of `dtype` cannot require gradients."""
    if not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f"{GRAD_ERROR} ({name} was asked for {dtype})")


def place(device: Any, like: Value | None = None) -> tuple[ModuleType, int | None]:
    """Return the backend and the index of the device meant: of `like` if there is one and no device is
    given."""
    if device is None and like is not None:
        F = of(like._array)
        return F, F.device_of(like._array)[1]
    where = devices.parse(device)
    if where.type == "cpu":
        return host, None
    F = devices.backend(where)
    return F, where.index if where.index is not None else F.current_device()


# -- from data -----------------------------------------------------------------------------------------------


@op(method=False)
def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """Return a new leaf with a copy of `data`: nested sequences, a number, an array or a Tensor.

    The dtype is the array's own; of Python's floats the default dtype, of ints int64. Raises ValueError for
    ragged sequences, RuntimeError for `requires_grad` with an integer dtype.
    """
    if isinstance(data, Value):
        warn(COPY_WARNING.format("torch.tensor"))
    wanted = None if dtype is None else dtypes.as_dtype(dtype, op="tensor")
    array = converted(data, wanted, device, copy=True)
    if requires_grad:
        check_differentiable(dtypes.of(array.dtype), "tensor")
    if pin_memory:
        array = _pinned(array)
    return finished(array, requires_grad)


@op(method=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return `data` as a Tensor: a Tensor itself, an array without a copy, where dtype and device allow."""
    wanted = None if dtype is None else dtypes.as_dtype(dtype, op="as_tensor")
    if isinstance(data, Value):
        return _tensor_to(data, wanted, device)  # type: ignore[no-any-return]
    return finished(converted(data, wanted, device, copy=False))


@op(method=False)
def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:
    """Return `obj` as a Tensor, sharing its memory unless `copy` is true or dtype or device forbid.

    Also takes buffers (bytes of the dtype) and objects with `__dlpack__`. Raises ValueError if `copy` is
    False and one is needed.
    """
    wanted = None if dtype is None else dtypes.as_dtype(dtype, op="asarray")
    if isinstance(obj, Value):
        grad = obj._node is not None if requires_grad is None else requires_grad
        made: Tensor = _tensor_to(obj, wanted, device)
        if copy is False and made is not obj:
            raise ValueError(f"can't alias a tensor of {dtypes.of(obj._array.dtype)} into {wanted} or onto {device}.")
        if not grad and made.requires_grad:
            made = made.detach()
        if copy and (made is obj or made._array is obj._array):
            made = made.clone()
        return made if not grad or made.requires_grad else made.requires_grad_()
    if isinstance(obj, host.generic) and copy is False:
        raise RuntimeError("can't alias NumPy scalars. Either remove copy=False or transform it in a ndarray.")
    if isinstance(obj, (bytes, bytearray, memoryview)):
        array = _from_buffer(obj, wanted or dtypes.get_default_dtype(), "asarray")
    else:
        lent = not _is_array(obj) and (hasattr(obj, "__dlpack__") or _is_capsule(obj))
        if copy is False and not lent and not _is_array(obj):
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        array = from_dlpack(obj)._array if lent else obj
    result = converted(array, wanted, device, copy=bool(copy))
    if copy is False and result.dtype != array.dtype:
        raise ValueError(
            f"can't alias tensor with dtype '{dtypes.of(array.dtype)._title}' into dtype '{dtypes.of(result.dtype)._title}'."
        )
    if requires_grad:
        check_differentiable(dtypes.of(result.dtype), "asarray")
    return finished(result, bool(requires_grad))


@op(method=False)
def from_numpy(ndarray: Any) -> Tensor:
    """Return a Tensor that shares the memory of a NumPy array. Raises TypeError for anything else."""
    if not isinstance(ndarray, host.Array):
        kind = type(ndarray)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        raise TypeError(f"expected np.ndarray (got {module}{kind.__name__})")
    dtypes.of(ndarray.dtype)
    if any(step % ndarray.itemsize for step in ndarray.strides):
        raise ValueError(
            f"given numpy array strides not a multiple of the element byte size (strides {ndarray.strides}, elements of "
            f"{ndarray.itemsize} bytes). Copy the numpy array to reallocate the memory."
        )
    return finished(host.asarray(ndarray))


@op(method=False)
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a Tensor that shares the memory of an object with `__dlpack__`, or of a capsule, which can be used once.

    With another `device` or `copy=True`, of a copy. Raises RuntimeError for anything else, as for a used capsule.
    """
    if isinstance(ext_tensor, Value):
        if ext_tensor._node is not None:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach() (from_dlpack)")
        ext_tensor = ext_tensor._array
    if _is_capsule(ext_tensor):
        from gradcore.ops.capsules import Held

        ext_tensor = Held(ext_tensor)
    if not hasattr(ext_tensor, "__dlpack__"):
        raise RuntimeError(f"from_dlpack(): expected an object with __dlpack__, got {type(ext_tensor).__name__}")
    kind = ext_tensor.__dlpack_device__()[0]
    F = devices.backend("cpu" if kind in _HOST_KINDS else "cuda")
    array = _taken(F, ext_tensor)
    dtypes.of(array.dtype)
    if device is not None:
        array = moved(array, *place(device))
    return finished(F.owned(array) if copy else array)


def _taken(F: ModuleType, lender: Any) -> Array:
    if hasattr(lender, "taken"):
        return lender.taken(F)
    try:
        return F.from_dlpack(lender)
    except (BufferError, RuntimeError):  # perhaps because of a dtype that only the capsule knows
        from gradcore.ops.capsules import Held, given

        return Held(given(lender) if _is_array(lender) else lender.__dlpack__()).taken(F)


# dlpack's numbers for memory of the host: its own, and that pinned for CUDA.
_HOST_KINDS = (1, 3)


@op(method=False)
def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """Return a one-dimensional Tensor that shares the memory of a buffer. Raises ValueError if the sizes do
    not fit."""
    kind = dtypes.as_dtype(dtype, op="frombuffer")
    if requires_grad:
        check_differentiable(kind, "frombuffer")
    return finished(_from_buffer(buffer, kind, "frombuffer", count, offset), requires_grad)


@op(function=False)
def new_tensor(
    input: Tensor,
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Tensor:
    """Return a copy of `data` with this tensor's dtype and device unless others are given."""
    if isinstance(data, Value):
        warn(COPY_WARNING.format("tensor.new_tensor"))
    wanted = dtypes.of(input._array.dtype) if dtype is None else dtypes.as_dtype(dtype, op="new_tensor")
    if requires_grad:
        check_differentiable(wanted, "new_tensor")
    return finished(converted(data, wanted, input.device if device is None else device, copy=True), requires_grad)


def converted(data: Any, dtype: dtypes.dtype | None, device: Any, *, copy: bool) -> Array:
    """Return an array of what `data` is, of `dtype` and on `device`; without `copy` itself where it can be.

    An array that is on a device stays there unless a device, or a default one, is named.
    """
    if type(data) in _PYTHONS:
        return moved(literals.array(data, dtype), *place(device))
    if isinstance(data, Value):
        data = data._array
    if not _is_array(data):
        if isinstance(data, (str, bytes)):
            raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
        if _is_on_device(data):
            data = from_dlpack(data)._array
        elif hasattr(data, "__cuda_array_interface__"):
            data = devices.backend("cuda").asarray(data)
        elif hasattr(data, "__array__"):
            data = host.asarray(data)
        elif hasattr(data, "__dlpack__"):
            data = from_dlpack(data)._array
        else:
            return moved(literals.array(data, dtype), *place(device))
    elif isinstance(data, (host.Array, host.generic)):
        data = host.asarray(data)
    kind = dtypes.of(data.dtype)
    F = of(data)
    here = device is None and (F is not host or devices.get_default_device().type == "cpu")
    array = data if here else moved(data, *place(device))
    F = of(array)
    if dtype not in (None, kind):
        before = F.noise()
        try:
            F.quiet()
            array = F.astype(array, dtype.numpy)
        finally:
            F.unquiet(before)
    if copy and array is data:  # in the order of its memory, where it is no array of a transform
        ordered = not hasattr(F, "interpreter") and 0 not in array.strides
        return F.astype(array, array.dtype, copy=True) if ordered else F.copy(array)
    return array


_PYTHONS = frozenset((list, tuple, bool, int, float, complex))


def _is_on_device(x: Any) -> bool:
    """Whether another library has its array in a device's memory."""
    return hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] not in _HOST_KINDS


def _is_capsule(x: Any) -> bool:
    return type(x).__name__ == "PyCapsule"


def _is_array(x: Any) -> bool:
    try:
        by_type[type(x)]
    except TypeError:
        return False
    return True


def _tensor_to(x: Any, dtype: dtypes.dtype | None, device: Any) -> Any:
    return x.to(device=device, dtype=dtype)


def _from_buffer(buffer: Any, dtype: dtypes.dtype, name: str, count: int = -1, offset: int = 0) -> Array:
    size = memoryview(buffer).nbytes - offset
    width = dtype.itemsize
    if size <= 0 or count == 0:
        raise ValueError(
            f"{name}: offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({size + offset} bytes), and count ({count}) not 0"
        )
    if count < 0 and size % width:
        raise ValueError(
            f"buffer length ({size + offset} bytes) after offset ({offset} bytes) must be a multiple of "
            f"element size ({width}) ({name})"
        )
    if count > 0 and count * width > size:
        raise ValueError(
            f"requested buffer length ({count} * {width} bytes) after offset ({offset} bytes) must not be "
            f"greater than actual buffer length ({size + offset} bytes) ({name})"
        )
    return host.frombuffer(buffer, dtype.numpy, count, offset)
