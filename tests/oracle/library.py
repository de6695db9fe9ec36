"""A library under test seen through torch's public names: tensors across, callables across. It must not compare."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

# Where a torch callable may live. The first hit names it, so the function namespaces stand before Tensor.
NAMESPACES = (
    "",
    "nn.functional",
    "linalg",
    "special",
    "fft",
    "masked",
    "Tensor",
)


class Missing(Exception):
    """The library has no such name."""


def qualified(root: Any, path: str) -> Any:
    """Follow a dotted path; AttributeError where it ends early."""
    return functools.reduce(getattr, path.split("."), root) if path else root


@functools.cache
def torch_paths() -> dict[Any, str]:
    """Map every public torch callable to the path under which a library must offer it."""
    paths: dict[Any, str] = {}
    for namespace in NAMESPACES:
        home = qualified(torch, namespace)
        for attribute in dir(home):
            value = getattr(home, attribute, None)
            if callable(value) and not isinstance(value, type) and isinstance(hash_of(value), int):
                paths.setdefault(value, f"{namespace}.{attribute}".lstrip("."))
    return paths


def hash_of(value: Any) -> int | None:
    try:
        return hash(value)
    except TypeError:
        return None


def numpy_of(tensor: torch.Tensor) -> np.ndarray:
    """Return a torch tensor's values; bfloat16, which NumPy lacks, as float32."""
    tensor = tensor.detach()
    # force: torch represents some zero derivatives by tensors without memory
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy(force=True)


def strided_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Copy a torch tensor into NumPy memory of its own, with the same strides and offset into the copy."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype is torch.bfloat16:
        import ml_dtypes

        return strided_numpy(tensor.view(torch.int16)).view(ml_dtypes.bfloat16)
    if tensor.numel() == 0:
        return np.empty(tuple(tensor.shape), dtype=tensor.numpy().dtype)
    held = tensor.untyped_storage().nbytes() // tensor.element_size()
    buffer = tensor.as_strided((held,), (1,), 0).numpy().copy()
    strides = tuple(s * tensor.element_size() for s in tensor.stride())
    return np.lib.stride_tricks.as_strided(buffer[tensor.storage_offset() :], tuple(tensor.shape), strides)


def strided_torch(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a torch tensor into memory of its own, with the same strides and offset."""
    tensor = tensor.detach()
    if tensor.is_conj() or tensor.is_neg() or tensor.layout is not torch.strided:
        return tensor.clone()
    held = tensor.untyped_storage().nbytes() // tensor.element_size()
    buffer = tensor.as_strided((held,), (1,), 0).clone()
    return buffer.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """Return the distinct torch tensors of a nest of lists, tuples and dicts, in order."""
    found: dict[int, torch.Tensor] = {}

    def visit(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.setdefault(id(value), value)
        elif isinstance(value, slice):
            visit((value.start, value.stop, value.step))
        elif isinstance(value, list | tuple):
            for item in value:
                visit(item)
        elif isinstance(value, Mapping):
            for item in value.values():
                visit(item)

    visit(tree)
    return list(found.values())


def aten_slice(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    """Spell torch.ops.aten.slice, which has no public name, as the index that means the same."""
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


class Library:
    """A module that claims torch's names."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.name: str = module.__name__

    # --- values across -------------------------------------------------------------------------------------

    def tensor(self, tensor: torch.Tensor, *, requires_grad: bool = False) -> Any:
        """Make a leaf of this library with the same values, dtype and strides."""
        if tensor.storage_offset() and hasattr(self.module, "as_strided"):
            made = self.view_into_storage(tensor)
        else:
            made = self.module.from_numpy(strided_numpy(tensor))
        if requires_grad:
            made.requires_grad_(True)
        return made

    def view_into_storage(self, tensor: torch.Tensor) -> Any:
        """Make the whole storage and the tensor as a view of it: as_strided reaches what lies before the first element."""
        held = tensor.untyped_storage().nbytes() // tensor.element_size()
        storage = self.tensor(tensor.detach().as_strided((held,), (1,), 0))
        return storage.as_strided(tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset()).detach()

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, self.module.Tensor)

    def array(self, tensor: Any) -> np.ndarray:
        """Return a tensor's values on the host; bfloat16 as float32."""
        if isinstance(tensor, torch.Tensor):
            return numpy_of(tensor)
        tensor = tensor.detach()
        if self.dtype_name(tensor.dtype) == "bfloat16":
            tensor = tensor.to(self.module.float32)
        return np.asarray(tensor.numpy())

    @staticmethod
    def dtype_name(dtype: Any) -> str:
        return str(dtype).rpartition(".")[2]

    def convert(self, value: Any, leaves: dict[int, Any]) -> Any:
        """Translate a torch argument. `leaves` maps id(torch tensor) to its translation, and is filled."""
        match value:
            case torch.Tensor():
                if id(value) not in leaves:
                    leaves[id(value)] = self.tensor(value, requires_grad=value.requires_grad)
                return leaves[id(value)]
            case torch.Size():
                return self.attribute("Size")(value)
            case torch.dtype() | torch.memory_format() | torch.layout():
                return self.attribute(self.dtype_name(value))
            case torch.device():
                return self.attribute("device")(str(value))
            case slice():
                parts = (value.start, value.stop, value.step)
                return slice(*(self.convert(part, leaves) for part in parts))
            case list() | tuple():
                return type(value)(self.convert(item, leaves) for item in value)
            case dict():
                return {key: self.convert(item, leaves) for key, item in value.items()}
            case torch.nn.PairwiseDistance():
                return functools.partial(
                    self.attribute("nn.functional.pairwise_distance"),
                    p=value.norm,
                    eps=value.eps,
                    keepdim=value.keepdim,
                )
            case _ if callable(value) and not isinstance(value, type):
                return self.resolve(value)
            case _:
                return value

    # --- callables across ----------------------------------------------------------------------------------

    def attribute(self, path: str) -> Any:
        try:
            return qualified(self.module, path)
        except AttributeError:
            raise Missing(f"{self.name} has no `{path}`") from None

    def resolve(self, function: Callable[..., Any], path: str = "") -> Callable[..., Any]:
        """Find what this library calls `function`, a torch callable or a wrapper that op_db wrote around one.

        `path` is the name to prefer where it names the same torch callable. Raises Missing.
        """
        if path and names_in_torch(path, function):
            return self.attribute(path)  # type: ignore[no-any-return]
        if function is torch.ops.aten.slice.Tensor:
            return aten_slice
        if isinstance(function, functools.partial):
            keywords = self.convert(function.keywords, {})
            return functools.partial(self.resolve(function.func), *self.convert(function.args, {}), **keywords)
        if isinstance(function, types.FunctionType) and is_test_code(function):
            return self.rebind(function)
        found = torch_paths().get(function)
        if found is not None:
            return self.attribute(found)  # type: ignore[no-any-return]
        return function  # an `operator` function serves every library

    def rebind(self, function: types.FunctionType) -> Callable[..., Any]:
        """Return the same code with `torch` bound to this library, in its globals and in the functions it closes over."""
        replaced = {"torch": self.module, "wrapper_set_seed": self.seeded}
        namespace = {**function.__globals__, **replaced}
        cells = []
        for cell in function.__closure__ or ():
            held = cell.cell_contents
            own = isinstance(held, types.FunctionType) and is_test_code(held)
            cells.append(types.CellType(self.rebind(held) if own else held))
        bound = types.FunctionType(
            function.__code__, namespace, function.__name__, function.__defaults__, tuple(cells) or None
        )
        bound.__kwdefaults__ = function.__kwdefaults__
        return bound

    def seeded(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Stand for op_db's `wrapper_set_seed`: call with the seed that op_db uses."""
        self.seed(42)
        return function(*args, **kwargs)

    def seed(self, number: int) -> None:
        self.attribute("manual_seed")(number)

    # --- calls: every use of the library under test passes here, so that a saboteur can stand in the way ----

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def grad(self, outputs: Any, inputs: Any, cotangents: Any, **options: Any) -> Any:
        return self.attribute("autograd.grad")(outputs, inputs, cotangents, allow_unused=True, **options)


class OnDevice(Library):
    """The module with every tensor on a device, where it also makes new ones."""

    def __init__(self, module: Any, device: str) -> None:
        super().__init__(module)
        self.device = device

    def tensor(self, tensor: torch.Tensor, *, requires_grad: bool = False) -> Any:
        if tensor.storage_offset():
            return self.view_into_storage(tensor).requires_grad_(requires_grad)
        host = self.module.from_numpy(strided_numpy(tensor))
        made = host.to(self.device)
        if made.stride() != host.stride():  # a copy to the device may come in another order
            made = self.module.empty_strided(host.shape, host.stride(), dtype=host.dtype, device=self.device).copy_(made)
        return made.requires_grad_(requires_grad)

    def array(self, tensor: Any) -> np.ndarray:
        return super().array(tensor if isinstance(tensor, torch.Tensor) else tensor.detach().cpu())

    def convert(self, value: Any, leaves: dict[int, Any]) -> Any:
        on_cpu = isinstance(value, torch.device) or (isinstance(value, str) and value == "cpu")
        return self.attribute("device")(self.device) if on_cpu else super().convert(value, leaves)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        before = self.module.get_default_device()
        self.module.set_default_device(self.device)
        try:
            return super().call(function, *args, **kwargs)
        finally:
            self.module.set_default_device(before)


class Reference(Library):
    """torch itself as the judge: no detour over NumPy, and a seed that leaves torch's own generator alone."""

    def __init__(self) -> None:
        super().__init__(torch)

    def tensor(self, tensor: torch.Tensor, *, requires_grad: bool = False) -> torch.Tensor:
        return strided_torch(tensor).requires_grad_(requires_grad)

    def array(self, tensor: torch.Tensor) -> np.ndarray:
        return numpy_of(tensor)

    def resolve(self, function: Callable[..., Any], path: str = "") -> Callable[..., Any]:
        return function


class StandIn(Library):
    """torch in the place of the library under test, to prove the oracle itself: all must pass, through NumPy."""

    def __init__(self) -> None:
        super().__init__(torch)

    def tensor(self, tensor: torch.Tensor, *, requires_grad: bool = False) -> torch.Tensor:
        if tensor.dtype is torch.bfloat16:  # torch.from_numpy does not know ml_dtypes
            return strided_torch(tensor).requires_grad_(requires_grad)
        return super().tensor(tensor, requires_grad=requires_grad)


def names_in_torch(path: str, function: Callable[..., Any]) -> bool:
    try:
        return qualified(torch, path) is function
    except AttributeError:
        return False


def is_test_code(function: types.FunctionType) -> bool:
    return function.__module__.startswith("torch.testing._internal")
