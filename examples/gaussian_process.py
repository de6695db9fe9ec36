"""A Gaussian process fitted by gradient ascent of its likelihood, which is written in NumPy alone.

`log_likelihood` and what it calls would run without gradcore. Run it: python examples/gaussian_process.py
"""

import numpy as np

import gradcore


def kernel(x, y, amplitude, length):
    """The squared-exponential covariance of all pairs."""
    return amplitude**2 * np.exp(-0.5 * (np.subtract.outer(x, y) / length) ** 2)


def log_likelihood(logs, x, y):
    """The log marginal likelihood of `y` at `x` for the logarithms of amplitude, length scale and noise."""
    amplitude, length, noise = np.exp(logs)
    K = kernel(x, x, amplitude, length) + noise**2 * np.eye(len(x))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return -0.5 * np.dot(y, alpha) - np.sum(np.log(np.diag(L))) - 0.5 * len(x) * np.log(2 * np.pi)


def predict(logs, x, y, at):
    """The mean of the process at other places."""
    amplitude, length, noise = np.exp(logs)
    K = kernel(x, x, amplitude, length) + noise**2 * np.eye(len(x))
    return kernel(at, x, amplitude, length) @ np.linalg.solve(K, y)


def fit(x, y, steps=150, rate=0.02):
    """Climb the likelihood; return the logarithms of the parameters."""
    logs = gradcore.zeros(3, dtype=gradcore.float64, requires_grad=True)
    momentum = gradcore.zeros_like(logs)
    for _ in range(steps):
        (slope,) = gradcore.autograd.grad(log_likelihood(logs, x, y), logs)
        momentum = 0.8 * momentum + slope.clamp(-20, 20)
        with gradcore.no_grad():
            logs += rate / 10 * momentum
    return logs.detach().numpy()


def data(seed=0, n=40):
    """A wave, with noise of 0.1."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 6, n))
    return x, np.sin(1.5 * x) + 0.1 * rng.normal(size=n)


def main():
    x, y = data()
    logs = fit(x, y)
    amplitude, length, noise = np.exp(logs)
    at = np.linspace(0.5, 5.5, 50)
    error = np.abs(predict(logs, x, y, at) - np.sin(1.5 * at)).max()
    print(f"log likelihood {log_likelihood(np.zeros(3), x, y):.2f} -> {log_likelihood(logs, x, y):.2f}")
    print(f"amplitude {amplitude:.3f}, length scale {length:.3f}, noise {noise:.3f}; the wave is off by {error:.3f} at most")


if __name__ == "__main__":
    main()
