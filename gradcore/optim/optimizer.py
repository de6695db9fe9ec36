"""The base of optimizers: groups of parameters, state for each, saving and loading. It must not know any update rule."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from gradcore.backends import captures
from gradcore.backends import numpy as host
from gradcore.dtypes import float32
from gradcore.graph.modes import enable_grad, set_grad_enabled
from gradcore.nn.modules.hooks import Hook, Hooks, add
from gradcore.nn.modules.module import forget_gradient, typename
from gradcore.ops.creation import tensor
from gradcore.optim.update import Rule, Waiting, overwritten, recorded, run, update
from gradcore.recorder.hooks import RemovableHandle
from gradcore.tensor import Tensor

Group = dict[str, Any]
_STEP_HOOKS: Hooks = {}
_EVERY_STEP_PRE_HOOKS: Hooks = {}
_EVERY_STEP_POST_HOOKS: Hooks = {}


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before each step of all optimizers, and before their own such hooks."""
    return add(_EVERY_STEP_PRE_HOOKS, Hook(hook))


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after each step of all optimizers, and after their own such hooks."""
    return add(_EVERY_STEP_POST_HOOKS, Hook(hook))


class _Required:
    """The default of a setting that has none."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _watched(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` with its hooks, and a note that it was called, for learning rate schedulers."""

    @functools.wraps(step)
    def watched(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True
        for hook in [*_EVERY_STEP_PRE_HOOKS.values(), *self._step_pre_hooks.values()]:
            changed = hook.call(self, (self, *args), kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
                (self, *args), kwargs = changed
        result = step(self, *args, **kwargs)
        for hook in [*self._step_post_hooks.values(), *_EVERY_STEP_POST_HOOKS.values()]:
            hook.call(self, (self, *args), kwargs)
        return result

    return watched


class Optimizer:
    """Moves parameters along their gradients: `step()` after each backward pass.

    `params` is an iterable of tensors, of pairs of a name and a tensor, or of dicts with such a list under "params" and
    settings of their own. A subclass defines `_start`, the state of a parameter before its first step, and `_move`, one
    step of one parameter; or `step` itself.
    """

    # Dictionaries of hooks are made when a first one is registered.
    _step_pre_hooks: Hooks = _STEP_HOOKS
    _step_post_hooks = _state_dict_pre_hooks = _state_dict_post_hooks = _STEP_HOOKS
    _load_state_dict_pre_hooks = _load_state_dict_post_hooks = _STEP_HOOKS

    def __init_subclass__(cls) -> None:
        if "step" in vars(cls):
            cls.step = _watched(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + typename(params)
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._opt_called = False
        self._waiting: Waiting = {}
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Optimize more parameters, with the settings of `param_group`. Raises TypeError or ValueError for others."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will "
                "change between runs. Please use a list instead."
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [each[0] for each in params if isinstance(each, tuple)]
        params = [each[1] if isinstance(each, tuple) else each for each in params]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        for each in params:
            if not isinstance(each, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {typename(each)}")
            if not self.defaults.get("differentiable") and not (each.is_leaf or each.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error",
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in group) != bool(names):
                kind = "with names" if names else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param group "
                    f"{kind} to the optimizer"
                )
            if not set(params).isdisjoint(group["params"]):
                raise ValueError("some parameters appear in more than one parameter group")
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for name, default in self.defaults.items():
            param_group.setdefault(name, default)
        self.param_groups.append(param_group)

    # -- a step -------------------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or overwrite them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                forget_gradient(p, set_to_none)

    @_watched
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all parameters that have a gradient; return what `closure`, which computes them anew, returns."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if captures:
            self._check_capture()
        before = host.noise()
        try:
            host.quiet()
            with set_grad_enabled(bool(self.defaults.get("differentiable"))):
                for group in self.param_groups:
                    for p in group["params"]:
                        gradient = p.grad
                        if gradient is not None:
                            self._move(p, gradient, group)
        finally:
            try:
                run(self._waiting)
            finally:
                host.unquiet(before)
        return loss

    # The setting with which it counts steps where the parameters are, since a graph's replay cannot change a number of the
    # host's; None if it does not count.
    _counting: str | None = "capturable"

    def _counts_there(self, group: Group) -> bool:
        return self._counting is None or bool(group.get(self._counting, True))

    def _check_capture(self) -> None:
        """Raise RuntimeError if a step that a CUDA graph captures would take every replay for the same step."""
        for group in self.param_groups:
            if not self._counts_there(group):
                raise RuntimeError(
                    f"Attempting CUDA graph capture of step() for an instance of {type(self).__name__} but this instance "
                    f"was constructed with {self._counting}={group[self._counting]}."  # type: ignore[index]
                )

    def _start(self, p: Tensor, group: Group) -> dict[str, Any]:
        raise NotImplementedError

    def _move(self, p: Tensor, gradient: Tensor, group: Group) -> None:
        raise NotImplementedError

    def _state_of(self, p: Tensor, group: Group) -> dict[str, Any]:
        state = self.state[p]
        if not state:
            state.update(self._start(p, group))
        return state

    def _apply(self, rule: Rule, group: Group, *tensors: Tensor, **numbers: Any) -> None:
        """Let `rule` change all `tensors` but the first, the gradient; the second is the parameter."""
        if group["differentiable"]:
            recorded(rule, tensors, numbers)
        else:
            update(rule, tensors, numbers, self._waiting)
            overwritten(tensors[1], f"{type(self).__name__}.step")

    def _count(self, state: dict[str, Any], group: Group) -> Any:
        """One step more: how many there were with it; as the tensor that counts them, where that is on a device."""
        step = state["step"]
        if type(step._array) is host.Array:
            return count(state)
        return self._changed(step, tick)

    def _counter(self, p: Tensor, group: Group, start: float = 0.0) -> Tensor:
        """A number of the state, a count of steps say, as torch keeps it; where the parameter is, if it is counted there."""
        if p.is_cuda and self._counts_there(group):
            return p.new_full((), start, dtype=float32)  # type: ignore[no-any-return]
        return tensor(start)

    def _changed(self, value: Tensor, rule: Rule, **numbers: Any) -> Any:
        """A number of the state after `rule` has changed it: the tensor that it is, where that is on a device."""
        update(rule, (value,), numbers, self._waiting)
        return float(value._array) if type(value._array) is host.Array else value

    def _number(self, p: Tensor, group: Group, name: str) -> Any:
        """A setting as a number; as the tensor it is, where it must not be read now: in a step to capture, or to record."""
        value = group[name]
        if isinstance(value, Tensor) and (
            (group["differentiable"] and value.requires_grad) or (value.is_cuda and p.is_cuda and self._counts_there(group))
        ):
            return value
        return number(value)

    # -- saving and loading -------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state by number of the parameter, and the groups with numbers for parameters."""
        for hook in self._state_dict_pre_hooks.values():
            hook.call(self)
        numbers: dict[int, int] = {}
        for p in chain.from_iterable(group["params"] for group in self.param_groups):
            numbers.setdefault(id(p), len(numbers))
        saved: dict[str, Any] = {
            "state": {numbers[id(p)]: state for p, state in self.state.items()},
            "param_groups": [
                {**{name: value for name, value in group.items() if name != "params"},
                 "params": [numbers[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }  # fmt: skip
        for hook in self._state_dict_post_hooks.values():
            saved = hook.call(self, saved) or saved
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, for as many parameters in the same order. Raises ValueError for others."""
        state_dict = dict(state_dict)
        for hook in self._load_state_dict_pre_hooks.values():
            state_dict = hook.call(self, state_dict) or state_dict
        groups = deepcopy(state_dict["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, self.param_groups, strict=True)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        numbers = list(chain.from_iterable(group["params"] for group in groups))
        params = dict(zip(numbers, chain.from_iterable(g["params"] for g in self.param_groups), strict=True))
        self.state = defaultdict(dict)
        for number, state in state_dict["state"].items():
            there = number in params and any(self._counts_there(g) and number in g["params"] for g in groups)
            self.state[params.get(number, number)] = _fitted(state, params[number], there) if number in params else state
        for old, new in zip(self.param_groups, groups, strict=True):
            new["params"] = old["params"]
            if "param_names" in old:
                new.setdefault("param_names", old["param_names"])
        self.param_groups = groups
        for hook in self._load_state_dict_post_hooks.values():
            hook.call(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _opt_called=False, _waiting={})

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            settings = "".join(f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params")
            text += f"\nParameter Group {i}\n{settings}"
        return f"{text})"

    # -- hooks --------------------------------------------------------------------------------------------------------

    def _registered(self, kind: str, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        return add(self.__dict__.setdefault(kind, {}), Hook(hook), prepend)

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; what it returns, if anything, replaces the arguments."""
        return self._registered("_step_pre_hooks", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return self._registered("_step_post_hooks", hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before a state_dict is made."""
        return self._registered("_state_dict_pre_hooks", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)`; what it returns, if anything, replaces the state_dict."""
        return self._registered("_state_dict_post_hooks", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; what it returns, if anything, is loaded instead."""
        return self._registered("_load_state_dict_pre_hooks", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return self._registered("_load_state_dict_post_hooks", hook, prepend)


def _fitted(value: Any, p: Tensor, there: bool = False, name: Any = None) -> Any:
    """A part of a state as the parameter needs it: tensors, but for the count of steps, in its dtype and on its device.

    If it is to be counted `there`, on the device, so is that.
    """
    if name == "step" and not isinstance(value, Tensor):
        value = tensor(float(value))  # as old checkpoints have it
    if isinstance(value, Tensor):
        if name in _COUNTED:
            return value.to(p.device, float32) if there and p.is_cuda else value
        return value.to(p.device, p.dtype) if p.is_floating_point() else value.to(p.device)
    if isinstance(value, dict):
        return {key: _fitted(each, p, there, key) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_fitted(each, p, there) for each in value)
    return value


# The numbers of a state, which are where steps are counted.
_COUNTED = ("step", "mu_product", "eta", "mu")


# -- what optimizers share --------------------------------------------------------------------------------------------


def settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """The settings among the `locals()` of an optimizer's `__init__`: all arguments but the parameters."""
    return {name: value for name, value in arguments.items() if name not in ("self", "params", "__class__")}


def check(**settings: Any) -> None:
    """Raise ValueError, as torch words it, for a setting that is negative. Names are those of the message."""
    for name, value in settings.items():
        if name == "lr" and isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not value >= 0.0:
            raise ValueError(f"Invalid {_TITLES.get(name, f'{name} value')}: {value}")


_TITLES = {"lr": "learning rate", "eps": "epsilon value"}


def check_betas(betas: tuple[float, float]) -> None:
    """Raise ValueError for decay rates outside of [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def number(value: Any) -> Any:
    """A setting, which may be a tensor of one element, as a number."""
    return value.item() if isinstance(value, Tensor) else value


def check_ways(foreach: Any, fused: Any, differentiable: bool = False, lr: Any = None, capturable: bool = True) -> None:
    """Raise RuntimeError or ValueError for ways of going through the parameters that exclude each other.

    Here they are all one way: the rule in place on the host, one kernel for all parameters on a device.
    """
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if foreach and not capturable and isinstance(lr, Tensor):
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")


def tick(F: Any, step: Any) -> None:
    """One step more."""
    step += 1


def count(state: dict[str, Any]) -> float:
    """One step more; how many there were with it."""
    array = state["step"]._array
    array += 1
    return float(array)
