"""The libraries that are measured, behind one interface. It must not know any case, nor how time is taken.

A case builds leaves and a function of them; a library makes of these a callable without arguments for each
phase: `forward` (evaluate and record), `backward` (of a graph recorded once), `step` (both), `double`
(gradient of a gradient). What else a case needs it takes from the library by torch's name (`lib.softmax`).
Where the name or the phase is lacking, AttributeError tells that the library has no part in the case.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

Loss = Callable[..., Any]
Run = Callable[[], Any]

PHASES = ("forward", "backward", "step")


class Library:
    """A library with torch's interface: gradcore and torch."""

    phases = ("forward", "backward", "step", "double")
    records = True  # whether an operation on a leaf is recorded wherever it stands

    def __init__(self, name: str, module: str, device: str = "cpu") -> None:
        self.name = name
        self.module = importlib.import_module(module)
        self.device = device
        try:
            self.version = metadata.version(name.partition("-")[0])
        except metadata.PackageNotFoundError:
            self.version = getattr(self.module, "__version__", "unknown")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def constant(self, array: Any) -> Any:
        """A tensor of `array` on the device; floats become float32."""
        return self.module.tensor(float32(array), device=self.device)

    def leaf(self, array: Any) -> Any:
        """The same, and it asks for gradients."""
        return self.constant(array).requires_grad_()

    def numpy(self, result: Any) -> np.ndarray:
        """A result as an array, to compare it."""
        return result.detach().cpu().numpy()

    def usable(self) -> bool:
        """Whether there is the device."""
        return self.device == "cpu" or self.module.cuda.is_available()

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device != "cpu":
            self.module.cuda.synchronize()

    def set_threads(self, count: int) -> None:
        """Compute with `count` threads. NumPy and XLA want theirs in the environment, before the import."""
        if self.name == "torch":
            self.module.set_num_threads(count)

    def run(self, phase: str, loss: Loss, *leaves: Any) -> Run:
        """The callable for a phase of `loss(*leaves)`. It returns the loss or the gradients."""
        if phase not in self.phases:
            raise AttributeError(f"{self.name} has no phase {phase}")
        return getattr(self, phase)(loss, *leaves)

    def whole(self, step: Run) -> Run:
        """A whole training step as this library runs it."""
        return step

    def part(self, run: Run) -> Run:
        """What is no whole step. Raises AttributeError where nothing else is measured."""
        return run

    def forward(self, loss: Loss, *leaves: Any) -> Run:
        return functools.partial(loss, *leaves)

    def backward(self, loss: Loss, *leaves: Any) -> Run:
        recorded = loss(*leaves)

        def run() -> list[Any]:
            for leaf in leaves:
                leaf.grad = None
            recorded.backward(retain_graph=True)
            return [leaf.grad for leaf in leaves]

        return run

    def step(self, loss: Loss, *leaves: Any) -> Run:
        def run() -> list[Any]:
            for leaf in leaves:
                leaf.grad = None
            loss(*leaves).backward()
            return [leaf.grad for leaf in leaves]

        return run

    def double(self, loss: Loss, *leaves: Any) -> Run:
        grad = self.module.autograd.grad

        def run() -> Any:
            first = grad(loss(*leaves), leaves, create_graph=True)
            return grad(norm(first), leaves)

        return run


class OnDevice(Library):
    """A library as it is used on a device only: with whole steps captured, or compiled."""

    phases = ()

    def usable(self) -> bool:
        return self.device != "cpu" and super().usable()

    def part(self, run: Run) -> Run:
        raise AttributeError(f"{self.name} is for whole steps")


class GradcoreGraphs(OnDevice):
    """gradcore with a whole step as a CUDA graph."""

    def whole(self, step: Run) -> Run:
        return self.module.cuda.graphed_step(step)


class TorchGraphs(OnDevice):
    """torch with a whole step as a CUDA graph."""

    def whole(self, step: Run) -> Run:
        cuda = self.module.cuda
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):
            for _ in range(3):
                step()
        cuda.current_stream().wait_stream(side)
        captured = cuda.CUDAGraph()
        with cuda.graph(captured):
            result = step()

        def replay() -> Any:
            captured.replay()
            return result

        return replay


class TorchCompile(OnDevice):
    """torch with a whole step compiled, as far as its compiler gets."""

    def whole(self, step: Run) -> Run:
        return self.module.compile(step)


class MyGrad(Library):
    """MyGrad: tensors as torch's, but a graph that can be used once; constants are arrays."""

    phases = ("forward", "step")

    def usable(self) -> bool:
        return self.device == "cpu"

    def constant(self, array: Any) -> Any:
        return float32(array)

    def leaf(self, array: Any) -> Any:
        return self.module.tensor(float32(array))

    def numpy(self, result: Any) -> np.ndarray:
        return np.asarray(result)

    def step(self, loss: Loss, *leaves: Any) -> Run:
        def run() -> list[Any]:
            for leaf in leaves:
                leaf.null_grad()
            loss(*leaves).backward()
            return [leaf.grad for leaf in leaves]

        return run


class Autograd(Library):
    """HIPS autograd: gradients of functions of arrays."""

    records = False

    def usable(self) -> bool:
        return self.device == "cpu"

    def constant(self, array: Any) -> Any:
        return float32(array)

    leaf = constant

    def numpy(self, result: Any) -> np.ndarray:
        return np.asarray(result)

    def gradients(self, loss: Loss, leaves: tuple[Any, ...]) -> Loss:
        from autograd import grad

        return grad(loss, tuple(range(len(leaves))))

    def forward(self, loss: Loss, *leaves: Any) -> Run:
        from autograd import make_vjp

        recording = make_vjp(loss, tuple(range(len(leaves))))
        return lambda: recording(*leaves)[1]

    def backward(self, loss: Loss, *leaves: Any) -> Run:
        from autograd import make_vjp

        vjp, value = make_vjp(loss, tuple(range(len(leaves))))(*leaves)
        return functools.partial(vjp, np.ones_like(value))

    def step(self, loss: Loss, *leaves: Any) -> Run:
        return functools.partial(self.gradients(loss, leaves), *leaves)

    def double(self, loss: Loss, *leaves: Any) -> Run:
        first = self.gradients(loss, leaves)
        return self.step(lambda *xs: norm(first(*xs)), *leaves)


class Jax(Autograd):
    """JAX, compiled: what is timed is the compiled function, after its compilation."""

    phases = ("forward", "step", "double")

    def constant(self, array: Any) -> Any:
        return self.module.asarray(float32(array))

    leaf = constant

    def gradients(self, loss: Loss, leaves: tuple[Any, ...]) -> Loss:
        import jax

        return jax.grad(loss, tuple(range(len(leaves))))

    def forward(self, loss: Loss, *leaves: Any) -> Run:
        import jax

        compiled = jax.jit(loss)
        return lambda: jax.block_until_ready(compiled(*leaves))

    def step(self, loss: Loss, *leaves: Any) -> Run:
        return self.forward(self.gradients(loss, leaves), *leaves)


KNOWN: dict[str, tuple[type[Library], str]] = {
    "gradcore": (Library, "gradcore"),
    "torch": (Library, "torch"),
    "autograd": (Autograd, "autograd.numpy"),
    "mygrad": (MyGrad, "mygrad"),
    "jax": (Jax, "jax.numpy"),
    "gradcore-graphs": (GradcoreGraphs, "gradcore"),
    "torch-graphs": (TorchGraphs, "torch"),
    "torch-compile": (TorchCompile, "torch"),
}


def load(name: str, device: str = "cpu") -> Library | None:
    """The library called `name`, None where it is not installed or cannot use the device."""
    kind, module = KNOWN[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            library = kind(name, module, device)
        except ModuleNotFoundError:
            return None
    return library if library.usable() else None


def float32(array: Any) -> np.ndarray:
    """`array`, in single precision if it has a fractional part to lose."""
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def norm(gradients: Any) -> Any:
    """A scalar of several gradients, to differentiate them again."""
    return sum((each * each).sum() for each in gradients)
