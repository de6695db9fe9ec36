"""Second derivatives by every order of reverse and forward mode, with a batch at every place among them, on torch's samples.

What is compared is the derivative of a gradient along a direction in which inputs and cotangents move. As reverse mode twice
has it, one sample after another, other checks hold it against torch's. It must not know any op by name.

A way is a mode and a place. Each sample goes by one of them in a run, or by as many as `MODES_WAYS` says.
"""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import Any

import numpy as np
import torch

from tests.oracle import compare
from tests.oracle.catalogue import Entry
from tests.oracle.gradients import differentiable, forward, has_gradient, random_like
from tests.oracle.library import tensors_in
from tests.oracle.transforms import arguments
from tests.oracle.trial import Check, NotApplicable, Trial, origin

SEED = int(os.environ.get("GRADCORE_SEED", 0)) or (0 if os.environ.get("CI") else random.randrange(2**32))
DRAWS, WAYS = int(os.environ.get("MODES_DRAWS", 2)), int(os.environ.get("MODES_WAYS", 4))
LOOKED_AT, LARGEST = 40, 300
SCALES = (1.0, 0.97)  # what the points of a batch of two are multiplied by: most samples cannot be moved at will

# Where first derivatives of the two modes differ, in torch as well.
SPARED = dict.fromkeys(
    (f"nn.functional.max_unpool{n}d" for n in (1, 2, 3)),
    "places are written several times, and reverse mode reads them for each",
)

Tensors = tuple[Any, ...]
Function = Callable[..., Tensors]


class Problem:
    """A sample's op as a function of the `n` tensors that want a gradient, and two rows of what its derivatives take."""

    def __init__(self, trial: Trial, sample: Any) -> None:
        self.trial, self.sample, library = trial, sample, trial.library
        own = library.resolve(trial.info.op, trial.info.name)
        wrapper = trial.info.gradcheck_wrapper  # makes symmetric, triangular, ... what an op reads in part
        if wrapper.__name__ == "<lambda>":
            self.op = own
        else:
            self.op = lambda *args, **options: library.resolve(wrapper)(own, *args, **options)
        self.module, self.func = library.module, library.module.func
        tensors = tensors_in((sample.input, sample.args, sample.kwargs))
        points = [tensors[i].detach() for i in differentiable(sample)]
        self.n = len(points)
        rows = [[library.tensor(x * scale) for x in points] for scale in SCALES]
        outs = [self.outputs(*(x.clone().requires_grad_() for x in row)) for row in rows]
        shapes = [[tuple(y.shape) for y in out] for out in outs]
        self.kept = [i for i, y in enumerate(outs[0]) if y.requires_grad]
        if not self.kept or shapes[0] != shapes[1]:
            raise NotApplicable
        outs = [[out[i] for i in self.kept] for out in outs]
        self.rows = [(*x, *self.like(outs[0], 10 + k), *self.like(x, 20 + k), *self.like(outs[0], 30 + k))
                     for k, x in enumerate(rows)]  # fmt: skip
        names = [library.dtype_name(x.dtype) for x in self.rows[0]]
        self.dtypes = [getattr(torch, name) for name in names]
        self.m = len(self.kept)
        self.shared = self.n + self.m  # how many of a row are points and cotangents, the rest directions

    def like(self, tensors: Sequence[Any], seed: int) -> list[Any]:
        library = self.trial.library
        made = (random_like(torch.from_numpy(np.array(library.array(x))), seed) for x in tensors)
        return [library.tensor(v).to(x.dtype) for v, x in zip(made, tensors, strict=True)]

    def outputs(self, *points: Any) -> Tensors:
        given = arguments(self.trial, self.trial.library, self.sample, points)
        done = forward(self.trial, self.trial.library, self.sample, self.op, given)
        if done.error:
            raise done.error
        return tuple(y for y in done.value if y.is_floating_point() or y.is_complex())

    def function(self, *points: Any) -> Tensors:
        outs = self.outputs(*points)
        return tuple(outs[i] for i in self.kept)

    def split(self, row: Sequence[Any]) -> tuple[Tensors, Tensors, Tensors, Tensors]:
        """Points, cotangents, directions of the points, directions of the cotangents."""
        n, end = self.n, self.shared
        return tuple(row[:n]), tuple(row[n:end]), tuple(row[end : end + n]), tuple(row[end + n :])

    def pull(self, f: Function) -> Function:
        return lambda *args: self.func.vjp(f, *args[: self.n])[1](args[self.n :])

    def push(self, f: Function) -> Function:
        def pushed(*args: Any) -> Tensors:
            half = len(args) // 2
            made = self.func.jvp(f, args[:half], args[half:])
            return (*made[0], *made[1])

        return pushed

    def batch(self, f: Function) -> Function:
        return self.func.vmap(f)  # type: ignore[no-any-return]

    def truth(self, row: Sequence[Any]) -> list[np.ndarray]:
        """Reverse mode twice."""
        points, cotangents, t, u = self.split(row)
        grad = self.module.autograd.grad
        leaves = [x.detach().requires_grad_() for x in points]
        outs = self.function(*leaves)
        firsts = grad(outs, leaves, cotangents, create_graph=True, allow_unused=True, materialize_grads=True)
        pairs = [(y, v) for y, v in zip((*firsts, *outs), (*t, *u), strict=True) if y.requires_grad]
        ends, seeds = zip(*pairs, strict=True)
        made = grad(ends, leaves, seeds, allow_unused=True, materialize_grads=True)
        return [self.trial.library.array(x) for x in made]


# -- modes: functions of a row; a batch may stand in `f`, or as `inner` around its derivative ------------------------------


def forward_over_reverse(p: Problem, inner: Callable[[Function], Function], f: Function) -> Function:
    return lambda *row: p.push(inner(p.pull(f)))(*row)[p.n :]


def reverse_over_forward(p: Problem, inner: Callable[[Function], Function], f: Function) -> Function:
    def made(*row: Any) -> Tensors:
        points, cotangents, t, u = p.split(row)
        return p.pull(lambda *x: inner(p.push(f))(*x, *t))(*points, *u, *cotangents)

    return made


def reverse_over_reverse(p: Problem, inner: Callable[[Function], Function], f: Function) -> Function:
    def made(*row: Any) -> Tensors:
        points, cotangents, t, u = p.split(row)
        both = inner(lambda *args: (*p.pull(f)(*args), *f(*args[: p.n])))
        return p.pull(lambda *x: both(*x, *cotangents))(*points, *t, *u)

    return made


def forward_over_forward(p: Problem, inner: Callable[[Function], Function], f: Function) -> Function:
    """Along the points' direction alone: of each row what the others say, multiplied by it."""

    def made(*row: Any) -> Tensors:
        points, _, t, _ = p.split(row)
        ends = p.push(lambda *x: inner(p.push(f))(*x, *t))(*points, *t)
        return ends[-2 * p.m :]

    return made


def dual_gradients(p: Problem, inner: Callable[[Function], Function], f: Function) -> Function:
    """Dual numbers through `autograd.grad`."""

    def made(*row: Any) -> Tensors:
        points, cotangents, t, u = p.split(row)
        duals = p.module.autograd.forward_ad
        with duals.dual_level():
            leaves = [duals.make_dual(x.detach().requires_grad_(), v) for x, v in zip(points, t, strict=True)]
            seeds = [duals.make_dual(x, v) for x, v in zip(cotangents, u, strict=True)]
            outs = f(*leaves)
            firsts = p.module.autograd.grad(
                outs, leaves, seeds, create_graph=True, allow_unused=True, materialize_grads=True
            )
            tangents = [duals.unpack_dual(g).tangent for g in firsts]
            return tuple(x * 0 if v is None else v for v, x in zip(tangents, points, strict=True))

    return made


MODES = (forward_over_reverse, reverse_over_forward, reverse_over_reverse, forward_over_forward, dual_gradients)
PLACES = ("nowhere", "outside", "between", "inside", "directions")
ALL = [way for way in product(MODES, PLACES) if way != (dual_gradients, "between")]


def plain(f: Function) -> Function:
    return f


def difference(p: Problem, mode: Callable[..., Function], place: str) -> str | None:
    """Go one way and say what is not as it should be."""
    rows = p.rows[:1] if place == "nowhere" else p.rows
    if place == "directions":
        rows = [(*p.rows[0][: p.shared], *row[p.shared :]) for row in rows]
    try:
        expected = [np.stack(each) for each in zip(*map(p.truth, rows), strict=True)]
    except Exception:  # other checks tell
        raise NotApplicable from None
    if not all(np.isfinite(e).all() for e in expected):
        raise NotApplicable  # at a singular point modes have their own limits, in torch as well
    whole = [p.module.stack(list(each)) for each in zip(*rows, strict=True)]
    inner, f = (p.batch if place == "between" else plain), p.function
    way = mode(p, inner, p.batch(f) if place == "inside" else f)
    if place == "nowhere":
        found = [x.unsqueeze(0) for x in way(*rows[0])]
    elif place == "outside":
        found = list(p.batch(way)(*whole))
    elif place == "directions":
        shared = rows[0][: p.shared]
        found = list(p.batch(lambda *directions: way(*shared, *directions))(*whole[p.shared :]))
    else:
        found = list(way(*whole))
    arrays = [p.trial.library.array(x) for x in found]
    if mode is forward_over_forward:
        along = [p.trial.library.array(x) for x in (*p.split(whole)[3], *p.split(whole)[1])]
        arrays = [products(along, arrays)]
        expected = [products([p.trial.library.array(x) for x in p.split(whole)[2]], expected)]
    worst = p.trial.derivative_tolerance(min(p.dtypes, key=compare.real_width))
    small = worst.atol * max(1.0, *(np.abs(e).max(initial=0) for e in expected))
    for i, (e, a) in enumerate(zip(expected, arrays, strict=True)):
        if e.shape != a.shape:
            return f"result {i}: expected shape {e.shape}, got {a.shape}"
        if not np.allclose(a, e, worst.rtol, small):
            return f"result {i}: expected {e}, got {a}"
    return None


def products(these: Sequence[np.ndarray], those: Sequence[np.ndarray]) -> np.ndarray:
    """The inner product of each row, of complex numbers as of pairs of real ones."""
    return sum((np.conj(x) * y).real.reshape(len(x), -1).sum(1) for x, y in zip(these, those, strict=True))  # type: ignore


def few(trial: Trial) -> Iterator[Any]:
    """A few of the op's samples, from everywhere among the first."""

    def serves(sample: Any) -> bool:
        sizes = [t.numel() for t in tensors_in((sample.input, sample.args, sample.kwargs))]
        return 0 < max(sizes, default=0) <= LARGEST

    samples = list(filter(serves, islice(trial.samples(requires_grad=True), LOOKED_AT)))
    yield from random.Random(SEED + zlib.crc32(trial.entry.label.encode())).sample(samples, min(DRAWS, len(samples)))


def check_modes(trial: Trial, sample: Any) -> str | None:
    """Compare some ways with reverse mode twice."""
    if not differentiable(sample):
        raise NotApplicable
    try:
        problem = Problem(trial, sample)
    except NotApplicable:
        raise
    except Exception:  # other checks tell
        raise NotApplicable from None
    trial.notes["tried"] += 1
    chosen = random.Random(SEED + trial.notes["tried"] + zlib.crc32(trial.entry.label.encode()))
    for mode, place in chosen.sample(ALL, min(WAYS, len(ALL))):
        told = f"{mode.__name__.replace('_', ' ')}, batch {place} (GRADCORE_SEED={SEED})"
        try:
            found = difference(problem, mode, place)
        except NotApplicable:
            raise
        except Exception as error:
            return f"{told}: raised {compare.brief(error)}{origin(error)}"
        if found:
            return f"{told}: {found}"
    return None


def applies(entry: Entry, dtype: torch.dtype) -> bool:
    return has_gradient(entry, dtype) and entry.label not in SPARED


CHECKS = [Check("modes", applies, check_modes, samples=few, counts_samples=False)]
