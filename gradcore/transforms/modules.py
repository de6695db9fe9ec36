"""Modules as functions of their parameters: calls with other values, and the values of several models stacked.

It must not know any layer, nor the class of modules: it takes what registers parameters, buffers and modules by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gradcore.ops.joining import stack
from gradcore.recorder.value import Value

Values = dict[str, Any]
_ABSENT: Any = object()


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Values | Sequence[Values],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Return `module(*args, **kwargs)` with the parameters and buffers named in the dict, or dicts, in place of its own.

    A value given for one of several names of a parameter counts for all, unless not `tie_weights`. With `strict`, just the
    names that the module has must be given. What the module assigns to these names meanwhile is in the dict afterwards.
    Raises ValueError for ambiguous values, RuntimeError for names, TypeError for what is no tensor.
    """
    given = values = _merged(parameter_and_buffer_dicts)
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    if tie_weights:
        values = _tied(own, values)
    if strict:
        _check_names(module, own, values)
    places = [(name, _owner(module, name), value) for name, value in values.items()]
    kept = []
    try:
        for name, owner, value in places:
            if value is not None and not isinstance(value, Value):
                raise TypeError(f"{value} is not an instance of torch.Tensor")
            kept.append((name, owner, _put(owner, name.rpartition(".")[2], value)))
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for name, owner, before in reversed(kept):
            after = _put(owner, name.rpartition(".")[2], before)
            if name in given:
                given[name] = after


def _merged(given: Any) -> Values:
    if isinstance(given, dict):
        return given
    if not isinstance(given, (list, tuple)):
        raise ValueError(
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(given)}"
        )
    if not all(isinstance(each, dict) for each in given):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    counts = Counter(name for each in given for name in each)
    repeated = [name for name, n in counts.items() if n > 1]
    if repeated:
        raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
    return {name: value for each in given for name, value in each.items()}


def _tied(own: Values, values: Values) -> Values:
    """`values` with an entry for every name of a tensor that has one."""
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names.setdefault(id(tensor), []).append(name)
    made = dict(values)
    for same in names.values():
        given = [name for name in same if name in values]
        if len({id(values[name]) for name in given}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {given}, which are tied. Consider using tie_weights=False"
            )
        if given:
            made.update(dict.fromkeys(same, values[given[0]]))
    return made


def _check_names(module: Any, own: Values, values: Values) -> None:
    said = ""
    for what, names in (("Unexpected", values.keys() - own.keys()), ("Missing", own.keys() - values.keys())):
        if names:
            said += f"\n\t{what} key(s): {', '.join(repr(name) for name in sorted(names))}."
    if said:
        raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:{said}")


def _owner(module: Any, name: str) -> Any:
    """The module that has the last part of `name`, or would."""
    path, _, _ = name.rpartition(".")
    for part in path.split(".") if path else ():
        found = module._modules.get(part)
        if found is None:
            raise AttributeError(f"{type(module).__name__} has no attribute `{part}`")
        module = found
    return module


def _put(module: Any, key: str, value: Any) -> Any:
    """Make `value` the parameter, buffer or attribute `key`, which goes if it is _ABSENT; returns what that was before."""
    for register in (module._parameters, module._buffers):
        if key in register:
            before = register.pop(key) if value is _ABSENT else register[key]
            if value is not _ABSENT:
                register[key] = value
            return before
    before = getattr(module, key, _ABSENT)
    if not (before is _ABSENT or before is None or isinstance(before, Value)):
        raise TypeError(f"attribute `{key}`: {before} is not an instance of torch.Tensor")
    if value is not _ABSENT:
        setattr(module, key, value)
    elif before is not _ABSENT:
        delattr(module, key)
    return before


def stack_module_state(models: Sequence[Any]) -> tuple[Values, Values]:
    """Return the parameters and the buffers of models of one class by name, those of all models stacked in front.

    With them, `vmap` of `functional_call` runs an ensemble at once. Raises RuntimeError for models that differ in kind.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({model.training for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(model) for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(model.named_parameters()) for model in models]
    buffers = [dict(model.named_buffers()) for model in models]
    return tuple(  # type: ignore[return-value]
        {name: _stacked([each[name] for each in rows], name) for name in rows[0]} for rows in (parameters, buffers)
    )


def _stacked(tensors: list[Any], name: str) -> Any:
    needs = {t.requires_grad for t in tensors}
    if len(needs) > 1:
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    made = stack(tensors)
    return made.detach().requires_grad_() if True in needs else made
