"""Train a small network on real handwritten digits: `python examples/digits.py`.

The data are the 1797 images of 8×8 pixels that come with scikit-learn (a quarter is kept for the test).
The network is 64-128-10 with a ReLU, the optimiser is Adam; both are written out in tensors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import gradcore
from gradcore import Tensor
from gradcore.nn.functional import cross_entropy

try:
    import matplotlib as mpl
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from tqdm import tqdm

    mpl.use("Agg")
    from matplotlib import pyplot as plt
except ModuleNotFoundError as missing:
    raise SystemExit(f'{missing.name} is not installed; run: pip install "gradcore[examples]"') from None

HIDDEN = 128
BATCH = 64
LEARNING_RATE = 0.01
BETA1, BETA2 = 0.9, 0.99
# Against learning images by heart: noise on the pixels (0 to 1), and labels that are a little uncertain.
NOISE, SMOOTHING = 0.2, 0.1


class Data(NamedTuple):
    """Images as rows of 64 numbers between 0 and 1, and what they show."""

    images: Tensor
    labels: Tensor


def load(seed: int, device: str) -> tuple[Data, Data]:
    """The images to train with and those to test with, every digit in both alike."""
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.25, stratify=labels, random_state=seed)
    train_images, test_images = (gradcore.tensor(x, dtype=gradcore.float32, device=device) for x in split[:2])
    train_labels, test_labels = (gradcore.tensor(y, device=device) for y in split[2:])
    return Data(train_images, train_labels), Data(test_images, test_labels)


def network(device: str) -> list[Tensor]:
    """Weights and biases of both layers, He-initialised."""
    w1 = gradcore.randn(64, HIDDEN, device=device) * (2 / 64) ** 0.5
    w2 = gradcore.randn(HIDDEN, 10, device=device) * (2 / HIDDEN) ** 0.5
    b1, b2 = gradcore.zeros(HIDDEN, device=device), gradcore.zeros(10, device=device)
    return [each.requires_grad_() for each in (w1, b1, w2, b2)]


def scores(parameters: list[Tensor], images: Tensor) -> Tensor:
    """How much each image looks like each digit."""
    w1, b1, w2, b2 = parameters
    return (images @ w1 + b1).relu() @ w2 + b2


class Adam:
    """Adam (Kingma and Ba, 2015): steps along the mean gradient, scaled by its root mean square."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.means = [gradcore.zeros_like(p) for p in parameters]
        self.squares = [gradcore.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self, rate: float) -> None:
        """Change the parameters by their gradients, and forget these."""
        self.steps += 1
        rate *= (1 - BETA2**self.steps) ** 0.5 / (1 - BETA1**self.steps)
        with gradcore.no_grad():
            for p, mean, square in zip(self.parameters, self.means, self.squares, strict=True):
                mean += (1 - BETA1) * (p.grad - mean)
                square += (1 - BETA2) * (p.grad * p.grad - square)
                p -= rate * mean / (square.sqrt() + 1e-8)
                p.grad = None


def accuracy(parameters: list[Tensor], data: Data) -> float:
    """The share of images that are read correctly."""
    with gradcore.no_grad():
        read = scores(parameters, data.images).argmax(1)
    return (read == data.labels).float().mean().item()


def train(train_data: Data, test_data: Data, epochs: int) -> tuple[list[float], list[float]]:
    """Train a network; return the mean loss and the test accuracy of each epoch."""
    images, labels = train_data
    count, device = len(images), images.device
    parameters = network(str(device))
    adam = Adam(parameters)
    losses, accuracies = [], []
    progress = tqdm(range(epochs), desc="training", unit="epoch")
    for epoch in progress:
        order = gradcore.randperm(count, device=device)
        total = gradcore.zeros((), device=device)
        for start in range(0, count, BATCH):
            batch = order[start : start + BATCH]
            x = images[batch]
            x = x + NOISE * gradcore.randn_like(x)
            loss = cross_entropy(scores(parameters, x), labels[batch], label_smoothing=SMOOTHING)
            loss.backward()
            adam.step(LEARNING_RATE * (1 - (epoch + start / count) / epochs))
            total += loss.detach() * len(batch)
        losses.append(total.item() / count)
        accuracies.append(accuracy(parameters, test_data))
        progress.set_postfix(loss=f"{losses[-1]:.3f}", accuracy=f"{accuracies[-1]:.1%}", refresh=False)
    return losses, accuracies


def plot(losses: Sequence[float], accuracies: Sequence[float], path: Path) -> None:
    """Draw loss and accuracy over the epochs into a file."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    epochs = range(1, len(losses) + 1)
    left.plot(epochs, losses)
    left.set(xlabel="epoch", title="training loss")
    right.plot(epochs, [100 * each for each in accuracies], color="tab:green")
    right.axhline(97, color="grey", linestyle=":")
    right.set(xlabel="epoch", title=f"test accuracy: {accuracies[-1]:.1%}", ylabel="%", ylim=(80, 100.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> float:
    """Run the command line's `arguments`; return the test accuracy."""
    parser = argparse.ArgumentParser(description="Train a small network on real handwritten digits.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the split, the first weights and the noise")
    parser.add_argument("--out", type=Path, default=Path("digits.png"), help="where the plot goes")
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")

    gradcore.manual_seed(options.seed)
    start = time.perf_counter()
    try:
        data = load(options.seed, options.device)
    except RuntimeError as error:
        parser.error(str(error))
    losses, accuracies = train(*data, options.epochs)
    plot(losses, accuracies, options.out)
    seconds = time.perf_counter() - start
    print(f"test accuracy {accuracies[-1]:.2%}, {options.epochs} epochs, {seconds:.1f} s; see {options.out}")
    return accuracies[-1]


if __name__ == "__main__":
    main()
