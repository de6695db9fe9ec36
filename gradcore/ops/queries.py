"""Questions about tensors that compute nothing, and torch's attributes that are the same for every tensor
here. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gradcore import backends, dtypes, layouts
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.ops import arguments
from gradcore.ops.registry import methods, op
from gradcore.recorder import errors
from gradcore.recorder.caller import always
from gradcore.recorder.inplace import check_writable, store
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(method=False)
def is_tensor(obj: Any) -> bool:
    """Say whether `obj` is a Tensor."""
    return isinstance(obj, Value)


@op(method=False)
def is_storage(obj: Any) -> bool:
    """Say whether `obj` is a storage of a tensor."""
    return isinstance(obj, Storage)


@op(method=False)
def numel(input: Tensor) -> int:
    """Return the number of elements."""
    arguments.need_tensor(input, "numel")
    return input.numel()


@op()
def is_nonzero(input: Tensor) -> bool:
    """Say whether the only element is not 0. Raises RuntimeError if there is not exactly one."""
    arguments.need_tensor(input, "is_nonzero")
    return bool(input)


@op(method=False)
def is_inference(input: Tensor) -> bool:
    """Say whether the tensor was made in inference mode."""
    arguments.need_tensor(input, "is_inference")
    return input.is_inference()


@op(method=False)
def get_device(input: Tensor) -> int:
    """Return the index of the CUDA device of the tensor, -1 for the CPU."""
    arguments.need_tensor(input, "get_device")
    return input.get_device()


@op(method=False)
def detach(input: Tensor) -> Tensor:
    """Return a constant that shares the memory of the tensor."""
    arguments.need_tensor(input, "detach")
    return input.detach()


@op(method=False)
def typename(obj: Any, /) -> str:
    """Return the name of an object's type with its module's, torch's for tensors."""
    if isinstance(obj, Value):
        return obj.type()  # type: ignore[attr-defined, no-any-return]
    kind = obj if isinstance(obj, type) else type(obj)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


@op(method=False)
def set_warn_always(b: bool, /) -> None:
    """Say that warnings which come once in a process are wanted each time."""
    if not isinstance(b, bool):
        raise RuntimeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    always[0] = b


@op(method=False)
def is_warn_always_enabled() -> bool:
    """Return what `set_warn_always` was told last."""
    return always[0]


@op(function=False)
def why_no_grad(input: Tensor) -> str:
    """Say why the tensor has no history: where it was cut, if it was made inside `autograd.note_cuts()`."""
    if input.requires_grad:
        return "it requires grad: " + ("it is a leaf" if input.grad_fn is None else f"{input.grad_fn.name()} made it")
    return errors.why_no_grad(input)


@op()
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Say whether both have one shape."""
    return bool(input._array.shape == other._array.shape)


@op(function=False)
def is_set_to(input: Tensor, tensor: Tensor) -> bool:
    """Say whether both are the same elements of the same memory."""
    F = of(input._array)
    same_memory = F is of(tensor._array) and F.storage(input._array) is F.storage(tensor._array)
    return bool(
        same_memory
        and input.data_ptr() == tensor.data_ptr()
        and input._array.shape == tensor._array.shape
        and input.stride() == tensor.stride()
    )


@op(method=False)
def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """Return the dtype of an operation on two tensors or numbers."""
    tensor1, tensor2 = (
        x.item() if hasattr(x, "item") and not isinstance(x, Value) and not getattr(x, "ndim", 1) else x
        for x in (tensor1, tensor2)
    )
    for i, x in enumerate((tensor1, tensor2)):
        if not isinstance(x, (Value, bool, int, float, complex)):
            raise arguments.not_a_tensor("result_type", f"tensor{i + 1}", i + 1, x)
    tensors = [x for x in (tensor1, tensor2) if isinstance(x, Value)]
    found = dtypes.result_type(
        [dtypes.of(x._array.dtype) for x in tensors if x._array.ndim],
        [dtypes.of(x._array.dtype) for x in tensors if not x._array.ndim],
        [type(x) for x in (tensor1, tensor2) if not isinstance(x, Value)],
    )
    assert found is not None
    return found


@op(function=False)
def dim_order(input: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    """Return the dimensions from the outermost to the innermost in memory.

    With `ambiguity_check`, RuntimeError is raised if there is another order, unless exactly one of the formats that are
    listed there is that of the memory. Raises TypeError for a list of anything else.
    """
    formats = ambiguity_check if isinstance(ambiguity_check, list) else []
    if not isinstance(ambiguity_check, (bool, list)) or not all(isinstance(x, layouts.memory_format) for x in formats):
        raise TypeError("The ambiguity_check argument must be a bool or a list of memory formats.")
    steps = input.stride()
    several = 1 in input.shape or any(a == b for a, b in pairwise(steps))
    if ambiguity_check is not False and several and [_lies_in(input, x) for x in formats].count(True) != 1:
        raise RuntimeError(
            "The tensor does not have unique dim order, or cannot map to exact one of the given memory formats."
        )
    return tuple(sorted(range(input.dim()), key=lambda d: -input._array.strides[d]))


def _lies_in(x: Tensor, format: layouts.memory_format) -> bool:
    """Whether the elements of `x` are in the order of a memory format: channels after the places, if so it says."""
    if format in (layouts.contiguous_format, layouts.preserve_format):
        return x.is_contiguous()
    dims = 4 if format is layouts.channels_last else 5
    return x.dim() == dims and x.movedim(1, -1).is_contiguous()


# -- memory -------------------------------------------------------------------------------------------------


class Storage:
    """The memory of a tensor and of all its views."""

    def __init__(self, array: Any) -> None:
        self._array = of(array).storage(array)

    def data_ptr(self) -> int:
        """Return the address of the first byte."""
        return of(self._array).address(self._array) if self._array.size else 0

    def nbytes(self) -> int:
        """Return the size in bytes."""
        return self._array.nbytes  # type: ignore[no-any-return]

    size = __len__ = nbytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and self._array is other._array

    def __hash__(self) -> int:
        return id(self._array)


@op(function=False)
def untyped_storage(input: Tensor) -> Storage:
    """Return the memory of the tensor."""
    return Storage(input._array)


@op(function=False)
def is_shared(input: Tensor) -> bool:
    """Say whether the memory is shared with other processes: never here."""
    return False


@op(function=False)
def is_pinned(input: Tensor, device: Any = None) -> bool:
    """Say whether the memory is the host's and page-locked, so that a device can read it by itself."""
    array = input._array
    locked = isinstance(array, host.Array) and "cuda" in backends.by_device
    return locked and bool(backends.cuda_streams().is_pinned(array))


@op(function=False)
def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """Return a copy in page-locked memory of the host, from which `to(device, non_blocking=True)` does not wait.

    The tensor itself if it is there. Raises RuntimeError for a tensor on a device, or where there is no CUDA.
    """
    if input.is_cuda:
        raise RuntimeError(f"cannot pin '{input.type()}' only dense CPU tensors can be pinned")
    locked = backends.cuda_streams()
    if is_pinned(input):
        return input
    into: Tensor = wrap(locked.pinned_empty(input._array.shape, input._array.dtype))
    return into.copy_(input)  # type: ignore[no-any-return]


# -- Python functions on elements ----------------------------------------------------------------------------


def apply_(input: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a Python function makes of it. On the CPU only."""
    return _mapped(input, "apply_", lambda: map(callable, input.flatten().tolist()))


def map_(input: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace each element by what a Python function makes of it and of the one in `tensor`. On the CPU
    only."""
    if tensor._node is not None:
        raise RuntimeError("Can't call map_() on Variable that requires grad. Use var.detach().map_() instead.")
    return _mapped(input, "map_", lambda: map(callable, input.flatten().tolist(), tensor.flatten().tolist()))


def _mapped(input: Tensor, name: str, elements: Callable[[], Any]) -> Tensor:
    check_writable(input, name)
    array, F = input._array, of(input._array)
    if input._node is not None:
        raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
    if F.device_type != "cpu":
        raise TypeError(f"{name} is only implemented on CPU tensors; use operations")
    result = F.asarray(list(elements()), array.dtype).reshape(array.shape)
    return store(input, wrap(result), name)  # type: ignore[return-value]


methods["apply_"], methods["map_"] = apply_, map_

# -- attributes of every tensor ------------------------------------------------------------------------------


def _always(value: Any, told: str) -> Any:
    return property(lambda self: value, doc=told)


methods["layout"] = _always(layouts.strided, "How the elements are stored.")
for _name in (
    "sparse",
    "sparse_csr",
    "quantized",
    "meta",
    "mkldnn",
    "nested",
    "mps",
    "xpu",
    "xla",
    "hpu",
    "vulkan",
):
    methods[f"is_{_name}"] = _always(False, f"Whether it is a {_name} tensor: never here.")


@op(function=False)
def record_stream(input: Tensor, stream: Any) -> None:
    """Say that work of `stream`, not the one on which it was made, uses the memory: it is not used anew before that is done.

    Raises NotImplementedError for a tensor of the host.
    """
    if not input.is_cuda:
        raise NotImplementedError(f"record_stream() is for tensors on a CUDA device, and this one is on {input.device}")
    backends.cuda_streams().used_by(input._array, stream._handle)


def share_memory_(self: Tensor) -> Tensor:
    """Return the tensor: its memory is shared by all threads of the process, which is all there is."""
    return self


def _make_subclass(cls: Any, data: Tensor, require_grad: bool = False) -> Any:
    """A leaf of class `cls` that shares the memory of `data`. Raises TypeError for what is no class of tensors."""
    if not isinstance(cls, type):
        raise TypeError(f"cls must be a type (got {type(cls).__name__})")
    if not issubclass(cls, Value):
        raise TypeError(
            "Creating a Tensor subclass from a class that does not inherit from Tensor is not possible. Make sure your "
            f"class inherits from Tensor. (got {cls.__name__})"
        )
    if not isinstance(data, Value):
        raise arguments.not_a_tensor("_make_subclass", "data", 2, data)
    return data.detach().as_subclass(cls).requires_grad_(require_grad)


methods["_make_subclass"], methods["share_memory_"] = staticmethod(_make_subclass), share_memory_
