"""Programs as scientists write them for NumPy, each of one array, with an array to run it on. It must not know gradcore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

RNG = np.random.default_rng()
PROGRAMS: dict[str, tuple[Callable[[Any], Any], Any]] = {}


def on(*shape: int, low: float | None = None, high: float = 1.0) -> Callable[..., Any]:
    """Note the decorated program, to be run on normal numbers, or uniform ones between `low` and `high`."""

    def note(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        PROGRAMS[f.__name__] = (f, np.asarray(RNG.normal(size=shape) if low is None else RNG.uniform(low, high, shape)))
        return f

    return note


# -- differential equations ---------------------------------------------------------------------------------------------


@on(2)
def pendulum(y: Any) -> Any:
    def slope(y: Any) -> Any:
        return np.array([y[1], -np.sin(y[0]) - 0.1 * y[1]])

    h = 0.05
    for _ in range(20):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y[0] ** 2 + y[1]


@on(3, low=0.5, high=1.5)
def states_in_an_array(p: Any) -> Any:
    ys = np.zeros((12, 2), dtype=p.dtype)
    ys[0] = [1.0, p[0]]
    for i in range(11):
        ys[i + 1] = ys[i] + 0.1 * np.array([p[1] * ys[i, 1], -p[2] * ys[i, 0] ** 2])
    return ys[-1].sum() + np.max(ys[:, 0])


@on(8)
def burgers_in_place(u: Any) -> Any:
    u = u.copy()
    for _ in range(4):
        u[1:-1] -= 0.1 * u[1:-1] * (u[2:] - u[:-2]) - 0.05 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u[0] = u[-1] = 0.0
    return (u**2).sum()


@on(5, 5)
def laplace(u: Any) -> Any:
    v = u.copy()
    inner = v[1:-1, 1:-1]  # a view, which is written and read through `v`
    for _ in range(3):
        inner[...] = 0.25 * (v[2:, 1:-1] + v[:-2, 1:-1] + v[1:-1, 2:] + v[1:-1, :-2]) ** 2
    return v.sum() + inner[0, 0]


@on(2, 2)
def orbit(x: Any) -> Any:
    @dataclass
    class State:
        place: Any
        speed: Any

        def after(self, dt: float) -> State:
            pull = -self.place / np.linalg.norm(self.place) ** 3
            return State(self.place + dt * self.speed, self.speed + dt * pull)

    state = State(x[0] + 2, x[1])
    for _ in range(8):
        state = state.after(0.05)
    return 0.5 * np.sum(state.speed**2) - 1 / np.sqrt(state.place.dot(state.place))


# -- statistics ---------------------------------------------------------------------------------------------------------


@on(3)
def gaussian_process(logs: Any) -> Any:
    x = np.linspace(0, 1, 6)[:, None]
    y = np.sin(5 * x).ravel()
    length, height, noise = np.exp(logs)
    squares = ((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=-1)
    K = height**2 * np.exp(-0.5 * squares / length**2) + (noise**2 + 1e-2) * np.eye(x.shape[0])
    L = np.linalg.cholesky(K)
    a = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return 0.5 * y.dot(a) + np.log(np.diag(L)).sum() + 0.5 * y.size * np.log(2 * np.pi)


@on(3)
def kalman(q: Any) -> Any:
    A, H = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    Q, R = np.exp(q[0]) * np.eye(2), np.exp(q[1]) * np.eye(1)
    m, P, total = np.zeros(2), np.eye(2), 0.0
    for z in np.sin(np.arange(6) * 0.3) + q[2] * 0.1:
        m, P = A @ m, A @ P @ A.T + Q
        S = H @ P @ H.T + R
        K = P @ H.T @ np.linalg.inv(S)
        r = z - (H @ m)[0]
        total += -0.5 * np.log(2 * np.pi * S[0, 0]) - 0.5 * r**2 / S[0, 0]
        m, P = m + (K * r).ravel(), (np.eye(2) - K @ H) @ P
    return total


@on(6, 2)
def kmeans(points: Any) -> Any:
    centres = points[:2].copy()
    for _ in range(2):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(axis=1)
        centres = np.array([points[nearest == k].mean(axis=0) for k in range(2) if (nearest == k).any()])
    return ((points[:, None] - centres[None]) ** 2).sum(-1).min(axis=1).sum()


@on(6, low=0.1, high=2.0)
def moments(x: Any) -> Any:
    p = x / x.sum()
    spread = x.std() + x.var(ddof=1) + np.std(x) + np.ptp(x) + np.nanstd(x)  # NumPy's divisors
    order = np.median(x) + np.percentile(x, [25, 75]).sum() + np.sort(x)[::-1].dot(np.arange(6)) + x[x.argsort()][2]
    return -np.sum(p * np.log(p)) + spread + order + np.cov(x, x**2)[0, 1] + np.corrcoef(x, np.sin(x))[0, 1]


@on(5)
def monte_carlo(p: Any) -> Any:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(50, 5))
    prices = np.exp(p[0] * 0.1 + 0.2 * z @ np.abs(p))
    np.random.seed(0)  # noqa: NPY002
    weights = np.random.normal(0, 1, (2, 5))  # noqa: NPY002
    return np.mean(np.maximum(prices - 1, 0)) + weights.dot(p).sum() + np.random.rand(5) @ p  # noqa: NPY002


@on(6)
def chain_of_states(p: Any) -> Any:
    T = np.exp(p.reshape(2, 3))
    T = np.vstack([T / T.sum(axis=1, keepdims=True), [0.0, 0.0, 1.0]])
    state, history = np.array([1.0, 0.0, 0.0]), []
    while len(history) < 4:
        state = state @ T
        history.append(state)
    return np.array(history)[:, 2].sum() - np.log(np.asarray(history) + 1e-9).mean()


# -- signals and images ------------------------------------------------------------------------------------------------


@on(6, 6)
def blur(image: Any) -> Any:
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16.0
    padded, out = np.pad(image, 1, mode="edge"), np.zeros_like(image)
    for i in range(3):
        for j in range(3):
            out += kernel[i, j] * padded[i : i + image.shape[0], j : j + image.shape[1]]
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    return np.mean((out - image.mean()) ** 2) / out.std() + np.median(windows, axis=(-1, -2)).sum()


@on(8)
def convolved(x: Any) -> Any:
    kernel = np.exp(-np.arange(8) ** 2 / 4.0)
    y = np.real(np.fft.ifft(np.fft.fft(x) * np.fft.fft(kernel)))
    power = np.abs(np.fft.rfft(y)) ** 2 * np.fft.rfftfreq(8) ** 2
    return np.sum(power) + np.convolve(x, [0.25, 0.5, 0.25], mode="same").sum() ** 2 + np.correlate(x, x, "full").max()


@on(8)
def fitted(y: Any) -> Any:
    p = np.polyfit(np.arange(8.0), y, 2)
    return np.polyval(p, 2.5) + np.poly1d(p)(1.0) + np.trapezoid(y, dx=0.1) + np.gradient(y)[2] * y[0]


@on(9, low=0.1, high=4.9)
def table_lookup(x: Any) -> Any:
    grid = np.arange(6)
    return np.cumsum(np.interp(x, grid, np.sin(grid))).sum() + np.prod(x[:3]) + np.diff(x, n=2).sum() + np.cumprod(x)[-1]


# -- physics ------------------------------------------------------------------------------------------------------------


@on(2)
def ising(p: Any) -> Any:
    s = np.array([-1, 1])
    T = np.exp(p[0] * np.outer(s, s) + p[1] * np.add.outer(s, s) / 2)
    w = np.linalg.eigvals(T)
    return np.log(np.max(w.real)) + np.log(np.trace(np.linalg.matrix_power(T, 6))) / 6


@on(4, low=0.1, high=0.4)
def thin_films(depths: Any) -> Any:
    M = np.eye(2, dtype=complex)
    for n, d in zip([1.5, 2.1, 1.5, 2.1], depths, strict=True):
        phase = 2 * np.pi / 0.55 * n * d
        M = M @ np.array([[np.cos(phase), 1j * np.sin(phase) / n], [1j * n * np.sin(phase), np.cos(phase)]])
    r = (M[0, 0] + M[0, 1] - M[1, 0] - M[1, 1]) / M.sum()
    return np.abs(r) ** 2 + np.angle(r)


@on(3, 3)
def tensor_network(A: Any) -> Any:
    B = np.einsum("ij,kj->ik", A, A)
    C = np.einsum("ab,bc,cd->ad", A, B, A, optimize=True)
    return np.einsum("ii", C) + np.tensordot(B, C, axes=2) + np.einsum("ij->", A * np.kron(A, [[1.0]]))


@on(3)
def rotations(angles: Any) -> Any:
    def about(t: Any, axis: int) -> Any:
        i, j = (k for k in range(3) if k != axis)
        R = np.eye(3)
        R[i, i] = R[j, j] = np.cos(t)
        R[i, j], R[j, i] = -np.sin(t), np.sin(t)
        return R

    R = about(angles[0], 0) @ about(angles[1], 1) @ about(angles[2], 2)
    return np.cross(R[0], np.array([1.0, 2.0, 3.0])) @ R @ np.ones(3)


@on(4)
def newton(p: Any) -> Any:
    x = np.ones(2)
    for _ in range(5):
        F = np.array([x[0] ** 2 + p[0] * x[1] - 4.0, x[0] * x[1] + np.exp(p[1]) - 3.0])
        J = np.array([[2 * x[0], p[0]], [x[1], x[0]]])
        x = x - np.linalg.solve(J + 5 * np.eye(2), F)
    return x.sum()


# -- NumPy's ways -------------------------------------------------------------------------------------------------------


@on(4, 4)
def decompositions(A: Any) -> Any:
    S = A @ A.T + 4 * np.eye(4)
    w, v = np.linalg.eigh(S)
    _, s, _ = np.linalg.svd(A, full_matrices=False)
    _, r = np.linalg.qr(A)
    x, _, _, _ = np.linalg.lstsq(S, A[:, 0], rcond=None)
    norms = np.linalg.norm(A, 2) + np.linalg.norm(A, "fro") + np.linalg.norm(A, np.inf)
    whole = np.block([[S, np.zeros((4, 4))], [np.eye(4), S.T]])
    return (w * np.arange(4)).sum() + np.abs(v[0]).sum() + s.sum() + np.abs(r).sum() + x.sum() + norms + np.trace(whole)


@on(10)
def choices(x: Any) -> Any:
    a = np.where(x > 0, x**2, -x)
    b = np.select([x < -1, x < 1], [x, x**3], default=2 * x)
    c = np.piecewise(x, [x < 0, x >= 0], [lambda t: t**2, lambda t: np.sqrt(t)])
    safe = np.divide(1.0, x, out=np.zeros_like(x), where=x > 0.2)
    return (a * b).sum() + c.sum() + np.clip(x, -0.5, 0.5).sum() + safe.sum() + np.heaviside(x, 0.5).sum()


@on(12)
def masks(x: Any) -> Any:
    m, y = x > 0, np.zeros_like(x)
    y[m] = x[m] ** 2
    y[~m] = -x[~m]
    y[[0, 1]] *= 2.0
    y[y > 1] = 1.0
    y[::-3] += x[0]
    return (y * np.arange(12)).sum() + x[m].sum() + np.nanmean(np.where(m, x, np.nan)) + np.nanmax(y)


@on(6)
def elements_one_by_one(x: Any) -> Any:
    f = np.vectorize(lambda a, b: a * a + b if a > 0 else b * a)
    rows = np.apply_along_axis(lambda r: r.std() ** 2 + r.sum(), 0, x.reshape(2, 3))
    dots = np.vectorize(np.dot, signature="(n),(n)->()")(x.reshape(2, 3), x.reshape(2, 3) ** 2)
    return f(x, 2.0).sum() + rows.sum() + dots.sum()


@on(6, low=0.5, high=1.5)
def methods_of_ufuncs(x: Any) -> Any:
    z = np.zeros_like(x)
    np.add.at(z, [0, 0, 3], x[:3])
    parts = np.add.reduceat(x, [0, 2, 4]).dot(np.array([1.0, 2.0, 3.0]))
    return np.add.reduce(x) + np.multiply.accumulate(x)[-1] + np.subtract.outer(x, x**2).sum() + (z**2).sum() + parts


@on(3, 3)
def results_into(A: Any) -> Any:
    out, B = np.empty_like(A), np.empty((3, 3))
    np.matmul(A, A, out=out)
    np.multiply(out, 2.0, out=B)
    np.exp(B * 0.01, out=B)
    np.fill_diagonal(out, A[0])
    np.copyto(B[1:], out[:2])
    np.put(out, [1, 2], A[1, :2] ** 2)
    return B.sum() + out.sum()


@on(3, 4)
def methods(x: Any) -> Any:
    sums = x.sum(axis=0).std() + x.mean(1).max() + x.T.dot(x).trace() + x.reshape(2, 6).prod(axis=1).sum()
    parts = x.ravel().cumsum()[-1] + x.swapaxes(0, 1).clip(-1, 1).sum() + x.transpose(1, 0)[0].sum() + x.diagonal().sum()
    picked = x.flatten().repeat(2).sum() + x.take([0, 5]).sum() + x.compress([True, False, True], axis=0).sum()
    y = x.copy()
    y.sort(axis=1)
    return sums + parts + picked + x.size + len(x) + y[:, 0].sum() + x.astype(np.float64).max(axis=1, keepdims=True).sum()


@on(6)
def numbers_are_no_views(x: Any) -> Any:
    total = x[0]
    total += x[1]  # a new number: x[0] stays
    old = x[2]
    y = x.copy()
    y[2] = 7.0
    low, high = min(x), max(x)
    for i, each in enumerate(x):
        total = total + each**2 * i if each > 0 else total - abs(each)
    return total + x[0] * 3 + old * y[2] + low * high + divmod(x[3], 1.0)[1] + sum(x) + float(x.size) + np.float64(2) * x[4]


@on(5)
def arguments_changed(x: Any) -> Any:
    x += 1
    x *= 2
    x -= x.mean()
    x **= 2
    return x.sum() * x[0]


@on(6)
def sequences(x: Any) -> Any:
    doubled = [each * 2 for each in x]
    rows = np.asarray([np.array(doubled)[:3], x[3:]])
    joined = np.concatenate([[x[0]], x, [1.0]]) * np.hstack([x, x[:2]])
    return rows.T.sum() + joined.sum() + np.linalg.det(np.array([[x[0], 0.0], [1.0, x[1]]])) + np.stack(doubled)[0]


@on(4)
def complex_numbers(x: Any) -> Any:
    z = x[:2] + 1j * x[2:]
    H = np.outer(z, z.conj())
    w = np.exp(1j * z) * np.conj(z)
    return (np.abs(w) ** 2).sum() + np.angle(z).sum() + np.linalg.eigvalsh(H + np.eye(2))[0] + np.vdot(z, z).real + z.imag[0]


@on(5)
def broadcasts(x: Any) -> Any:
    D = x[:, np.newaxis] - x[np.newaxis, :]
    i, j = np.indices((5, 5))
    g = np.meshgrid(x, x, indexing="ij")
    far = D[np.triu_indices(5, 1)] ** 2 + D[0, :, None][..., 0][3]
    return far.sum() + (D * (i - j)).sum() + g[0].sum() * g[1][0, 1] + D[np.ix_([0, 1], [2, 3])].sum()


@on(6)
def histograms(w: Any) -> Any:
    counts, _ = np.histogram(np.linspace(0, 1, 6), bins=3, weights=w)
    return (counts**2).sum() + (np.bincount([0, 1, 1, 2, 0, 2], weights=w) ** 3).sum()
