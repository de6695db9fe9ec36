"""torch.utils.checkpoint's other kind: a Function that runs unrecorded, and again in its backward. It must not know any op.

`checkpoint` is never of this kind; who names it gets it. Also here is what torch makes it of: the states of devices' random
generators, and copies of inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from gradcore import devices, generator
from gradcore.autograd import backward
from gradcore.autograd.function import Function
from gradcore.backends import of
from gradcore.graph import modes
from gradcore.recorder.value import Value
from gradcore.transforms.trees import leaves_of
from gradcore.utils import sweeps
from gradcore.utils.random_state import RandomState, reseeded, restore


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `inputs` with tensors as leaves of their own that share memory and need gradients as these did.

    Raises RuntimeError for what is no tuple.
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Value) else x for x in inputs)  # type: ignore[attr-defined]


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if none of the tensors among `inputs` needs a gradient."""
    if not any(x.requires_grad for x in inputs if isinstance(x, Value)):  # type: ignore[attr-defined]
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class DefaultDeviceType:
    """Whose devices' random states are meant where no tensor says so: CUDA's, if there are any."""

    _default: str | None = None

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Let it be `device`."""
        DefaultDeviceType._default = device

    @staticmethod
    def get_device_type() -> str:
        """What was set, else "cuda" where it can be used and "cpu" where not."""
        if DefaultDeviceType._default is None:
            from gradcore import cuda

            DefaultDeviceType._default = "cuda" if cuda.is_available() else "cpu"
        return DefaultDeviceType._default


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """Return the devices of tensors in `args` other than the CPU, and for each what `set_device_states` takes.

    The state of a device's generator cannot be read: it goes on from a new seed, which is what is returned.
    """
    ids, states = [], []
    for x in leaves_of(args):
        if isinstance(x, Value) and (index := of(x._array).device_of(x._array)[1]) is not None:
            ids.append(index)
            states.append(reseeded(generator.default(of(x._array), index)))
    return ids, states


def set_device_states(devices: Sequence[int], states: Sequence[Any], *, device_type: str | None = None) -> None:
    """Let the default generators of `devices` give what they gave after `states` were taken."""
    kind = DefaultDeviceType.get_device_type() if device_type is None else device_type
    for index, state in zip(devices, states, strict=False):
        restore(_generator(kind, index), state)


def _generator(kind: str, index: int) -> generator.Generator:
    place = devices.device(kind, index)
    return generator.default(devices.backend(place), index)


class CheckpointFunction(Function):
    """`apply(function, preserve_rng_state, *args)` is `function(*args)`, computed in its backward again and recorded then.

    Only `backward` without `inputs` goes through it (else RuntimeError), and only gradients of `args` and of what
    `function` closes over are computed.
    """

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        """Run the function and keep only its arguments."""
        check_backward_validity(args)
        sweeps.watch()
        ctx.run_function = run_function
        ctx.random = RandomState(args) if preserve_rng_state else None
        ctx.others = [None if isinstance(x, Value) else x for x in args]
        ctx.places = [i for i, x in enumerate(args) if isinstance(x, Value)]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        with modes.no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *args: Any) -> Any:
        """Run the function again, and a sweep through it."""
        if not sweeps.accumulates():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                ".backward() without passing the `inputs` argument."
            )
        given = list(ctx.others)
        for i, x in zip(ctx.places, ctx.saved_tensors, strict=True):
            given[i] = x
        inputs = detach_variable(tuple(given))
        with nullcontext() if ctx.random is None else ctx.random.again(), modes.enable_grad():
            outputs = ctx.run_function(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        paired = [(out, g) for out, g in zip(outputs, args, strict=True) if isinstance(out, Value) and out.requires_grad]  # type: ignore[attr-defined]
        if not paired:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([out for out, _ in paired], [g for _, g in paired])  # type: ignore[misc]
        return (None, None, *(x.grad if isinstance(x, Value) else None for x in inputs))  # type: ignore[attr-defined]
