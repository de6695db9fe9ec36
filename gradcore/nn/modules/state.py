"""The state of a tree of modules: as a flat dictionary of tensors, and read back from one. It must not know any layer."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gradcore.graph.modes import no_grad
from gradcore.nn.modules.hooks import Hook, Hooks, add
from gradcore.nn.parameter import Parameter, is_lazy
from gradcore.recorder.hooks import RemovableHandle
from gradcore.tensor import Tensor

EXTRA = "_extra_state"


class Keys(NamedTuple):
    """The keys that a state_dict lacked, and those that it had beyond what the module has."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class _IncompatibleKeys(Keys):
    """Such keys, shown as torch shows them."""

    def __repr__(self) -> str:
        if not (self.missing_keys or self.unexpected_keys):
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Stateful:
    """What owns parameters, buffers and modules, and can save and restore them."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    _version = 1
    _state_dict_hooks: Hooks = {}  # noqa: RUF012
    _state_dict_pre_hooks = _load_state_dict_pre_hooks = _load_state_dict_post_hooks = _state_dict_hooks

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """All parameters and persistent buffers of the tree by dotted name, detached unless `keep_vars`."""
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead: state_dict(destination=, prefix=, keep_vars=)",
                FutureWarning,
                stacklevel=2,
            )
            given = {"destination": destination, "prefix": prefix, "keep_vars": keep_vars}
            return self.state_dict(**{**given, **dict(zip(given, args, strict=False))})
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # the version of each module's class
        local = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local
        for hook in self._state_dict_pre_hooks.values():
            hook.call(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            if hook.call(self, destination, prefix, local) is not None:
                raise RuntimeError("state_dict post-hook must return None")
        return destination

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
        """Copy the tensors of `state_dict` into the tree; with `assign`, put them there themselves.

        Returns the keys that are missing and unexpected. Raises RuntimeError for those if `strict`, and for tensors that do
        not fit.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        faults = Faults()
        _load_tree(self, OrderedDict(state_dict), "", getattr(state_dict, "_metadata", {}), assign, faults)
        faults.check(self, strict)
        return _IncompatibleKeys(faults.missing, faults.unexpected)

    def get_extra_state(self) -> Any:
        """What a subclass wants in its state_dict beside tensors; only asked for where it is defined."""
        raise RuntimeError(f"{type(self).__name__} has no extra state: it does not define get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(f"{type(self).__name__} has no extra state: it does not define set_extra_state")

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                yield name, buffer

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, tensor in self._own_state():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take the tensors of this module itself, and note what does not fit; subclasses may translate old keys first."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook.call(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        names = dict(self._own_state())
        for name, tensor in names.items():
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
            elif said := _take(self, name, tensor, state_dict[key], key, local_metadata):
                error_msgs.append(said)
        extra = prefix + EXTRA
        if type(self).set_extra_state is Stateful.set_extra_state:
            unexpected_keys.extend([extra] if extra in state_dict else [])
        elif extra in state_dict:
            self.set_extra_state(state_dict[extra])
        else:
            missing_keys.append(extra)
        for key in state_dict:
            if key.startswith(prefix) and key != extra:
                first, dot, _ = key[len(prefix) :].partition(".")
                if first not in (self._modules if dot else names):
                    unexpected_keys.append(key)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the module's part of a state_dict is made."""
        return add(self.__dict__.setdefault("_state_dict_pre_hooks", {}), Hook(hook))

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)`, which may change the state_dict that was made."""
        return add(self.__dict__.setdefault("_state_dict_hooks", {}), Hook(hook))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, ...)`, with the arguments of `_load_from_state_dict`, before loading."""
        return add(self.__dict__.setdefault("_load_state_dict_pre_hooks", {}), Hook(hook))

    def _register_load_state_dict_pre_hook(self, hook: Callable[..., Any], with_module: bool = False) -> RemovableHandle:
        # torch's older form, which many programs use: by default without the module among the arguments.
        return self.register_load_state_dict_pre_hook(hook if with_module else _WithoutModule(hook))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after the module and its children are loaded; it may change the keys."""
        return add(self.__dict__.setdefault("_load_state_dict_post_hooks", {}), Hook(hook))


class _WithoutModule:
    """A hook that is called without the module."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook

    def __call__(self, module: Stateful, *args: Any) -> Any:
        return self.hook(*args)


class Faults:
    """What does not fit while a state_dict is read: keys, and sentences about tensors."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.sentences: list[str] = []

    def check(self, module: Stateful, strict: bool) -> None:
        """Raise RuntimeError if there are any, for all keys too if `strict`."""
        said = list(self.sentences)
        if strict:
            for kind, keys in (("Unexpected", self.unexpected), ("Missing", self.missing)):
                if keys:
                    quoted = ", ".join(f'"{key}"' for key in keys)
                    said.insert(0, f"{kind} key(s) in state_dict: {quoted}. ")
        if said:
            text = "\n\t".join(said)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{text}")


def _load_tree(
    module: Stateful, state: dict[str, Any], prefix: str, metadata: Mapping[str, Any], assign: bool, faults: Faults
) -> None:
    local = {**metadata.get(prefix[:-1], {}), **({"assign_to_params_buffers": True} if assign else {})}
    module._load_from_state_dict(state, prefix, local, True, faults.missing, faults.unexpected, faults.sentences)
    for name, child in module._modules.items():
        if child is not None:
            inner = f"{prefix}{name}."
            part = {key: value for key, value in state.items() if key.startswith(inner)}
            _load_tree(child, part, inner, metadata, assign, faults)
    keys = _IncompatibleKeys(faults.missing, faults.unexpected)
    for hook in module._load_state_dict_post_hooks.values():
        if hook.call(module, keys) is not None:
            raise AssertionError(
                "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values, if "
                "incompatible_keys need to be modified, it should be done inplace."
            )


def _take(module: Stateful, name: str, tensor: Tensor, given: Any, key: str, metadata: dict[str, Any]) -> str:
    """Make `given` the value of one tensor of the module; the sentence that says why that cannot be."""
    if not isinstance(given, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint but '
            f"received {type(given)}"
        )
    if is_lazy(tensor) and is_lazy(given):
        return ""
    if tensor.ndim == 0 and given.shape == (1,):
        given = given[0]
    if given.shape != tensor.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, the shape in current model "
            f"is {tensor.shape}."
        )
    try:
        with no_grad():
            if not metadata.get("assign_to_params_buffers", False):
                tensor.copy_(given)
            elif isinstance(tensor, Parameter) and not isinstance(given, Parameter):
                setattr(module, name, Parameter(given, requires_grad=tensor.requires_grad))
            else:
                setattr(module, name, given.requires_grad_(tensor.requires_grad))
    except Exception as error:
        return (
            f'While copying the parameter named "{key}", whose dimensions in the model are {tensor.size()} and whose '
            f"dimensions in the checkpoint are {given.size()}, an exception occurred : {error.args}."
        )
    return ""
