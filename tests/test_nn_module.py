"""Module, Parameter and containers beside torch's: what they own, say, save, load, convert and call. No layer's formula."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest

import gradcore
from gradcore import nn
from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def net(T: Any) -> Any:
    """A tree with parameters, buffers, a shared part and a part that is None."""

    class Part(T.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.w = T.nn.Parameter(T.arange(3.0))
            self.register_buffer("seen", T.zeros(2))
            self.register_buffer("scratch", T.ones(1), persistent=False)
            self.register_parameter("absent", None)

        def forward(self, x: Any, scale: float = 1.0) -> Any:
            self.seen += 1
            return x * self.w * scale

    class Whole(T.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = Part()
            self.rest = T.nn.ModuleList([Part(), self.first])
            self.w = T.nn.Parameter(T.ones(1))
            self.none = None
            self.plain = 3

        def forward(self, x: Any) -> Any:
            for part in self.rest:
                x = part(x)
            return x * self.w

    return Whole()


# Expressions over a tree `m`, with statements before the last `; `.
PROGRAMS = [
    "[n for n, _ in m.named_parameters()]",
    "[n for n, _ in m.named_parameters(prefix='x', recurse=False)]",
    "[n for n, _ in m.named_parameters(remove_duplicate=False)]",
    "[n for n, _ in m.named_buffers()]",
    "[n for n, _ in m.named_modules()]",
    "[n for n, _ in m.named_modules(prefix='p', remove_duplicate=False)]",
    "[n for n, _ in m.named_children()]",
    "[len(list(x)) for x in (m.parameters(), m.buffers(), m.children(), m.modules())]",
    "list(m.state_dict())",
    "list(m.state_dict(prefix='a.').items())",
    "m.state_dict()._metadata",
    "[x.requires_grad for x in m.state_dict(keep_vars=True).values()]",
    "repr(m)",
    "sorted(set(dir(m)) & {'w', 'first', 'rest', 'plain', 'none', 'training'})",
    "m.first.w = None; [list(m.first._parameters), list(m.state_dict())]",
    "del m.first.w; [hasattr(m.first, 'w'), list(m.state_dict())]",
    "del m.first.seen; list(m.state_dict())",
    "del m.rest; repr(m)",
    "m.first = None; [repr(m), list(m.state_dict())]",
    "m.plain = T.nn.Parameter(T.ones(2)); [n for n, _ in m.named_parameters()]",
    "m.plain = T.nn.Linear(1, 1); repr(m)",
    "m.first.seen = T.ones(3); m.state_dict()['first.seen']",
    "m.none = T.ones(2); [list(m.state_dict()), m.none]",
    "m.b = T.nn.Buffer(T.ones(2)); list(m.state_dict())",
    "m.b = T.nn.Buffer(T.ones(2), persistent=False); [list(m.state_dict()), [n for n, _ in m.named_buffers()]]",
    "m.first.w = 3",
    "m.first.w = T.ones(3)",
    "m.first.seen = 3",
    "m.first = 3",
    "m.nothing",
    "del m.nothing",
    "m.register_buffer('w', T.ones(1))",
    "m.register_buffer('a.b', None)",
    "m.register_buffer('', None)",
    "m.register_buffer(3, None)",
    "m.register_buffer('b', 3)",
    "m.register_parameter('q', T.ones(1))",
    "m.register_parameter('q', (T.nn.Parameter(T.ones(1)) * 2))",
    "m.register_parameter('first', None)",
    "m.add_module('w', None)",
    "m.add_module('q', 3)",
    "m.add_module('a.b', None)",
    "m.add_module('q', m.first); repr(m)",
    "[m.get_submodule('rest.0') is m.rest[0], m.get_parameter('rest.1.w'), m.get_buffer('first.seen')]",
    "m.get_submodule('rest.7')",
    "m.get_submodule('w')",
    "m.get_parameter('first')",
    "m.get_buffer('w')",
    "m.set_submodule('rest.0', T.nn.ReLU()); repr(m)",
    "m.set_submodule('rest.9', T.nn.ReLU(), strict=True)",
    "m.set_submodule('', T.nn.ReLU())",
    "m.eval(); [m.training, m.first.training, m.train().rest[0].training]",
    "m.train('yes')",
    "seen = []; m.apply(lambda x: seen.append(type(x).__name__)) is m; seen",
    "m.requires_grad_(False); [p.requires_grad for p in m.parameters()]",
    "m(T.ones(3)).sum().backward(); g = [p.grad for p in m.parameters()]; m.zero_grad(); [g, m.w.grad]",
    "m(T.ones(3)).sum().backward(); m.zero_grad(set_to_none=False); [p.grad for p in m.parameters()]",
    "w = m.w; m.double(); [w is m.w, m.w, m.first.seen.dtype, m(T.ones(3)).dtype]",
    "m(T.ones(3)).sum().backward(); m.double(); [m.w.grad.dtype, m.w.is_leaf, m.w.requires_grad]",
    "m.half().float().to(T.float64).to('cpu', T.float32).w",
    "m.to(dtype=T.float64, device='cpu').w",
    "m.to(T.ones(1, dtype=T.float16)).first.seen.dtype",
    "m.register_buffer('n', T.ones(1, dtype=T.int64)); m.double().n.dtype",
    "m.to(T.int64)",
    "m.to(1, 2, 3)",
    "m.to('cpu', 'x')",
    "m.type(T.float64).w.dtype",
    "m.cpu().w",
    "m.to_empty(device='cpu').w.shape",
    "m.first(T.ones(3), scale=2.0)",
    "m.forward(T.ones(3))",
    "T.nn.Module()(3)",
    "T.nn.Module(3)",
    "T.nn.Module(a=3)",
    "T.nn.Parameter(T.ones(2))",
    "repr(T.nn.Parameter(T.ones(2), requires_grad=False))",
    "repr(T.nn.Parameter())",
    "T.nn.Parameter(T.ones(2, dtype=T.int64))",
    "x = T.ones(2); p = T.nn.Parameter(x); x.add_(1); [p, isinstance(p, T.Tensor), (p * 2), type(p * 2).__name__]",
    # Saving and loading.
    "repr(m.load_state_dict(m.state_dict()))",
    "s = m.state_dict(); s['w'] = T.zeros(1); m.load_state_dict(s); m.w",
    "m.load_state_dict({'w': T.zeros(1), 'x': 1}, strict=False)",
    "repr(m.load_state_dict({'w': T.zeros(1), 'x': 1}, strict=False))",
    "m.load_state_dict({'w': T.zeros(1), 'x': 1, 'first.y': 2})",
    "m.load_state_dict({'w': T.zeros(2)}, strict=False)",
    "m.load_state_dict({'w': 3}, strict=False)",
    "m.load_state_dict([])",
    "s = m.state_dict(); s['w'] = T.zeros(1, dtype=T.float64); m.load_state_dict(s); m.w",
    "s = m.state_dict(); s['w'] = T.zeros(1, dtype=T.float64); m.load_state_dict(s, assign=True); [m.w, m.w.requires_grad]",
    "m.register_state_dict_post_hook(lambda m, s, p, d: s.update(more=1)); m.state_dict()['more']",
    "m.register_state_dict_post_hook(lambda m, s, p, d: s); m.state_dict()",
    "m.register_load_state_dict_pre_hook(lambda m, s, *a: s.pop('x', 0)); m.load_state_dict({**m.state_dict(), 'x': 1})",
    "m._register_load_state_dict_pre_hook(lambda s, p, *a: s.pop(p + 'x')); "
    "m.load_state_dict({**m.state_dict(), 'x': 1})",
    "m._register_load_state_dict_pre_hook(lambda m, s, *a: s.pop('x'), with_module=True); "
    "m.load_state_dict({**m.state_dict(), 'x': 1})",
    "m.register_load_state_dict_post_hook(lambda m, k: k.missing_keys.clear()); m.load_state_dict({})",
    # Containers.
    "s = T.nn.Sequential(T.nn.ReLU(), T.nn.Tanh(), T.nn.ReLU()); [repr(s[1:]), len(s), repr(s[-1]), repr(s)]",
    "s = T.nn.Sequential(O(a=T.nn.ReLU(), b=T.nn.Tanh())); [repr(s), repr(s[0:1]), repr(s.b)]",
    "s = T.nn.Sequential(T.nn.ReLU()).append(T.nn.Tanh()); s.insert(1, T.nn.GELU()); s[0] = T.nn.ELU(); del s[1]; repr(s)",
    "s = T.nn.Sequential(T.nn.ReLU()) + T.nn.Sequential(T.nn.Tanh()); s += T.nn.Sequential(T.nn.ELU()); repr(s)",
    "T.nn.Sequential(T.nn.ReLU()).pop(0)(T.ones(2))",
    "T.nn.Sequential(T.nn.ReLU())[3]",
    "T.nn.Sequential(3)",
    "T.nn.Sequential()(5)",
    "l = T.nn.ModuleList([T.nn.ReLU(), T.nn.ReLU()]); l.append(T.nn.Tanh()); l.insert(0, T.nn.ELU()); repr(l)",
    "l = T.nn.ModuleList([T.nn.ReLU()]); l.extend([T.nn.Tanh()]); del l[0]; [repr(l), [n for n, _ in l.named_modules()]]",
    "l = T.nn.ModuleList([T.nn.ReLU(), T.nn.Tanh(), T.nn.ELU()]); [repr(l[::2]), repr(l.pop(1)), repr(l + l), len(l)]",
    "T.nn.ModuleList([3])",
    "T.nn.ModuleList()(3)",
    "d = T.nn.ModuleDict({'a': T.nn.ReLU()}); d['b'] = T.nn.Tanh(); d.update([('c', T.nn.ELU())]); [repr(d), 'a' in d]",
    "d = T.nn.ModuleDict({'a': T.nn.ReLU()}); [repr(d.pop('a')), len(d), list(d.keys()), list(d.items()), list(d.values())]",
    "T.nn.ModuleDict()['a']",
    "l = T.nn.ParameterList([T.ones(2), T.nn.Parameter(T.zeros(2, 3)), 4]); [repr(l), len(l), list(l.state_dict()), l[-1]]",
    "l = T.nn.ParameterList([T.ones(2)]); l.append(T.ones(1)); l[0] = T.zeros(3); l += [T.ones(4)]; [list(l), repr(l[1:])]",
    "T.nn.ParameterList([T.ones(2)])[3]",
    "d = T.nn.ParameterDict({'a': T.ones(2), 'b': 4}); d['c'] = T.zeros(1); [repr(d), list(d), len(d), 'a' in d]",
    "d = T.nn.ParameterDict({'a': T.ones(2)}); [d.pop('a'), d.get('a', 3), list(d.state_dict())]",
    "d = T.nn.ParameterDict({'a': T.ones(2)}); d.update({'b': T.ones(1)}); del d['a']; [list(d.keys()), list(d.values())]",
    "T.nn.ParameterDict()['a']",
    # All parameters at once.
    "v = T.nn.utils.parameters_to_vector(m.parameters()); T.nn.utils.vector_to_parameters(v * 2, m.parameters()); [v, m.w]",
    "T.nn.utils.parameters_to_vector(m.parameters()).sum().backward(); m.w.grad",
    "T.nn.utils.vector_to_parameters(3, m.parameters())",
    "(m(T.ones(3)) * 9).sum().backward(); n = T.nn.utils.clip_grad_norm_(m.parameters(), 1.0); [n, m.w.grad, m.first.w]",
    "m(T.ones(3)).sum().backward(); [T.nn.utils.clip_grad_norm_(m.w, 0.5, norm_type=float('inf')), m.w.grad]",
    "m.w.grad = T.tensor([float('inf')]); T.nn.utils.clip_grad_norm_(m.w, 1.0, error_if_nonfinite=True)",
    "(m(T.ones(3)) * 9).sum().backward(); T.nn.utils.clip_grad_value_(m.parameters(), 2); [p.grad for p in m.parameters()]",
    "T.nn.utils.clip_grad_norm_([], 1.0)",
]  # fmt: skip


@pytest.mark.parametrize("code", PROGRAMS)
def test_programs(code: str) -> None:
    def program(T: Any) -> Any:
        world = {"T": T, "m": net(T), "O": OrderedDict}
        *statements, last = code.split("; ")
        for statement in statements:
            exec(statement, world)
        if last.startswith(("del ", "m.first = ", "m.first.w = ", "m.first.seen = ")):
            return exec(last, world)
        result = eval(last, world)
        return str(result) if type(result).__name__ in ("_IncompatibleKeys", "Size") else plainly(T, result)

    same(program, torch, may_raise=True)


def plainly(T: Any, result: Any) -> Any:
    """dtypes, sizes, modules and dictionaries as what can be compared."""
    if isinstance(result, (list, tuple)) and not isinstance(result, T.Size):
        return [plainly(T, each) for each in result]
    if isinstance(result, dict):
        return [[key, plainly(T, value)] for key, value in result.items()]
    return result if isinstance(result, (T.Tensor, bool, int, float, str, type(None))) else str(result)


def test_modules_before_their_init() -> None:
    def program(T: Any) -> Any:
        def assign(value: Any, name: str = "a") -> Any:
            class Early(T.nn.Module):  # type: ignore[misc, name-defined]
                def __init__(self) -> None:
                    setattr(self, name, value)

            return attempt(lambda: Early().a)

        return [assign(T.nn.Parameter(T.ones(1))), assign(T.nn.Linear(1, 1)), assign(3)]

    same(program, torch)


def test_forward_hooks() -> None:
    def program(T: Any) -> Any:
        m = T.nn.Linear(2, 2)
        with T.no_grad():
            m.weight.copy_(T.eye(2))
            m.bias.zero_()
        seen: list[Any] = []
        x = T.tensor([1.0, 2.0])
        handles = [
            m.register_forward_pre_hook(lambda m, args: seen.append(("pre", args))),
            m.register_forward_pre_hook(lambda m, args, kw: ((args[0] * 2,), kw), with_kwargs=True),
            m.register_forward_pre_hook(lambda m, args: args[0] + 1, prepend=True),
            m.register_forward_hook(lambda m, args, out: seen.append(("post", args, out.detach()))),
            m.register_forward_hook(lambda m, args, kw, out: out * 10, with_kwargs=True, prepend=True),
            m.register_forward_hook(lambda m, args, out: seen.append("always"), always_call=True),
        ]
        out = m(x).detach()
        failed = attempt(lambda: m(T.ones(3)))
        for handle in handles:
            handle.remove()
        bad = m.register_forward_pre_hook(lambda m, args, kw: args, with_kwargs=True)
        wrong = attempt(lambda: m(x))
        bad.remove()
        with m.register_forward_hook(lambda m, args, out: out * 0):
            zero = m(x).detach()
        return [out, seen, failed[0], wrong, zero, m(x).detach()]

    same(program, torch)


def test_backward_hooks() -> None:
    def program(T: Any) -> Any:
        seen: list[Any] = []

        class Two(T.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, x: Any, n: int, y: Any) -> Any:
                return x * y, x + n

        m = Two()
        handles = [
            m.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go))),
            m.register_full_backward_hook(lambda m, gi, go: tuple(None if g is None else g * 2 for g in gi)),
            m.register_full_backward_pre_hook(lambda m, go: seen.append(go)),
            m.register_full_backward_pre_hook(lambda m, go: tuple(g * 3 for g in go), prepend=True),
        ]
        x, y = (T.tensor([1.0, 2.0 + i], requires_grad=True) for i in range(2))
        a, b = m(x, 3, y)
        (a + b * 2).sum().backward()
        first = [x.grad, y.grad]
        seen.append("constant inputs")
        m.register_full_backward_hook(lambda m, gi, go: None)
        handles[1].remove()
        w = T.nn.Linear(2, 1, bias=False)
        w.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
        with pytest.warns(UserWarning, match="Full backward hook is firing when gradients are computed"):
            (out := w(T.ones(2))).sum().backward()
        with T.no_grad():
            quiet = m(x, 1, y)[0]
        return [first, seen, w.weight.grad, quiet, [type(node).__name__ for node, _ in out.grad_fn.next_functions]]

    same(program, torch)


def test_extra_state() -> None:
    def program(T: Any) -> Any:
        class Counting(T.nn.Module):  # type: ignore[misc, name-defined]
            count = 3

            def get_extra_state(self) -> Any:
                return {"count": self.count}

            def set_extra_state(self, state: Any) -> None:
                self.count = state["count"] + 1

        m = T.nn.Sequential(Counting(), T.nn.ReLU())
        saved = m.state_dict()
        m.load_state_dict(saved)
        return [dict(saved), m[0].count, attempt(lambda: m.load_state_dict({})), attempt(lambda: m.load_state_dict({
            **saved, "1._extra_state": 3}))]  # fmt: skip

    same(program, torch)


def test_old_batch_norms_have_counted_no_batches() -> None:
    def program(T: Any) -> Any:
        m = T.nn.BatchNorm1d(2)
        old = {name: value for name, value in m.state_dict().items() if name != "num_batches_tracked"}
        m(T.ones(2, 2))
        m.load_state_dict(old)
        return [m.num_batches_tracked, m.running_mean]

    same(program, torch)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_apart_and_share_what_was_shared(how: Any) -> None:
    m = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU())
    m.append(m[0])
    m[0].weight.grad = gradcore.ones(3, 2)
    twin = how(m)
    assert repr(twin) == repr(m)
    assert twin[3] is twin[0]
    assert isinstance(twin[0].weight, nn.Parameter)
    assert twin[0].weight.requires_grad
    for (name, x), (same_name, y) in zip(m.state_dict().items(), twin.state_dict().items(), strict=True):
        assert name == same_name
        assert x.tolist() == y.tolist()
        assert x.data_ptr() != y.data_ptr()


def test_a_subclass_with_no_init_of_its_own_and_annotations() -> None:
    class Scaled(nn.ReLU):
        scale: float = 2.0

        def forward(self, input: Any) -> Any:
            return super().forward(input) * self.scale

    assert Scaled()(gradcore.tensor([-1.0, 3.0])).tolist() == [0.0, 6.0]
    assert repr(Scaled(inplace=True)) == "Scaled(inplace=True)"


def test_parameters_are_ordinary_tensors_to_operations() -> None:
    p = nn.Parameter(gradcore.tensor([1.0, 2.0]))
    assert type(p + 1) is gradcore.Tensor
    assert type(p.detach()) is gradcore.Tensor
    assert (p * p).grad_fn.name() == "MulBackward0"
    p.data = gradcore.zeros(3)
    assert p.shape == (3,)
