"""What a backend's functions are called with, and what NumPy says of it. It must not know backends.

`CALLS` has by name: a call of a backend on arrays of its own, the arrays, and what to expect: NumPy's own results or a
closed form, never those of the backend under test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

rng = np.random.default_rng()
A, B, V = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=4)
SQUARE = rng.normal(size=(2, 3, 3)) + 4 * np.eye(3)
SYMMETRIC = SQUARE @ SQUARE.swapaxes(-1, -2)
HOLES = np.array([1.0, np.nan, -np.inf, np.inf, -2.5, 0.0])
INTS = rng.integers(-5, 6, size=(3, 4))
PLACES = np.array([2, 0, 2, 1, 2])
HALF = A.astype("f2")
LONG = rng.normal(size=(3, 1501))
FAR = np.where(np.arange(1501) == 1000, np.inf, LONG)
Z = A + 1j * B
BATCH = rng.normal(size=(4, 3, 64, 64))
WALK = rng.normal(size=(20, 30))
STEPS = np.where(rng.random((20, 30)) < 0.1, np.nan, rng.integers(0, 20, (20, 30)))
ENDS = np.array([[-np.inf, -np.inf, 5, -np.inf, -np.inf, 7], [np.nan, 1, np.inf, np.nan, 2, np.inf], [3, 1, 4, 2, 6, 5]])

# name: (call of a backend on arrays of its own, the arrays, what NumPy says of them)
CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Callable[..., Any]]] = {
    "sum of all": (lambda F, x: F.sum(x), (A,), lambda x: x.sum()),
    "sum over axes": (lambda F, x: F.sum(x, (0, 1)), (A,), lambda x: x.sum((0, 1))),
    "sum keeps": (lambda F, x: F.sum(x, 1, keepdims=True), (A,), lambda x: x.sum(1, keepdims=True)),
    "sum over batch and places": (lambda F, x: F.sum(x, (0, 2, 3)), (BATCH,), lambda x: x.sum((0, 2, 3))),
    "sum over places, kept": (
        lambda F, x: F.sum(x, (0, -1), keepdims=True),
        (BATCH,),
        lambda x: x.sum((0, 3), keepdims=True),
    ),
    "sum over rows in parts": (lambda F, x: F.sum(x, -1), (BATCH.reshape(6, -1),), lambda x: x.sum(1)),
    "sum over none": (lambda F, x: F.sum(x, ()), (A,), lambda x: x),
    "sum in a dtype": (lambda F, x: F.sum(x, 0, dtype="f4"), (INTS,), lambda x: x.sum(0, dtype="f4")),
    "sum of bools": (lambda F, x: F.sum(x > 0), (A,), lambda x: (x > 0).sum()),
    "sum of halves": (
        lambda F, x: F.sum(x, 0),
        (np.full((4096, 2), 0.1, "f2"),),
        lambda x: x.astype("f4").sum(0).astype("f2"),
    ),
    "sum of nothing": (lambda F, x: F.sum(x, 0), (np.zeros((0, 3)),), lambda x: np.zeros(3)),
    "prod": (lambda F, x: F.prod(x, 1), (A,), lambda x: x.prod(1)),
    "max": (lambda F, x: F.max(x, 0), (A,), lambda x: x.max(0)),
    "max with NaN": (lambda F, x: F.max(x), (HOLES,), lambda x: np.float64("nan")),
    "min keeps": (lambda F, x: F.min(x, 1, keepdims=True), (INTS,), lambda x: x.min(1, keepdims=True)),
    "any": (lambda F, x: F.any(x > 0, 0), (A,), lambda x: (x > 0).any(0)),
    "all": (lambda F, x: F.all(x > 0), (A,), lambda x: (x > 0).all()),
    "argmax": (lambda F, x: F.argmax(x, 1), (A,), lambda x: x.argmax(1)),
    "argmax with NaN": (lambda F, x: F.argmax(x), (HOLES,), lambda x: np.int64(1)),
    "argmin of all": (lambda F, x: F.argmin(x, keepdims=True), (A,), lambda x: x.argmin(keepdims=True)),
    "cumsum": (lambda F, x: F.cumsum(x, 1), (A,), lambda x: x.cumsum(1)),
    "cumsum of many": (lambda F, x: F.cumsum(x, 1), (LONG,), lambda x: x.cumsum(1)),
    "cumsum of many singles": (lambda F, x: F.cumsum(x, -1), (np.rint(LONG * 4).astype("f4"),), lambda x: x.cumsum(1)),
    "cumsum down wide rows": (lambda F, x: F.cumsum(x, 0), (LONG,), lambda x: x.cumsum(0)),
    "cumsum past infinity": (lambda F, x: F.cumsum(x, 1), (FAR,), lambda x: x.cumsum(1)),
    "cumsum backwards": (lambda F, x: F.cumsum(F.flip(x, 1), 1), (LONG,), lambda x: x[:, ::-1].cumsum(1)),
    "vecdot": (lambda F, x, y: F.vecdot(x, y), (A, B), lambda x, y: (x * y).sum(-1)),
    "cumsum of halves": (
        lambda F, x: F.cumsum(x, 0),
        (np.full(4096, 0.1, "f2"),),
        lambda x: x.astype("f4").cumsum().astype("f2"),
    ),
    "cumprod": (lambda F, x: F.cumprod(x, 0), (A,), lambda x: x.cumprod(0)),
    "sort puts NaN last": (lambda F, x: F.sort(x), (HOLES,), np.sort),
    "argsort is stable": (
        lambda F, x: F.argsort(x, -1),
        (rng.integers(0, 3, 50),),
        lambda x: np.argsort(x, kind="stable"),
    ),
    "partition": (lambda F, x: F.partition(x, 2)[2], (V,), lambda x: np.sort(x)[2]),
    "argsort of distinct numbers": (lambda F, x: F.argsort(x, 0), (WALK,), lambda x: np.argsort(x, 0)),
    "argsort of equal numbers and NaN": (
        lambda F, x: F.argsort(x, 1),
        (STEPS,),
        lambda x: np.argsort(x, 1, stable=True),
    ),
    "argtop": (lambda F, x: F.sort(F.argtop(x, 3, 1, True), 1), (WALK,), lambda x: np.sort(np.argsort(x)[:, 27:])),
    "argtop of columns": (
        lambda F, x: F.sort(F.argtop(x, 2, 0, False), 0),
        (WALK,),
        lambda x: np.sort(np.argsort(x, 0)[:2], 0),
    ),
    "argtop of many": (lambda F, x: F.sort(F.argtop(x, 20, 1, True), 1), (WALK,), lambda x: np.sort(np.argsort(x)[:, 10:])),
    "argtop of NaN and infinities": (
        lambda F, x: [F.sort(F.take_along_axis(x, F.argtop(x, 3, 1, largest), 1), 1) for largest in (True, False)],
        (ENDS,),
        lambda x: [np.sort(x)[:, 3:], np.sort(x)[:, :3]],
    ),
    "argtop finds each once": (
        lambda F, x: F.sort(F.argtop(x, 5, 1, True), 1)[:, 1:] > F.sort(F.argtop(x, 5, 1, True), 1)[:, :-1],
        (np.full((2, 6), -np.inf),),
        lambda x: np.ones((2, 4), bool),
    ),
    "take_along_axis of many": (
        lambda F, x, i: (F.take_along_axis(x, i, 1), F.take_along_axis(x, i[:1], 1), F.take_along_axis(x, i, 0)),
        (rng.normal(size=(60, 60)), rng.integers(0, 60, size=(60, 60))),
        lambda x, i: (x[np.arange(60)[:, None], i], x[:, i[0]], x[i, np.arange(60)]),
    ),
    "put_along_axis of many": (
        lambda F, x: (y := F.copy(x), F.put_along_axis(y, F.argsort(x, 0), F.sort(x, 0), 0))[0],
        (rng.normal(size=(60, 60)),),
        lambda x: x,
    ),
    "unique": (
        lambda F, x: F.unique(x, return_inverse=True, return_counts=True),
        (INTS,),
        lambda x: np.unique(x, return_inverse=True, return_counts=True),
    ),
    "unique rows": (lambda F, x: F.unique(x, axis=0), (INTS % 2,), lambda x: np.unique(x, axis=0)),
    "clip": (lambda F, x: F.clip(x, -1, 1), (HOLES,), lambda x: np.array([1, np.nan, -1, 1, -1, 0])),
    "clip, hi below lo": (lambda F, x: F.clip(x, 2, 1), (V,), lambda x: np.ones(4)),
    "clip on one side": (lambda F, x: F.clip(x, None, 0.0), (V,), lambda x: np.minimum(x, 0)),
    "masked": (lambda F, x: F.masked(x, x > 0), (HOLES,), lambda x: np.where(x > 0, x, 0)),
    "nan_to_num": (
        lambda F, x: F.nan_to_num(x, 7.0, 8.0, 9.0),
        (HOLES,),
        lambda x: np.nan_to_num(x, True, 7, 8, 9),
    ),
    "round": (lambda F, x: F.round_half_even(x, 1), (V,), lambda x: np.round(x, 1)),
    "round to tens": (lambda F, x: F.round_half_even(x, -1), (V * 99,), lambda x: np.round(x, -1)),
    "sigmoid": (
        lambda F, x: F.sigmoid(x),
        (np.array([-1e9, -1.0, 0.0, 1e9]),),
        lambda x: np.array([0, 1 / (1 + np.e), 0.5, 1]),
    ),
    "erf": (
        lambda F, x: F.erf(x),
        (np.array([0.0, 0.5, -1.0], "f4"),),
        lambda x: np.array([0.0, 0.5204998778, -0.8427007929], "f4"),
    ),
    "erfc of halves": (
        lambda F, x: F.erfc(x),
        (np.array([0.0, 1.0], "f2"),),
        lambda x: np.array([1, 0.1573], "f2"),
    ),
    "special": (
        lambda F, x: F.special("digamma", x),
        (np.array([1.0, 0.5], "f4"),),
        lambda x: np.array([-0.5772156649, -1.9635100260], "f4"),
    ),
    "fourier": (lambda F, x: F.fourier("rfftn", x, None, (0, 1), "ortho"), (A,), lambda x: np.fft.rfftn(x, norm="ortho")),
    "fourier back": (
        lambda F, x: F.fourier("irfftn", x, (3, 5), (0, 1), "backward"),
        (Z,),
        lambda x: np.fft.irfftn(x, (3, 5), (0, 1)),
    ),
    "where": (lambda F, x: F.where(x > 0, x, 0.0), (A,), lambda x: np.where(x > 0, x, 0.0)),
    "floor of integers": (lambda F, x: F.floor(x), (INTS,), lambda x: x),
    "divide integers": (lambda F, x: F.divide(x, 2), (INTS,), lambda x: x / 2),
    "weak numbers": (lambda F, x: F.multiply(x, 2.5), (A.astype("f4"),), lambda x: x * np.float32(2.5)),
    "isnan": (lambda F, x: F.isnan(x), (HOLES,), np.isnan),
    "absolute of complex": (lambda F, x: F.absolute(x), (Z,), np.abs),
    "parts of a number": (lambda F, x: F.frexp(x), (V,), np.frexp),
    "gcd": (lambda F, x, y: F.gcd(x, y), (INTS, INTS.T.copy().reshape(3, 4)), np.gcd),
    "matmul": (lambda F, x, y: F.matmul(x, y), (A, B.T), np.matmul),
    "matmul of batches": (lambda F, x, y: F.matmul(x, y), (SQUARE, B[:, :3].T.reshape(1, 3, 3)), np.matmul),
    "matmul of halves": (
        lambda F, x: F.matmul(x, F.swapaxes(x, 0, 1)),
        (HALF,),
        lambda x: (x.astype("f4") @ x.astype("f4").T).astype("f2"),
    ),
    "matmul of integers": (lambda F, x: F.matmul(x, F.transpose(x)), (INTS,), lambda x: x @ x.T),
    "dot": (lambda F, x, y: F.dot(x, y), (A, V), np.dot),
    "tensordot": (lambda F, x, y: F.tensordot(x, y, ((0, 1), (0, 1))), (A, B), lambda x, y: (x * y).sum()),
    "einsum": (lambda F, x, y: F.einsum("ij,kj->ik", x, y), (A, B), lambda x, y: x @ y.T),
    "einsum of three": (
        lambda F, x, y, v: F.einsum("ij,kj,j->ik", x, y, v),
        (A, B, V),
        lambda x, y, v: (x * v) @ y.T,
    ),
    "inv": (lambda F, a: F.inv(a), (SQUARE,), np.linalg.inv),
    "solve, a vector": (lambda F, a, b: F.solve(a, b), (SQUARE[0], V[:3]), np.linalg.solve),
    "solve, batches": (lambda F, a, b: F.solve(a, b), (SQUARE, A[:, :2]), lambda a, b: np.linalg.inv(a) @ b),
    "solve, nothing": (
        lambda F, a: F.solve(a, F.zeros((1, 3, 0), "f8")),
        (SQUARE,),
        lambda a: np.zeros((2, 3, 0)),
    ),
    "cholesky": (lambda F, a: F.cholesky(a), (SYMMETRIC,), np.linalg.cholesky),
    "det": (lambda F, a: F.det(a), (SQUARE,), np.linalg.det),
    "slogdet": (lambda F, a: tuple(F.slogdet(a)), (SQUARE,), lambda a: tuple(np.linalg.slogdet(a))),
    "eigvalsh": (lambda F, a: F.eigvalsh(a), (SYMMETRIC,), np.linalg.eigvalsh),
    "eigh": (
        lambda F, a: F.matmul(F.eigh(a)[1], F.swapaxes(F.eigh(a)[1], -1, -2)),
        (SYMMETRIC,),
        lambda a: np.broadcast_to(np.eye(3), (2, 3, 3)).copy(),
    ),
    "svd": (lambda F, a: F.svd(a, full_matrices=False)[1], (A,), lambda a: np.linalg.svd(a)[1]),
    "singular values": (lambda F, a: F.svd(a, compute_uv=False), (A,), lambda a: np.linalg.svd(a)[1]),
    "qr": (lambda F, a: F.matmul(*F.qr(a, mode="reduced")), (A,), lambda a: a),
    "pinv": (lambda F, a: F.pinv(a), (A,), np.linalg.pinv),
    "lstsq": (lambda F, a, b: F.lstsq(a, b)[0], (A.T, V), lambda a, b: np.linalg.lstsq(a, b)[0]),
    "reshape": (lambda F, x: F.reshape(x, (4, 3)), (A,), lambda x: x.reshape(4, 3)),
    "transpose": (lambda F, x: F.transpose(x, (1, 0)), (A,), lambda x: x.T),
    "expand_dims": (lambda F, x: F.expand_dims(x, (0, -1)).shape, (A,), lambda x: (1, 3, 4, 1)),
    "squeeze": (lambda F, x: F.squeeze(x[None, :, :1]), (A,), lambda x: x[:, 0]),
    "moveaxis": (lambda F, x: F.moveaxis(x, 0, -1), (SQUARE,), lambda x: np.moveaxis(x, 0, -1)),
    "stack": (lambda F, x, y: F.stack([x, y], 1), (A, B), lambda x, y: np.stack([x, y], 1)),
    "concatenate": (lambda F, x, y: F.concatenate([x, y], 1), (A, B), lambda x, y: np.concatenate([x, y], 1)),
    "flip": (lambda F, x: F.flip(x, (0, 1)), (A,), np.flip),
    "roll": (lambda F, x: F.roll(x, (1, 2), (0, 1)), (A,), lambda x: np.roll(x, (1, 2), (0, 1))),
    "repeat": (lambda F, x: F.repeat(x, 2, 0), (A,), lambda x: np.repeat(x, 2, 0)),
    "repeat by counts": (
        lambda F, x, i: F.repeat(x, i, 1),
        (A, np.array([2, 0, 1, 3])),
        lambda x, i: np.repeat(x, i, 1),
    ),
    "repeat all by one count": (
        lambda F, x, i: F.repeat(x, i),
        (A, np.array([2])),
        lambda x, i: np.repeat(x, 2),
    ),
    "repeat nothing": (
        lambda F, x, i: F.repeat(x, i, 0),
        (np.zeros((0, 2)), np.zeros(0, "i8")),
        lambda x, i: x,
    ),
    "tile": (lambda F, x: F.tile(x, (2, 1)), (A,), lambda x: np.tile(x, (2, 1))),
    "diagonal": (lambda F, x: F.diagonal(x, 0, -2, -1), (SQUARE,), lambda x: np.einsum("bii->bi", x)),
    "tril": (lambda F, x: F.tril(x, -1), (SQUARE,), lambda x: np.tril(x, -1)),
    "take": (lambda F, x, i: F.take(x, i, 0), (V, PLACES), lambda x, i: x[i]),
    "take_along_axis": (
        lambda F, x: F.take_along_axis(x, F.argsort(x, 1), 1),
        (A,),
        lambda x: np.sort(x, 1),
    ),
    "put_along_axis": (
        lambda F, x: (y := F.copy(x), F.put_along_axis(y, F.argsort(x, 1)[:, :1], F.zeros((3, 1), "f8"), 1))[
            0
        ],
        (A,),
        lambda x: np.where(x == x.min(1, keepdims=True), 0, x),
    ),
    "getitem of places": (
        lambda F, x, i: F.getitem(x, (i % 3, slice(1, 3))),
        (A, PLACES),
        lambda x, i: x[i % 3, 1:3],
    ),
    "getitem of one": (lambda F, x: F.getitem(x, (1, 2)), (A,), lambda x: x[1, 2]),
    "getitem of a mask": (lambda F, x: F.getitem(x, x > 0), (A,), lambda x: x[x > 0]),
    "setitem": (
        lambda F, x: (y := F.copy(x), F.setitem(y, (slice(None), 1), 5.0))[0][:, 1],
        (A,),
        lambda x: np.full(3, 5.0),
    ),
    "copyto": (
        lambda F, x: (y := F.zeros((3, 4), "f4"), F.copyto(y, x, casting="unsafe"))[0],
        (A,),
        lambda x: x.astype("f4"),
    ),
    "astype of complex": (lambda F, z: F.astype(z, "f8"), (Z,), lambda z: z.real),
    "broadcast, small": (lambda F, v: F.broadcast_to(v, (3, 4)), (V,), lambda v: np.tile(v, (3, 1))),
    "broadcast, large": (lambda F, v: F.broadcast_to(v, (2000, 4))[-1], (V,), lambda v: v),
    "windows": (
        lambda F, v: F.sliding_window_view(v, (2,), (0,)),
        (V,),
        lambda v: np.lib.stride_tricks.sliding_window_view(v, 2),
    ),
    "as_strided": (
        lambda F, x: F.as_strided(x[1:], (2, 2), (1, 4), 1),
        (A,),
        lambda x: x.ravel()[[[1, 5], [2, 6]]],
    ),
    "storage_offset": (lambda F, x: F.storage_offset(x[1:, 2:]), (A,), lambda x: 6),
    "quantile": (lambda F, x: F.quantile(x, 0.3, 1), (A,), lambda x: np.quantile(x, 0.3, 1)),
    "median with NaN": (lambda F, x: F.median(x), (HOLES,), lambda x: np.float64("nan")),
    "searchsorted": (
        lambda F, x, v: F.searchsorted(F.sort(x), v),
        (V, V),
        lambda x, v: np.searchsorted(np.sort(x), v),
    ),
    "bincount": (lambda F, i: F.bincount(i, minlength=5), (PLACES,), lambda i: np.bincount(i, minlength=5)),
    "histogram": (lambda F, x: F.histogram(x, 4)[0], (V,), lambda x: np.histogram(x, 4)[0]),
    "nonzero": (lambda F, x: F.nonzero(x > 0), (A,), lambda x: np.nonzero(x > 0)),
    "arange": (lambda F: F.arange(2, 9, 3), (), lambda: np.array([2, 5, 8])),
    "linspace": (lambda F: F.linspace(0, 1, 5, dtype="f4"), (), lambda: np.linspace(0, 1, 5, dtype="f4")),
    "eye": (lambda F: F.eye(2, 3, dtype="f4"), (), lambda: np.eye(2, 3, dtype="f4")),
    "full": (lambda F: F.full((2,), True, "?"), (), lambda: np.array([True, True])),
    "full_like": (lambda F, x: F.full_like(x, 3, "i4"), (A,), lambda x: np.full((3, 4), 3, "i4")),
}
