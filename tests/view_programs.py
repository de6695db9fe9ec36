"""Random programs of views, writes in place and reads, and two ways to transform them. It must not know how either works.

A program is drawn with torch at its side: a line that torch refuses, or that would read what it writes, is left out. It can
be run as it stands or `safe`, with copies of all that a later write might change, as a reference. Of transforms there are
the library's (`Func`) and such as everybody can check (`Naive`): reverse mode, twice for forward mode, loops for batches.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

# Lines over tensors `a` and `b`, an input `c`, a number `i` and the library `T`.
VIEWS = """
    a[i]   a[i:]   a[:, i]   a[..., i]   a[..., i:]   a[None]   a[::2]   a[:, ::2]   a.t()   a.mT   a.movedim(0, -1)
    a.view(-1)   a.unsqueeze(-1)   a.squeeze()   a.expand(2, *a.shape)   a.diagonal()   a.diagonal(1)
    a.unbind()[i]   a.unbind(-1)[i]   a.chunk(2, -1)[-1]   a.split(1)[i]   a.unfold(0, 2, 1)   a.unfold(-1, 2, 2)
    a.select(-1, i)   a.real   a.imag   T.view_as_real(a)   T.view_as_complex(a)   T.view_as_real(a)[..., i]   a.view_as(a)
    a.unflatten(-1, (1, -1))   a[i, None, 1]   a.expand_as(b)   a.as_strided((2,), (1,))   a.as_strided((2, 2), (1, 1))
    a.view(*a.shape, 1)   a.swapaxes(0, -1)   a.permute(-1, *range(a.dim() - 1))
"""
VALUES = """
    a * b   a + b   a * 2   a.sin()   a.clone()   a * a   a / (b * b + 1)   a.tanh()   a.sum(0)   a.sum()   a @ b   a[[i, 0]]
    T.stack([a, b])   T.where(a.real > 0, a, b)   a.cumsum(0)   a.flip(0)   T.complex(a, b)   T.complex(a, a * a)   a.abs()
    T.zeros_like(a)   a.new_zeros(2)   T.zeros(2, 2, dtype=T.float64)   T.ones(2, dtype=T.float64)   a.max(-1)[0]   a.tril()
    a.masked_fill(a.real > 0, 0.3)   a.index_add(0, T.tensor([0, 0]), b)   a.select_scatter(b, 0, i)   a.diagonal_scatter(b)
    T.zeros_like(a).add_(b)   a.detach() * b   T.addcmul(a, b, b)   a.softmax(-1)   c * a   c * 1
    a.gather(0, T.tensor([[0, 1], [1, 0]]))   T.einsum("ij,jk->ik", a, b)
"""
WRITES = """
    a.mul_(b)   a.mul_(2)   a.add_(b)   a += b   a.sub_(b, alpha=2)   a.div_(b * b + 1)   a.copy_(b)   a.zero_()
    a.fill_(2)   a.fill_(b.sum())   a.fill_diagonal_(0.4)   a[i] = b   a[i] = 3   a[:, i] = b   a[..., i] = 0.5
    a[i:] = b   a[:] = b   a[::2] = b   a[i, 1] = b.sum()   a[[i, 0]] = 0.25   a[T.tensor([1, 0])] = b
    a[:, T.tensor([1, 0])] = b   a[T.tensor([0, 1]), T.tensor([1, 0])] = b   a[a.real > 0] = 0.5   a[a.real > 0] = a.sum()
    a[T.tensor([True, False])] = b   a[i] += b   a[..., i].copy_(b)   a.diagonal().mul_(b)   a.T[i] = b   a.mT.add_(b)
    a.masked_fill_(a.real > 0, a.sum())   a.masked_scatter_(a.real > 0, b)   a.index_put_((T.tensor([0, 1]),), b)
    a.index_put_((a.real > 0,), a.sum())   a.index_put_((T.tensor([0, i]),), b, accumulate=True)
    a.scatter_(0, T.tensor([[i, 1]]), b)   a.index_fill_(-1, T.tensor([i]), 7)   a.scatter_add_(0, T.tensor([[i, 1]]), b)
    a.index_add_(0, T.tensor([0, i]), b, alpha=2)   a.index_copy_(0, T.tensor([1, 0]), b)
    a.put_(T.tensor([0, 3]), b, accumulate=True)   a.sin_()   a.relu_()   a.clamp_(-1, 1)   a.lerp_(b, 0.3)
    a.addcmul_(b, b)   a.cumsum_(0)   a.tril_()   a.triu_(1)   a.pow_(2)   a.addmm_(b, b)   a.t_()   a.unsqueeze_(0)
    a.squeeze_()   a.transpose_(0, -1)   a.real.mul_(2)   a.imag.mul_(b.real)   a.real[i] = b.real
    T.view_as_real(a)[..., i] = b.real   a.copy_(c)   a.mul_(c)   a[i] = c[i]   a[0] = a[1] * 2   a[1:] += a[:1] * 2
    a.xlogy_(b * b + 1)
"""
TURNS = ("a.t_()", "a.unsqueeze_(0)", "a.squeeze_()", "a.transpose_(0, -1)")
SHAPES = [(2, 2)] * 6 + [(3,), (2,), (2, 3), (3, 2), (2, 2, 2)]


def _lines(text: str) -> list[str]:
    return [each for line in text.strip().splitlines() for each in line.strip().split("   ")]


KINDS = {"write": _lines(WRITES), "view": _lines(VIEWS), "value": _lines(VALUES)}
CODE = {line: compile(line, line, "exec" if kind == "write" else "eval") for kind in KINDS for line in KINDS[kind]}


class Line:
    """One line: its text, what `a`, `b` and `i` are in it; and within a transform of a program of its own, that program."""

    def __init__(self, choose: random.Random, number: int, depth: int) -> None:
        many = ["write"] * 10 + ["view"] * 6 + ["value"] * 4 + ["inner"] * (2 - 2 * depth)
        self.kind = choose.choice(many)
        self.text = choose.choice(list(INNER) if self.kind == "inner" else KINDS[self.kind])
        self.lines = [Line(choose, k, 1) for k in range(choose.randint(1, 4))] if self.kind == "inner" else []
        last = number + 2
        self.a, self.b = (choose.randrange(choose.choice([0, max(0, last - 3)]), last) for _ in range(2))
        self.i = choose.randrange(2)
        self.dead = self.copied = False

    def __repr__(self) -> str:
        inside = f" of {[line for line in self.lines if not line.dead]}" if self.lines else ""
        return "-" if self.dead else f"{self.text}{inside} (a={self.a}, b={self.b}, i={self.i}{', b copied' * self.copied})"


def run(T: Any, L: Any, lines: list[Line], x: Any, c: Any, safe: bool = False, look: Any = None) -> list[Any]:
    """All tensors of a program: two, and what each line makes or writes. `look` sees each line before, with its tensors."""
    made = [x * 1, x * x + 0.5]
    for line in lines:
        a, b = made[line.a], made[line.b]
        if look is not None:
            look(line, a, b)
        if line.dead:
            made.append(made[0] * 1)
            continue
        b = b.clone() if line.copied else b
        env = {"T": T, "a": a, "b": b, "c": c, "i": line.i}
        if safe and line.kind != "view" and line.text not in TURNS:
            env |= {name: env[name].clone() for name in "abc"}
        if line.kind == "inner":
            out = INNER[line.text](T, L, lambda z, line=line, b=b: total(T, run(T, L, line.lines, z, b, safe)), env["a"])
        elif line.kind == "write":
            exec(CODE[line.text], env)
            out = a if not safe or line.text in TURNS else a.copy_(env["a"].clone())
        else:
            out = eval(CODE[line.text], env)
            out = out.clone() if safe and line.kind == "value" else out
        made.append(out if line.kind == "write" or out.numel() <= 40 else out.sum())
    return made


def total(T: Any, tensors: list[Any]) -> Any:
    """A number that depends on every element."""
    parts = [T.view_as_real(t) if t.is_complex() else t for t in tensors]
    return sum((t * t * (0.3 + 0.1 * k) + t * (0.2 - 0.1 * k)).sum() for k, t in enumerate(parts))


def settle(torch: Any, lines: list[Line], x: Any, c: Any) -> None:
    """Leave out the lines that torch refuses or does not define."""
    for k, last in enumerate(lines):

        def look(line: Line, a: Any, b: Any, last: Line = last) -> None:
            if line is not last:
                return
            if line.kind == "inner":
                settle(torch, line.lines, a.detach(), b.detach())
            if line.kind == "write":
                places = _places(a)
                line.dead |= len({*places}) < len(places)
                line.copied = line.text not in TURNS and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
            if "as_strided" in line.text:
                line.dead |= not {*_places(eval(line.text, {"a": a.detach()}))} <= {*_places(a)}
            line.dead |= line.kind != "view" and max(a.numel(), b.numel()) > 40

        inputs = [t.detach().clone().requires_grad_() for t in (x, c)]
        try:
            run(torch, Naive, lines[: k + 1], inputs[0], inputs[1] * 1, look=look)
        except Exception:
            last.dead = True


def _places(t: Any) -> list[int]:
    places = np.full((1,), t.storage_offset())
    for n, step in zip(t.shape, t.stride(), strict=True):
        places = np.add.outer(places, np.arange(n) * step)
    return [int(place) for place in places.ravel()]


# -- transforms: of a function of several tensors ------------------------------------------------------------------------


def direction(T: Any, x: Any) -> Any:
    """A tangent, or weights, that only the shape says."""
    return (T.arange(x.numel(), dtype=T.float64) * 1.3 + 0.4).sin().reshape(x.shape).to(x.dtype)


def gradients(T: Any, y: Any, xs: Any, seed: Any = None, create: bool = True) -> list[Any]:
    if not y.requires_grad:
        return [T.zeros_like(x) for x in xs]
    return list(T.autograd.grad(y, xs, seed, create_graph=create, allow_unused=True, materialize_grads=True))


class Naive:
    """Transforms by nothing but reverse mode and loops."""

    @staticmethod
    def enter(xs: Any) -> list[Any]:
        return [x * 1 if x.requires_grad else x.detach().requires_grad_() for x in xs]

    @classmethod
    def vjp(cls, T: Any, f: Any, xs: Any) -> list[Any]:
        xs = cls.enter(xs)
        y = f(*xs)
        return gradients(T, y, xs, T.ones_like(y))

    @classmethod
    def grad(cls, T: Any, f: Any, xs: Any, k: int) -> Any:
        return cls.vjp(T, f, xs)[k]

    @classmethod
    def jvp(cls, T: Any, f: Any, xs: Any) -> Any:
        xs = cls.enter(xs)
        y = f(*xs)
        seed = T.zeros_like(y).requires_grad_()
        pulled = zip(gradients(T, y, xs, seed), xs, strict=True)
        return sum((gradients(T, g, [seed], direction(T, x))[0] for g, x in pulled if g.requires_grad), T.zeros_like(y))

    @staticmethod
    def vmap(T: Any, f: Any, xs: Any, dims: Any, out: int = 0) -> Any:
        n = next(x.shape[d] for x, d in zip(xs, dims, strict=True) if d is not None)
        taken = [[x if d is None else x.select(d, i) for x, d in zip(xs, dims, strict=True)] for i in range(n)]
        return T.stack([f(*each) for each in taken], out)

    @classmethod
    def jacrev(cls, T: Any, f: Any, xs: Any, k: int) -> Any:
        xs = cls.enter(xs)
        y = f(*xs)
        rows = [gradients(T, each, [xs[k]])[0] for each in y.reshape(-1)]
        return T.stack(rows).reshape(*y.shape, *xs[k].shape)

    jacfwd = jacrev

    @classmethod
    def hessian(cls, T: Any, f: Any, xs: Any, k: int) -> Any:
        return cls.jacrev(T, lambda *xs: cls.jacrev(T, f, xs, k), xs, k)

    dual = jvp


class Func:
    """The library's transforms, and its dual levels."""

    @staticmethod
    def vjp(T: Any, f: Any, xs: Any) -> list[Any]:
        y, pull = T.func.vjp(f, *xs)
        return list(pull(T.ones_like(y)))

    @staticmethod
    def jvp(T: Any, f: Any, xs: Any) -> Any:
        return T.func.jvp(f, tuple(xs), tuple(direction(T, x) for x in xs))[1]

    @staticmethod
    def vmap(T: Any, f: Any, xs: Any, dims: Any, out: int = 0) -> Any:
        return T.func.vmap(f, in_dims=tuple(dims), out_dims=out)(*xs)

    @staticmethod
    def dual(T: Any, f: Any, xs: Any) -> Any:
        D = T.autograd.forward_ad
        with D.dual_level():
            made = D.unpack_dual(f(*(D.make_dual(x, direction(T, x)) for x in xs)))
        return T.zeros_like(made.primal) if made.tangent is None else made.tangent

    grad, jacrev, jacfwd, hessian = (
        staticmethod(lambda T, f, xs, k, name=name: getattr(T.func, name)(f, argnums=k)(*xs))
        for name in ("grad", "jacrev", "jacfwd", "hessian")
    )


def _pairs(T: Any, a: Any) -> Any:
    return T.stack([a, a * 0.5])


# Transforms that a program uses itself, of a function of one tensor.
INNER: dict[str, Callable[..., Any]] = {
    "grad": lambda T, L, f, a: L.grad(T, f, [a], 0),
    "jvp": lambda T, L, f, a: L.jvp(T, lambda z: f(z) * z, [a]),
    "vmap": lambda T, L, f, a: L.vmap(T, lambda z: f(z) * z, [_pairs(T, a)], [0]),
    "vmap of grad": lambda T, L, f, a: L.vmap(T, lambda z: L.grad(T, f, [z], 0), [_pairs(T, a)], [0]),
    "grad of jvp": lambda T, L, f, a: L.grad(T, lambda z: L.jvp(T, f, [z]), [a], 0),
    "jacrev": lambda T, L, f, a: L.jacrev(T, lambda z: f(z) * z.sum(), [a], 0),
}

# The order of the derivatives that each adds.
ORDERS = {"grad": 1, "vjp": 1, "jvp": 1, "vmap": 0, "jacfwd": 1, "jacrev": 1, "hessian": 2, "plain": 1, "dual": 1}
DIMS = [(0, None), (None, 0), (0, 0), (1, 0), (0, 1), (-1, -1), (1, None), (None, -1)]


class Transform:
    """One of a nest: its name, by which input it differentiates, or along which dimensions it maps."""

    def __init__(self, choose: random.Random, names: list[str]) -> None:
        self.name, self.k = choose.choice(names), choose.randrange(2)
        self.dims, self.out = choose.choice(DIMS), choose.choice([0, -1])

    def __repr__(self) -> str:
        return f"vmap{self.dims} to {self.out}" if self.name == "vmap" else f"{self.name} {self.k}"

    def shapes(self, shapes: list[Any]) -> list[Any]:
        """The shapes of the inputs with what is mapped."""
        if self.name != "vmap":
            return shapes
        pairs = zip(shapes, self.dims, strict=True)
        return [s if d is None else (*s, 2) if d < 0 else (*s[:d], 2, *s[d:]) for s, d in pairs]

    def of(self, T: Any, L: Any, f: Callable[..., Any]) -> Callable[..., Any]:
        def weighted(*xs: Any) -> Any:
            y = f(*xs)
            return (y * direction(T, y)).sum()

        def small(*xs: Any) -> Any:
            y = f(*xs)
            return y if y.numel() <= 12 else y.sum()

        def transformed(*xs: Any) -> Any:
            if self.name == "vmap":
                return L.vmap(T, f, xs, self.dims, self.out)
            if self.name == "vjp":
                first, second = L.vjp(T, f, xs)
                return first + (second * second).sum()
            if self.name == "plain":
                leaves = [x.detach().requires_grad_() for x in xs]
                return T.cat([g.reshape(-1) for g in gradients(T, weighted(*leaves), leaves, create=L is Naive)])
            if self.name in ("jvp", "dual"):
                return getattr(L, self.name)(T, f, xs)
            return getattr(L, self.name)(T, weighted if self.name == "grad" else small, xs, self.k)

        return transformed


def nest(choose: random.Random) -> list[Transform]:
    """Transforms, the innermost first, with derivatives of the third order at most."""
    most, length = choose.choice([1, 1, 2, 2, 2, 3]), choose.choice([1, 2, 3, 3, 4])
    found: list[Transform] = []
    while len(found) < length:
        made = Transform(choose, ["grad", "vjp", "jvp", "jvp", "vmap", "vmap", "vmap", "jacfwd", "jacrev", "hessian"])
        if sum(ORDERS[each.name] for each in (*found, made)) <= most:
            found.append(made)
    if sum(ORDERS[each.name] for each in found) < most:
        found.append(Transform(choose, ["plain", "dual"]))
    return found
