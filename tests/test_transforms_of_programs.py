"""Random programs under transforms of random depth, run by torch beside gradcore. It must not know how."""

from __future__ import annotations

import os
import random
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.func

torch = pytest.importorskip("torch")

# Expressions of a tensor `a`, some of a second one, `b`; one that cannot be used on the shapes at hand is left out.
# Not det, solve, inv, layer_norm and its kin, logcumsumexp: torch's higher derivatives are wrong, beside differences.
LINES = """
    a.sin()                  a.tanh()                 a.exp().log1p()          a.square()               a.abs()
    a.relu()                 a.cumsum(0)              a.cumprod(-1)            a.logsumexp(-1)
    a.var(0, correction=0)   (a * a + 1).sqrt()       a.flip(0)                a.sort(-1)[0]
    a.median(-1)[0]          a.topk(1, -1)[0]         a.max(0)[0]              a.amax()                 a.prod(-1)
    a.mean()                 a.sum(-1, keepdim=True)  a.transpose(0, -1)       a.reshape(-1)            a.squeeze()
    a.unsqueeze(0)           a.expand(2, *a.shape)    a.diagonal(0, -2, -1)    T.outer(a, a).tril()
    a.roll(1, 0)             a.detach() + a           a[T.tensor([0, -1, 0])]  a[..., ::2]              a[-1]
    a.unfold(0, 2, 1)        a.repeat(2)              T.where(a > 0.3, a, -a)  a.log_softmax(-1)
    a.gather(-1, a.argsort(-1))                       a.clamp(-0.5, 0.7)       a.split(1)[-1] * 2
    sum(a.unbind(0))         T.einsum("...i,...i->...", a, a)                  T.lerp(a, a * a, 0.3)
    a.clone().mul_(a)        written(a * 1)           a.square().prod()        a.softmax(-1)
    a + b                    a * b                    a / (b * b + 1)          a @ b
    T.maximum(a, b)          T.atan2(a, b * b + 1)    T.stack([a, b])          T.cat([a, b])            T.outer(a, b)
    T.where(a > b, a, b * 2)                          (a * a + 1) ** b         T.kron(a, b)
    T.addcmul(a, b, b)       T.trapezoid(a)           T.linalg.cross(a, b)
    N.gelu(a)                N.silu(a)                N.softplus(a)            (a * a + 1).norm() + a
    N.normalize(a, dim=-1)   N.cosine_similarity(a, b, dim=-1)                 N.pad(a, (1, 0))         N.linear(a, b)
    N.mse_loss(a, b)         N.cross_entropy(a, a.detach().argmax(-1))         N.smooth_l1_loss(a, b)   N.conv1d(a, b)
    N.scaled_dot_product_attention(a, b, b)           N.max_pool1d(a, 2)       N.avg_pool1d(a, 2)       N.elu(a)
    N.kl_div(a.log_softmax(-1), b.softmax(-1), reduction="sum")                   N.bilinear(a, b, T.stack([a, b, a]))
    N.binary_cross_entropy_with_logits(a, b)          N.leaky_relu(a)          N.interpolate(a, 4, mode="linear")
"""
EXPRESSIONS = re.split(r"\s{2,}", LINES.strip())
CODE = {line: compile(line, line, "eval") for line in EXPRESSIONS}
SHAPES = [(), (3,), (2, 3), (3, 3), (2, 3, 3)]


def written(a: Any) -> Any:
    a[0] = a[-1] * 2
    return a


def program(choose: random.Random, inputs: int) -> Callable[[Any], Callable[..., Any]]:
    """A function of the library that makes one of tensors."""
    places = range(inputs, inputs + choose.randint(1, 5))
    lines = [(choose.choice(EXPRESSIONS), choose.randrange(place), choose.randrange(place)) for place in places]

    def made(T: Any) -> Callable[..., Any]:
        def run(*values: Any) -> Any:
            found = list(values)
            for line, i, j in lines:
                out = eval(CODE[line], {"T": T, "N": T.nn.functional, "a": found[i], "b": found[j], "written": written})
                found.append(out if out.numel() <= 60 else out.mean())
            return found[-1]

        run.__name__ = "; ".join(f"v{n + inputs} = {line} of {i}, {j}" for n, (line, i, j) in enumerate(lines))
        return run

    return made


def mapped(T: Any, f: Callable[..., Any], axis: int = 0, **options: Any) -> Callable[..., Any]:
    def over_axis(*values: Any) -> Any:
        sizes = [x.shape[axis] for x in values if x.dim()]
        if not sizes:
            return f(*values)
        dims = tuple(axis if x.dim() and x.shape[axis] == sizes[0] else None for x in values)
        return T.func.vmap(f, in_dims=dims, **options)(*values)

    return over_axis


def pulled(T: Any, f: Callable[..., Any], *values: Any) -> Any:
    out, pull = T.func.vjp(f, *values)
    return pull(out * 0 + 1.5)[-1]


TRANSFORMS: dict[str, Callable[[Any, Callable[..., Any]], Callable[..., Any]]] = {
    "grad": lambda T, f: T.func.grad(lambda *x: f(*x).sum()),
    "jacrev": lambda T, f: T.func.jacrev(f),
    "jacfwd": lambda T, f: T.func.jacfwd(f),
    "hessian": lambda T, f: T.func.hessian(f),
    "jvp": lambda T, f: lambda *x: T.func.jvp(f, x, tuple(each * 0 + 0.5 for each in x))[1],
    "vjp": lambda T, f: lambda *x: pulled(T, f, *x),
    "vmap": mapped,
    "vmap in chunks": lambda T, f: mapped(T, f, chunk_size=2),
    "vmap of the last axis": lambda T, f: mapped(T, f, axis=-1),
}
DEPTH = {"jacrev": 1, "jacfwd": 1, "hessian": 2}


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_random_programs_under_nested_transforms_do_as_in_torch() -> None:
    seed = 0 if os.environ.get("CI") else random.randrange(2**32)  # as hypothesis is told in conftest.py
    compared = 0
    for number in range(seed, seed + 400):
        choose, draw = random.Random(number), np.random.default_rng(number)
        values = [draw.normal(size=choose.choice(SHAPES)) for _ in range(choose.randint(1, 3))]
        made = program(choose, len(values))
        names = choose.choices([*TRANSFORMS, "vmap"], k=choose.choice([1, 2, 2, 3]))
        if sum(DEPTH.get(name, 0) for name in names) > 2:
            continue  # gigabytes
        found: list[Any] = []
        for T in (torch, gradcore):
            f = made(T)
            told = f"{number}: {' of '.join(reversed(names))} of {f.__name__} at {[v.shape for v in values]}"
            for name in names:
                f = TRANSFORMS[name](T, f)
            try:
                with warnings.catch_warnings():
                    if T is torch:
                        warnings.simplefilter("ignore")  # some it gives once in a process: as errors, to the first test
                    found.append(f(*(T.tensor(v, dtype=T.float64) for v in values)).detach().numpy())
            except Exception as error:
                if T is torch:
                    break  # what torch does not do is not compared
                raise AssertionError(told) from error
        if len(found) == 2 and np.isfinite(found[0]).all():
            compared += 1
            assert found[0].shape == found[1].shape, told
            small = 1e-8 * (1 + abs(found[0]).max(initial=0))
            np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=small, err_msg=told)
    assert compared > 50
