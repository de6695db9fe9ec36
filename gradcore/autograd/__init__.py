"""torch.autograd: `backward` and `grad` of any number of outputs, and the grad modes. It must not know any operation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradcore import engine
from gradcore.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)
from gradcore.autograd.grad_mode import is_multithreading_enabled as is_multithreading_enabled
from gradcore.autograd.gradcheck import gradcheck, gradgradcheck
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from gradcore.autograd.edges import GradientEdge

    TensorOrTensors = Tensor | GradientEdge | Sequence[Tensor | GradientEdge]
    OptionalTensors = Tensor | Sequence[Tensor | None] | None

__all__ = [
    "Function", "NestedIOFunction", "Variable", "backward", "detect_anomaly", "enable_grad", "enforce_grad_layout_policy",
    "grad", "gradcheck", "gradgradcheck", "inference_mode", "no_grad", "set_detect_anomaly", "set_grad_enabled",
    "set_multithreading_enabled", "variable",
]  # fmt: skip

# What most programs never use is imported when it is first asked for: names by their modules.
_LATER = {
    "Function": "function", "NestedIOFunction": "function", "Variable": "variables", "detect_anomaly": "anomaly_mode",
    "enforce_grad_layout_policy": "grad_mode", "memory": "held", "note_cuts": "cuts", "set_detect_anomaly": "anomaly_mode",
    "per_sample_grad": "per_sample", "trace_backward": "pulls", "variable": "variables",
}  # fmt: skip
_MODULES = {"anomaly_mode", "forward_ad", "function", "functional", "graph", "profiler"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _LATER:
        found = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        return found
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def backward(
    tensors: TensorOrTensors,
    grad_tensors: OptionalTensors = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: OptionalTensors = None,
    inputs: TensorOrTensors | dict[str, Tensor] | None = None,
) -> None:
    """Add to the `.grad` of leaves the sum of the vector-Jacobian products of `tensors` with `grad_tensors`.

    A missing gradient is one for a scalar output. `inputs` limits what is computed to those tensors. Raises RuntimeError
    for outputs without history, shapes that differ, non-scalar outputs without a gradient.
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use "
                "`grad_tensors`."
            )
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        grad_tensors = grad_variables
    outputs = _tuple(tensors)
    gradients = _gradients(grad_tensors, len(outputs))
    if isinstance(inputs, dict):
        inputs = tuple(inputs.values())
    engine.backward(
        _outputs(outputs, gradients),
        gradients,
        create_graph if retain_graph is None else retain_graph,
        create_graph,
        None if inputs is None else engine.checked_inputs(_inputs(_tuple(inputs))),
    )


def grad(
    outputs: TensorOrTensors,
    inputs: TensorOrTensors | dict[str, Tensor],
    grad_outputs: OptionalTensors = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Return the vector-Jacobian products of `outputs` with respect to `inputs`, in a tuple (a dict for a dict).

    `allow_unused` lets inputs without a path have None, `materialize_grads` zeros. With `is_grads_batched`, each of
    `grad_outputs` has one more dimension in front and so has each result. Raises RuntimeError for an unused input.
    """
    if isinstance(inputs, dict):
        found = grad(
            outputs, tuple(inputs.values()), grad_outputs, retain_graph, create_graph, only_inputs, allow_unused,
            is_grads_batched, materialize_grads,
        )  # fmt: skip
        return dict(zip(inputs, found, strict=True))
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    outs, ins = _tuple(outputs), _inputs(_tuple(inputs))
    if not ins:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    gradients = _gradients(grad_outputs, len(outs))
    if not is_grads_batched:
        outs = _outputs(outs, gradients)
    retain = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        from gradcore.transforms.jacobians import pulled_at_once

        results = pulled_at_once(outs, ins, gradients, retain, create_graph)
    else:
        results = engine.grad(outs, ins, gradients, retain, create_graph)
    if materialize_grads:
        results = [_zeros(t, create_graph) if r is None else r for t, r in zip(ins, results, strict=True)]
    elif not allow_unused and any(r is None for r in results):
        index = next(i for i, r in enumerate(results) if r is None)
        shape = "not known at an edge" if ins[index]._array is None else list(ins[index].shape)
        raise RuntimeError(
            f"The differentiated Tensor at index {index} appears to not have been used in the graph. Set allow_unused=True "
            f"if this is the desired behavior. (Its shape is {shape})"
        )
    return tuple(results)


def _zeros(t: Any, requires_grad: bool) -> Any:
    """The gradient of an input without a path. Raises RuntimeError for an edge, whose shape is not known."""
    if t._array is None:
        raise RuntimeError(
            "materialize_grads cannot be used when the given input is a GradientEdge: its shape is not known. Pass the "
            "tensor, or allow_unused=True alone"
        )
    return t.new_zeros(t.shape, requires_grad=requires_grad)


def _tuple(tensors: Any) -> tuple[Any, ...]:
    return (tensors,) if isinstance(tensors, Tensor) or _is_edge(tensors) else tuple(tensors)


def _is_edge(x: Any) -> bool:
    """Whether `x` is a GradientEdge, whose module comes with the first."""
    return isinstance(x, tuple) and hasattr(x, "ownership_token")


def _inputs(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    for x in inputs:
        if not isinstance(x, Tensor):
            from gradcore.autograd.edges import as_input

            return tuple(map(as_input, inputs))
    return inputs


def _outputs(outputs: tuple[Any, ...], gradients: Sequence[Any]) -> tuple[Any, ...]:
    for x in outputs:
        if not isinstance(x, Tensor):
            from gradcore.autograd.edges import as_output

            return tuple(map(as_output, outputs, gradients))
    return outputs


def _gradients(given: OptionalTensors, n: int) -> Sequence[Any]:
    if given is None:
        return (None,) * n
    gradients = _tuple(given)
    if len(gradients) != n:
        raise RuntimeError(f"got {n} tensors and {len(gradients)} gradients")
    return gradients


