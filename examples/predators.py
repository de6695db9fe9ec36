"""How a population of predators and prey depends on where it begins, through an integrator that knows only NumPy.

`rk4`, `predators` and `plague` are written as one writes NumPy. Given tensors, NumPy calls gradcore, so the derivatives of
the last state are there. Run it: python examples/predators.py
"""

from itertools import pairwise

import numpy as np

import gradcore


def rk4(f, y, times):
    """Integrate y' = f(t, y) by Runge and Kutta's method of order 4; return the states at `times`."""
    states = [y]
    for t, after in pairwise(times):
        h = after - t
        k1 = f(t, y)
        k2 = f(t + h / 2, y + h / 2 * k1)
        k3 = f(t + h / 2, y + h / 2 * k2)
        k4 = f(after, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(y)
    return np.stack(states)


def predators(rates):
    """Lotka and Volterra's equations: prey is born and eaten, predators eat and die."""

    def slope(t, y):
        prey, hunters = y[0], y[1]
        born, eaten, fed, dying = rates[0], rates[1], rates[2], rates[3]
        return np.stack([born * prey - eaten * prey * hunters, fed * prey * hunters - dying * hunters])

    return slope


def plague(start, rates):
    """The largest prey population, in the soft sense, over twelve years."""
    states = rk4(predators(rates), start, np.linspace(0.0, 12.0, 121))
    return np.logaddexp.reduce(4 * states[:, 0]) / 4


def main():
    start, rates = np.array([1.0, 0.5]), np.array([1.1, 0.8, 0.4, 0.5])
    leaves = [gradcore.tensor(x, requires_grad=True) for x in (start, rates)]
    result = plague(*leaves)
    result.backward()
    print(f"at most {plague(start, rates):.4f} thousand prey, as tensors {result.item():.4f}")
    print("by the first populations:", leaves[0].grad.numpy().round(4))
    print("by the rates:            ", leaves[1].grad.numpy().round(4))


if __name__ == "__main__":
    main()
