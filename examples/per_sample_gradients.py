"""The gradient of every sample at once, and what they are good for: `python examples/per_sample_gradients.py`.

A few labels of a classification problem are wrong. A network is trained on it twice: on the mean of the gradients, and on
the mean of gradients none of which may be larger than a bound, so that no single sample has much to say (the step of
differentially private training, without its noise: Abadi et al., "Deep learning with differential privacy", 2016). That
needs each sample's own gradient; `vmap(grad(loss))` has them all in one pass. At the end the samples with the largest
gradients are looked at: they are the wrong labels.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from typing import Any

import gradcore
from gradcore import Tensor, nn
from gradcore.func import functional_call, grad, vmap
from gradcore.nn.functional import cross_entropy

Parameters = dict[str, Tensor]
CLASSES, HIDDEN = 3, 32
RATE, FLOOR = 0.2, 0.05  # steps have the length RATE until the gradient is smaller than FLOOR


def spirals(n: int, wrong: float) -> tuple[Tensor, Tensor, Tensor]:
    """Points on three spirals, the arm each is said to be on, and for which of them that is wrong."""
    arm = gradcore.arange(n) % CLASSES
    radius = gradcore.rand(n) * 0.9 + 0.1
    angle = 4 * radius + arm * (2 * math.pi / CLASSES) + 0.1 * gradcore.randn(n)
    points = gradcore.stack([radius * angle.cos(), radius * angle.sin()], 1)
    is_wrong = gradcore.rand(n) < wrong
    return points, gradcore.where(is_wrong, (arm + 1) % CLASSES, arm), is_wrong


def norms(gradients: Parameters) -> Tensor:
    """The size of each sample's gradient, over all parameters."""
    squares = [g.reshape(g.shape[0], -1).pow(2).sum(1) for g in gradients.values()]
    return gradcore.stack(squares).sum(0).sqrt()


def main(argv: Sequence[str] | None = None) -> None:
    """Train both ways, compare, and find the wrong labels."""
    parser = argparse.ArgumentParser(description="Per-sample gradients: clipping them, and finding wrong labels by them.")
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--wrong", type=float, default=0.05, help="part of the labels that is wrong")
    parser.add_argument("--bound", type=float, default=1.0, help="of the gradient of a sample")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    gradcore.manual_seed(options.seed)
    points, labels, is_wrong = spirals(options.samples, options.wrong)
    model = nn.Sequential(nn.Linear(2, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, CLASSES))
    start = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters: Parameters, point: Tensor, label: Tensor) -> Any:
        return cross_entropy(functional_call(model, parameters, (point,)), label)

    each = vmap(grad(loss), in_dims=(None, 0, 0))
    for name, bound in (("mean of gradients", float("inf")), ("bounded gradients", options.bound)):
        parameters, began = start, time.perf_counter()
        for _ in range(options.steps):
            gradients = each(parameters, points, labels)
            scale = (bound / norms(gradients)).clamp(max=1.0)
            mean = {key: gradcore.tensordot(scale, g, 1) / len(points) for key, g in gradients.items()}
            size = sum(g.pow(2).sum() for g in mean.values()) ** 0.5
            parameters = {key: p - RATE * mean[key] / size.clamp(min=FLOOR) for key, p in parameters.items()}
        suspects = norms(each(parameters, points, labels)).topk(int(is_wrong.sum())).indices
        said = functional_call(model, parameters, (points,)).argmax(1)
        right = (said == labels)[~is_wrong].double().mean()
        seconds = time.perf_counter() - began
        found = is_wrong[suspects].double().mean()
        print(f"{name}: {right:.1%} of the rightly labelled told right, {1e3 * seconds / options.steps:.1f} ms a step")
        print(f"    {found:.0%} of the {len(suspects)} largest gradients are of wrong labels")



if __name__ == "__main__":
    main()
