"""What programs that define operators need to run on gradcore and on torch. It must not know the operators."""

# No annotations as strings here: infer_schema would not find the names of functions' variables.
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.twin import same

names: list[str] = ["unnamed"]


def fresh() -> str:
    """A namespace that nothing else uses, the same in either library."""
    names.append(f"{names[0]}_{len(names)}")
    return names[-1]


def check(program: Callable[[Any], Any], torch: Any) -> None:
    """Assert that `program` does the same on gradcore as on torch, in namespaces called like it."""

    def run(lib: Any) -> Any:
        names[:] = [program.__name__]
        return program(lib)

    same(run, torch, words=6)


def leaf(lib: Any, *shape: int, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=lib.float64, requires_grad=True)


def text_of(f: Callable[[], Any]) -> str:
    """All that an exception says, with torch's name of a Tensor."""
    with pytest.raises(Exception) as error:  # noqa: PT011
        f()
    return str(error.value).replace("gradcore.Tensor", "torch.Tensor")


def numpy_sin(lib: Any, name: str = "numpy_sin") -> Any:
    """The example of torch's documentation: NumPy's sine, whose derivative is another operator of NumPy's."""
    namespace = fresh()

    def sin(x: lib.Tensor) -> lib.Tensor:
        return lib.from_numpy(np.asarray(np.sin(x.detach().cpu().numpy()))).to(device=x.device)

    def cos(x: lib.Tensor) -> lib.Tensor:
        return lib.from_numpy(np.asarray(np.cos(x.detach().cpu().numpy()))).to(device=x.device)

    sine = lib.library.custom_op(f"{namespace}::{name}", sin, mutates_args=())
    cosine = lib.library.custom_op(f"{namespace}::numpy_cos", cos, mutates_args=())

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        (x,) = inputs
        ctx.save_for_backward(x)

    sine.register_autograd(lambda ctx, g: g * cosine(ctx.saved_tensors[0]), setup_context=setup_context)
    cosine.register_autograd(lambda ctx, g: -g * sine(ctx.saved_tensors[0]), setup_context=setup_context)
    return sine
