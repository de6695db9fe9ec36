"""Parametrized tensors, weights of norms and orthogonal ones beside torch's: values, gradients, states, what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def world(T: Any) -> dict[str, Any]:
    """A module `m`, a convolution `c`, parametrizations of all kinds, and functions."""

    class Symmetric(T.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).mT

        def right_inverse(self, x: Any) -> Any:
            return x.triu()

    class RankOne(T.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any, y: Any) -> Any:
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, z: Any) -> Any:
            return z[:, 0] * 1.0, z[0] / z[0, 0]

    class Twice(T.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return 2 * x

    class Other(T.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, f: Any, back: Any = None) -> None:
            super().__init__()
            self.f = f
            if back is not None:
                self.right_inverse = back

        def forward(self, x: Any) -> Any:
            return self.f(x)

    T.manual_seed(2)
    u = T.nn.utils
    return {
        "T": T, "u": u, "P": u.parametrize, "register": u.parametrize.register_parametrization, "copy": copy,
        "m": T.nn.Linear(3, 3), "c": T.nn.Conv2d(2, 4, 3), "t": T.nn.ConvTranspose1d(2, 3, 2), "x": T.randn(2, 3),
        "Symmetric": Symmetric, "RankOne": RankOne, "Twice": Twice, "Other": Other, "made": made, "state": state,
        "attempt": attempt, "slopes": slopes,
    }  # fmt: skip


def state(m: Any) -> Any:
    return [(name, x.clone()) for name, x in m.state_dict().items()]


def made(m: Any, x: Any) -> Any:
    """What a module is, has and computes."""
    return [repr(m), type(m).__name__, [n for n, _ in m.named_parameters()], state(m), m(x).detach()]


def slopes(T: Any, m: Any, x: Any) -> Any:
    out = m(x)
    return T.autograd.grad((out**2).sum(), list(m.parameters()))


PROGRAMS = [
    "register(m, 'weight', Symmetric()) is m; [made(m, x), slopes(T, m, x)]",
    "register(m, 'weight', Symmetric()); register(m, 'weight', Twice()); [made(m, x), len(m.parametrizations.weight)]",
    "register(m, 'weight', Symmetric()); m.weight = T.eye(3) * 3; [m.weight.detach(), state(m)]",
    "register(m, 'weight', Twice()); setattr(m, \'weight\', T.eye(3))",
    "register(m, 'weight', RankOne()); [made(m, x), slopes(T, m, x)]",
    "register(m, 'weight', RankOne()); m.weight = T.ones(3, 3); [m.weight.detach(), state(m)]",
    "register(m, 'weight', Twice()); register(m, 'bias', Twice()); [made(m, x), P.is_parametrized(m, 'bias')]",
    "register(m, 'weight', Twice()); P.remove_parametrizations(m, 'weight'); made(m, x)",
    "register(m, 'weight', Twice()); P.remove_parametrizations(m, 'weight', leave_parametrized=False); made(m, x)",
    "register(m, 'weight', RankOne()); P.remove_parametrizations(m, 'weight'); made(m, x)",
    "register(m, 'weight', RankOne()); P.remove_parametrizations(m, 'weight', leave_parametrized=False)",
    "register(m, 'weight', Twice()); register(m, 'bias', Twice()); P.remove_parametrizations(m, 'bias'); made(m, x)",
    "P.remove_parametrizations(m, 'weight')",
    "register(m, 'none', Twice())",
    "[P.is_parametrized(m), P.is_parametrized(m, 'weight'), P.type_before_parametrizations(m) is T.nn.Linear]",
    "register(m, 'weight', Twice()); [P.is_parametrized(m), P.is_parametrized(m, 'bias'), "
    "P.type_before_parametrizations(m) is T.nn.Linear, isinstance(m, T.nn.Linear)]",
    "register(m, 'weight', Other(lambda x: x.double()))",
    "register(m, 'weight', Other(lambda x: x[0]))",
    "register(m, 'weight', Other(lambda x: 3))",
    "register(m, 'weight', Other(lambda x: x[0]), unsafe=True); [repr(m), m.weight.shape]",
    "register(m, 'weight', Other(lambda x: x, lambda x: x.double()))",
    "register(m, 'weight', Other(lambda x: x, lambda x: 3))",
    "register(m, 'weight', Other(lambda x: x, lambda x: (x, 3)))",
    "register(m, 'weight', Twice()); register(m, 'weight', Other(lambda x: x[0]))",
    "register(m, 'weight', Twice()); register(m, 'weight', Other(lambda x: x, lambda x: x[0]))",
    "register(m, 'weight', Twice()); register(m, 'weight', Other(lambda x: 3))",
    "register(m, 'weight', Twice()); n = copy.deepcopy(m); n.bias.data.zero_(); "
    "[made(n, x), m.bias.detach(), type(n) is type(m)]",
    "register(m, 'weight', Twice()); m.__getstate__()",
    "register(m, 'weight', Twice()); n = register(T.nn.Linear(3, 3), 'weight', Twice()); "
    "repr(n.load_state_dict(m.state_dict())); "
    "[n(x).detach(), m(x).detach()]",
    "register(m, 'weight', Twice()); n = T.nn.Linear(3, 3); P.transfer_parametrizations_and_params(m, n); "
    "[made(n, x), n.parametrizations.weight.original is m.parametrizations.weight.original]",
    "register(m, 'weight', Twice()); m.eval(); [m.parametrizations.training, m.double().weight.dtype.itemsize]",
    "m.register_buffer('b', T.ones(2)); register(m, 'b', Twice()); [m.b, repr(m), state(m)]",
    "register(m, 'weight', Twice()); T.func.functional_call(m, {'bias': T.zeros(3)}, x).detach()",
    "u.parametrizations.weight_norm(m); [made(m, x), slopes(T, m, x)]",
    "u.parametrizations.weight_norm(c, dim=1); [repr(c), state(c), c.weight.detach()]",
    "u.parametrizations.weight_norm(c, dim=3).weight",
    "u.parametrizations.weight_norm(m, dim=None); [state(m), m.weight.detach()]",
    "n = u.weight_norm(T.nn.Linear(3, 3)); u.parametrizations.weight_norm(m); "
    "repr(m.load_state_dict(n.state_dict())); made(m, x)",
    "u.weight_norm(m); [made(m, x), slopes(T, m, x)]",
    "u.weight_norm(c, dim=None); [state(c), c(T.ones(1, 2, 4, 4)).detach()]",
    "u.weight_norm(m); u.weight_norm(m)",
    "u.weight_norm(m); u.remove_weight_norm(m); [made(m, x), len(m._forward_pre_hooks)]",
    "u.remove_weight_norm(m)",
    "u.spectral_norm(m); [made(m, x), slopes(T, m, x), state(m)]",
    "u.spectral_norm(m, n_power_iterations=3).eval(); [made(m, x), state(m)]",
    "u.spectral_norm(t); [state(t), t(T.ones(1, 2, 4)).detach()]",
    "u.spectral_norm(c, dim=1, eps=0.1); [state(c), c(T.ones(1, 2, 4, 4)).detach()]",
    "u.spectral_norm(m); u.spectral_norm(m)",
    "u.spectral_norm(m, n_power_iterations=0)",
    "u.spectral_norm(T.nn.Linear(2, 2, bias=False), 'bias')",
    "u.spectral_norm(m); m(x); u.remove_spectral_norm(m); [made(m, x), len(m._state_dict_hooks), len(m._forward_pre_hooks)]",
    "u.remove_spectral_norm(m)",
    "u.spectral_norm(m); m.state_dict()._metadata['']",
    "u.spectral_norm(m); m(x); s = m.state_dict(); n = u.spectral_norm(T.nn.Linear(3, 3)); "
    "repr(n.load_state_dict(s)); n.eval()(x).detach()",
    "u.spectral_norm(m); m(x); s = m.state_dict(); v = s.pop('weight_v'); s['weight'] = m.weight.detach(); "
    "s._metadata[''] = {}; "
    "n = u.spectral_norm(T.nn.Linear(3, 3)); repr(n.load_state_dict(s)); n.eval()(x).detach()",
    "u.spectral_norm(m); s = m.state_dict(); del s['weight_u'], s['weight_v']; m.load_state_dict(s)",
    "u.parametrizations.spectral_norm(m); [made(m, x), slopes(T, m, x), m.eval()(x).detach(), state(m)]",
    "u.parametrizations.spectral_norm(c, dim=-1, n_power_iterations=2); [state(c), c.weight.detach()]",
    "u.parametrizations.spectral_norm(t); [state(t), repr(t)]",
    "u.parametrizations.spectral_norm(m, 'bias'); [state(m), m.bias.detach()]",
    "u.parametrizations.spectral_norm(m, dim=2)",
    "u.parametrizations.spectral_norm(m, n_power_iterations=0)",
    "u.parametrizations.spectral_norm(m, 'none')",
    "u.parametrizations.orthogonal(m); [repr(m), m.weight.detach(), slopes(T, m, x)]",
    "u.parametrizations.orthogonal(m, orthogonal_map='cayley'); [m.weight.detach(), slopes(T, m, x)]",
    "u.parametrizations.orthogonal(m, orthogonal_map='householder'); [m.weight.detach(), slopes(T, m, x), state(m)]",
    "u.parametrizations.orthogonal(m, use_trivialization=False); [m.weight.detach(), slopes(T, m, x), state(m)]",
    "u.parametrizations.orthogonal(m, orthogonal_map='householder', use_trivialization=False); "
    "[state(m), m.weight.detach(), "
    "slopes(T, m, x)]",
    "n = T.nn.Linear(3, 5, dtype=T.float64); "
    "u.parametrizations.orthogonal(n, orthogonal_map='householder', use_trivialization=False); "
    "[state(n), n.weight.detach()]",
    "n = T.nn.Linear(5, 3); "
    "u.parametrizations.orthogonal(n, orthogonal_map='householder', use_trivialization=False); state(n)",
    "n = T.nn.Linear(5, 3); u.parametrizations.orthogonal(n, orthogonal_map='cayley', use_trivialization=False); "
    "n.weight.detach()",
    "u.parametrizations.orthogonal(m, use_trivialization=False); setattr(m, \'weight\', T.eye(3))",
    "u.parametrizations.orthogonal(m); m.weight = T.eye(3); m.weight.detach()",
    "u.parametrizations.orthogonal(m); setattr(m, \'weight\', T.ones(2, 3))",
    "u.parametrizations.orthogonal(m, 'bias')",
    "u.parametrizations.orthogonal(m, orthogonal_map='other')",
    "u.parametrizations.orthogonal(m, 'none')",
    "n = T.nn.Linear(2, 2, dtype=T.complex128); u.parametrizations.orthogonal(n, orthogonal_map='householder')",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("code", PROGRAMS)
def test_programs(code: str) -> None:
    def program(T: Any) -> Any:
        names = world(T)
        *statements, last = code.split("; ")
        for statement in statements:
            exec(statement, names)
        result = eval(last, names)
        return "module" if isinstance(result, T.nn.Module) else result

    same(program, torch, rtol=2e-4, words=3, may_raise=True)


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5), (2, 4, 3)])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("base", [False, True])
def test_orthogonal_matrices_are_orthogonal_and_stay_so(shape: tuple[int, ...], kind: str, base: bool) -> None:
    m = gradcore.nn.Module()
    m.w = gradcore.nn.Parameter(gradcore.randn(*shape, dtype=gradcore.float64))
    gradcore.nn.utils.parametrizations.orthogonal(m, "w", kind, use_trivialization=base)
    target = gradcore.randn(*shape, dtype=gradcore.float64)
    optimizer = gradcore.optim.SGD(m.parameters(), 0.05)
    losses = []
    for _ in range(5):
        loss = (m.w - target).pow(2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        w = m.w if shape[-2] >= shape[-1] else m.w.mT
        one = gradcore.eye(w.shape[-1], dtype=w.dtype)
        assert (w.mT @ w - one).abs().max() < 1e-10
    assert losses[-1] < losses[0]


def test_unitary_matrices() -> None:
    m = gradcore.nn.Linear(3, 4, dtype=gradcore.complex128)
    gradcore.nn.utils.parametrizations.orthogonal(m)
    gram = m.weight.mH @ m.weight
    assert (gram - gradcore.eye(3, dtype=gram.dtype)).abs().max() < 1e-10


def test_reflections_give_back_an_orthogonal_matrix() -> None:
    q, _ = gradcore.linalg.qr(gradcore.randn(5, 3, dtype=gradcore.float64))
    m = gradcore.nn.Module()
    m.w = gradcore.nn.Parameter(q.clone())
    gradcore.nn.utils.parametrizations.orthogonal(m, "w", "householder", use_trivialization=False)
    assert (m.w - q).abs().max() < 1e-12


def test_the_cache_computes_once_and_forgets() -> None:
    def program(T: Any) -> Any:
        calls = []

        class Counted(T.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, x: Any) -> Any:
                calls.append(1)
                return x * 2

        m = T.nn.Linear(2, 2)
        T.nn.utils.parametrize.register_parametrization(m, "weight", Counted())
        seen = [len(calls)]
        with T.nn.utils.parametrize.cached():
            first = m.weight
            with T.nn.utils.parametrize.cached():
                seen += [m.weight is first, len(calls)]
            seen += [m.weight is first, len(calls)]
        return [*seen, m.weight is first, len(calls)]

    same(program, torch)


def test_the_spectral_norm_is_one() -> None:
    w = gradcore.nn.Linear(6, 4, dtype=gradcore.float64)
    gradcore.nn.utils.parametrizations.spectral_norm(w, n_power_iterations=200)
    assert abs(gradcore.linalg.matrix_norm(w.weight, 2).item() - 1) < 1e-6
    w = gradcore.nn.utils.parametrizations.weight_norm(gradcore.nn.Linear(6, 4))
    w.parametrizations.weight.original0.data.fill_(3.0)
    assert (w.weight.norm(dim=1) - 3).abs().max() < 1e-5
    assert w.weight.grad_fn.name() == "WeightNormInterfaceBackward0"
