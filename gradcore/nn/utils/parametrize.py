"""torch.nn.utils.parametrize: tensors of modules computed from others whenever they are asked for. It must know no layer.

The module gets a class of its own with a property, which runs the parametrizations on the tensors that they keep.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any

from gradcore.graph.modes import no_grad
from gradcore.nn.modules.container import ModuleDict, ModuleList
from gradcore.nn.modules.module import Module
from gradcore.nn.parameter import Parameter
from gradcore.tensor import Tensor

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip


class _Cache(threading.local):
    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[tuple[int, str], Any] = {}


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """A block in which each parametrized tensor is computed once."""
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values = {}


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _check_same(what: str, before: Tensor, after: Any, name: str) -> None:
    """Raise ValueError unless `after`, which `name` returned, is a tensor of the dtype and shape of `before`."""
    if not isinstance(after, Tensor):
        raise ValueError(f"{what} must return a tensor. Got {type(after).__name__}.")
    for kind in ("dtype", "shape"):
        old, new = getattr(before, kind), getattr(after, kind)
        if old != new:
            raise ValueError(
                f"Registering a parametrization may not change the {kind} of the tensor, unless `unsafe` flag is enabled.\n"
                f"unparametrized {kind}: {old}\n{name} {kind}: {new}"
            )


def _check_inverse(name: str, before: Tensor, back: Any) -> None:
    """Raise ValueError unless `back`, which `right_inverse` returned, is a tensor of the dtype and shape of `before`."""
    if not isinstance(back, Tensor):
        raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(back).__name__}")
    for kind in ("dtype", "shape"):
        old, new = getattr(before, kind), getattr(back, kind)
        if old != new:
            raise ValueError(
                f"The tensor returned by parametrization.right_inverse must have the same {kind} as module.{name}, unless "
                f"the `unsafe` flag is enabled.\nmodule.{name}.{kind}: {old}\nreturned {kind}: {new}"
            )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, run one after the other, and the tensors that the first one is of.

    These are the parameter (or buffer) `original`, or `original0`, `original1`, ... if `right_inverse` of the first returns
    several. `unsafe` ones may change dtype and shape. Raises ValueError for what does not fit together.
    """

    original: Tensor

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        new: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):
                        new = module.right_inverse(new)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got "
                f"{type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        before = original.detach()
        if isinstance(new, Tensor):
            for kind in ("dtype", "device"):
                old, other = getattr(original, kind), getattr(new, kind)
                if old != other:
                    raise ValueError(
                        f"When `right_inverse` outputs one tensor, it may not change the {kind}.\noriginal.{kind}: {old}\n"
                        f"right_inverse(original).{kind}: {other}"
                    )
            original.data = new.detach()
            _register(self, "original", original)
        else:
            for i, each in enumerate(new):
                if not isinstance(each, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got element "
                        f"{i} of the sequence with type {type(each).__name__}."
                    )
                each = Parameter(each, original.requires_grad) if isinstance(original, Parameter) else each
                _register(self, f"original{i}", each.requires_grad_(original.requires_grad))
        if not unsafe:
            _check_same("A parametrization", before, self(), "parametrized")

    def _originals(self) -> list[Tensor]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Change the originals so that `value` is what comes out, by the inverses from the last parametrization on.

        Raises RuntimeError if one of them has no `right_inverse`, ValueError for what does not fit.
        """
        with no_grad():
            made: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                made = module.right_inverse(made)
            if self.is_tensor:
                if not isinstance(made, Tensor):
                    raise ValueError(f"`right_inverse` should return a tensor. Got {type(made).__name__}")
                made = [made]
            elif not isinstance(made, Sequence):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(made).__name__}.")
            if len(made) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a sequence of length "
                    f"{len(made)}."
                )
            for i, (old, new) in enumerate(zip(self._originals(), made, strict=True)):
                if not isinstance(new, Tensor):
                    raise ValueError(
                        f"`right_inverse` must return a sequence of tensors. Got element {i} of type {type(new).__name__}."
                    )
                if old.dtype != new.dtype:
                    name = "original" if self.is_tensor else f"original{i}"
                    which = "The tensor" if self.is_tensor else f"Tensor {i}"
                    raise ValueError(
                        f"{which} returned by `right_inverse` has dtype {new.dtype} while `{name}` has dtype {old.dtype}"
                    )
            for old, new in zip(self._originals(), made, strict=True):
                old.data = new.detach()

    def forward(self) -> Tensor:
        """The parametrized tensor."""
        first, *others = self
        x = first(*self._originals())
        for each in others:
            x = each(x)
        return x  # type: ignore[no-any-return]


# -- modules ----------------------------------------------------------------------------------------------------------


def _copied(self: Any, memo: dict[int, Any]) -> Any:
    made = memo[id(self)] = self.__new__(type(self))
    made.__dict__.update(deepcopy(self.__dict__, memo))
    return made


def _refuse_state(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(): save that, and load it into a module "
        "that is parametrized in the same way."
    )


def _give_class(module: Module) -> None:
    """Give `module` a class of its own."""
    cls = type(module)
    own = {"__getstate__": _refuse_state, "__module__": cls.__module__, "__doc__": cls.__doc__}
    if not hasattr(cls, "__deepcopy__"):
        own["__deepcopy__"] = _copied
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), own)


def _give_property(module: Module, name: str) -> None:
    """Let the attribute `name` of `module`, whose class is its own, be computed."""
    if hasattr(module, name):
        raise AssertionError(f"Module already has an attribute named '{name}'")

    def get(self: Any) -> Any:
        parametrization = self.parametrizations[name]
        if not _cache.depth:
            return parametrization()
        key = (id(self), name)
        if key not in _cache.values:
            _cache.values[key] = parametrization()
        return _cache.values[key]

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer of `module` be what `parametrization` makes of the tensor there, and return the module.

    A second one is of what the first makes. With its `right_inverse`, assigning to the attribute changes the original.
    Unless `unsafe`, dtype and shape must stay. Raises ValueError otherwise, or if there is no such tensor.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        known = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            after = parametrization(before)
            _check_same("A parametrization", before, after, f"parametrization(module.{tensor_name})")
            if hasattr(parametrization, "right_inverse"):
                try:
                    back = parametrization.right_inverse(after)
                except NotImplementedError:
                    back = before
                _check_inverse(tensor_name, before, back)
        known.append(parametrization)
        known.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_class(module)
            module.parametrizations = ModuleDict()
        _give_property(module, tensor_name)
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'"
        )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether any tensor of `module`, or the one of that name, is parametrized."""
    found = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Take the parametrizations from a tensor, which keeps its value, or gets back the original's, and return the module.

    Raises ValueError if there are none, or if there are several originals to get back.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    found = module.parametrizations[tensor_name]
    if not (found.is_tensor or leave_parametrized):
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a sequence "
            "of tensors."
        )
    if found.is_tensor:
        original = found.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name).detach()
    else:
        value = getattr(module, tensor_name)
        original = Parameter(value) if value.requires_grad else value
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of `module` before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Let `to_module` share the parametrizations, and the originals, of all tensors of `from_module`, or of one."""
    if is_parametrized(from_module):
        for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
            source = from_module.parametrizations[name]
            if not hasattr(to_module, name):
                setattr(to_module, name, Parameter(getattr(from_module, name)))
            for each in source:
                register_parametrization(to_module, name, each)
            target = to_module.parametrizations[name]
            for key in ["original"] if source.is_tensor else [f"original{i}" for i in range(source.ntensors)]:
                setattr(target, key, getattr(source, key))
    return to_module
