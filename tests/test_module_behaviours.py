"""What torch's modules, optimizers and tensors do beyond their numbers: programs that once went another way, run on both.

It must not know how they are done.
"""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")

# Each leaves what is compared in `r`; what is raised in `attempt` is compared by type.
PROGRAMS = [
    # containers
    "n, m = nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh(), nn.ELU()); r = repr([n * 2, 3 * m, n + m, (m * 2)[2]])",
    "m = nn.Sequential(nn.Tanh(), nn.Linear(1, 1)); n = m * 2; r = n[0] is n[2], list(n.state_dict()), len(m)",
    "m = n = nn.Sequential(nn.Tanh()); m *= 3; m += nn.Sequential(nn.ReLU()); r = m is n, repr(m)",
    *(
        f"m = nn.Sequential(nn.Tanh()); r = attempt(lambda: {f})"
        for f in (
            "m * 0", "m * -1", "2.0 * m", "m.__imul__(0)", "m.__imul__(2.0)", "m + 1", "m.__iadd__(3)",
            "m + nn.ModuleList()", "m.__iadd__([nn.ReLU()])",
        )
    ),
    "m = nn.ModuleList([nn.ReLU()]); r = m.insert(0, nn.ELU()), m.insert(5, nn.Tanh()), repr(m)",
    "p = nn.ParameterDict({'a': T.zeros(2), 'b': 3}); r = p.setdefault('k', T.ones(1)), p.setdefault('a', 5),"
    " p.setdefault('z'), list(p.state_dict())",
    "p = nn.ParameterDict({'a': T.zeros(2), 'b': T.ones(1)}); r = p.popitem(), list(p), p.popitem(),"
    " attempt(p.popitem)",
    "p = nn.ParameterDict({'a': T.zeros(2), 'b': T.ones(1)}); r = list(reversed(p)), repr(p.fromkeys(['x', 'y'], 3.5))",
    "p = nn.ParameterDict({'a': T.zeros(2)}); q = nn.ParameterDict({'b': T.ones(1), 'a': T.ones(3)});"
    " r = repr([p | q, q | p]); p |= q; r = r, repr(p)",
    "p = nn.ParameterDict({'b': T.ones(1)}); r = list(({'z': 1} | p).items()), list(p)",
    "r = [k for k, _ in nn.ParameterDict({'b': T.ones(1), 'a': T.zeros(2)}).named_parameters()]",
    "r = list(nn.ParameterDict([('b', 1), ('a', 2)])), list(nn.ModuleDict({'b': nn.ELU(), 'a': nn.ELU()}))",
    "p = nn.ParameterDict([('b', 1), ('a', 2)]); r = list(p.copy()), list(nn.ParameterDict(p)), list(p | p)",
    # hooks of modules
    """
class Net(nn.Module):
    def forward(self, x, k, y):
        log.append(y.requires_grad)
        return x * y, k, x + y, x * 2
log, x, m = [], T.ones(1, requires_grad=True), Net()
m.register_full_backward_pre_hook(lambda module, go: log.append(go))
m.register_full_backward_hook(lambda module, gi, go: log.append((gi, go)))
y = m(x, 3, T.ones(1))
y[0].sum().backward()
r = log, y, x.grad
""",
    """
m, log, x = nn.Linear(2, 2), [], T.ones(1, 2)
m.register_full_backward_hook(lambda module, gi, go: log.append((gi, go)) or (None,))
m(x).sum().backward()
r = log, m.weight.grad
""",
    """
class Net(nn.Module):
    def forward(self, x):
        return {"a": x * 2, "b": (x * 3,)}
log, x, m = [], T.ones(1, requires_grad=True), Net()
m.register_full_backward_hook(lambda module, gi, go: log.append((gi, go)))
y = m(x)
(y["a"] + y["b"][0]).sum().backward()
r = log, x.grad
""",
    """
class Net(nn.Module):
    def forward(self, x):
        self.kept = x * 3
        return x * 2
log, x, m = [], T.ones(1, requires_grad=True), Net()
m.register_full_backward_hook(lambda module, gi, go: log.append((gi, go)))
m(x)
m.kept.sum().backward()
r = log, x.grad
""",
    # state_dict and load_state_dict
    "m = nn.Sequential(nn.Linear(1, 1)); d = {'q': 1}; r = m.state_dict(d, 'x.', True) is d, d",
    "m = nn.Linear(1, 1); d = []; m.register_load_state_dict_pre_hook(lambda module, state, *_: d.append(type(state)));"
    " m.load_state_dict(dict(m.state_dict())); r = d",
    # layers
    "r = [getattr(nn.modules, n) is getattr(nn, n) for n in ('Linear', 'BatchNorm2d', 'Sequential', 'Module', 'MSELoss')],"
    " attempt(lambda: nn.modules.Nothing), attempt(lambda: nn.modules._Nothing)",
    *(
        f"""
m = {layer}
x = (T.arange(24.0).view(2, 3, 4) % 5).to(T.{dtype}).requires_grad_()
y = m.train({train})(x)
y.backward(T.ones_like(y) * T.tensor([1.0, 2, 0, 1]).to(y.dtype))
r = y, x.grad, [str(p.grad.dtype) for p in m.parameters()], list(m.buffers())
"""
        for dtype in ("half", "bfloat16")
        for layer, train in (
            ("nn.BatchNorm1d(3)", True), ("nn.BatchNorm1d(3)", False), ("nn.BatchNorm1d(3, affine=False)", False),
            ("nn.LayerNorm(4)", True), ("nn.GroupNorm(3, 3)", True), ("nn.InstanceNorm1d(3, affine=True)", True),
        )
    ),
    *(
        f"m, x, h = nn.{cell}(2, 3), T.ones{x}, T.ones{h}; r = attempt(lambda: m(x, h).detach())"
        for cell in ("RNNCell", "GRUCell")
        for x, h in (
            ("(1, 2)", "(2, 3)"), ("(3, 2)", "(1, 3)"), ("(1, 2)", "(3,)"), ("(2,)", "(1, 3)"), ("(2,)", "(3,)"),
            ("(2, 2)", "(2, 4)"), ("(2, 2)", "(1, 2, 3)"),
        )
    ),
    "r = attempt(lambda: nn.LSTMCell(2, 3)(T.ones(1, 2), T.ones(1, 3)))",
    "r = nn.utils.rnn.pad_sequence([T.ones(2), T.ones(3, dtype=T.float64)]),"
    " nn.utils.rnn.pad_sequence([T.ones(2, dtype=T.long), T.ones(3) * 1.5])",
    "m = pickle.loads(pickle.dumps(nn.LazyLinear(3))); r = repr(m), repr(m.weight), m(T.ones(2, 4)).shape,"
    " repr(pickle.loads(pickle.dumps(m)))",
    *(
        f"x = T.tensor([-3.0, 1, 2, -5, 4, 7, 0, 2]).view(1, 1, *{shape}).requires_grad_();"
        f" y = F.lp_pool{len(shape)}d(x, {p}, 2, 2, {ceil}); y.sum().backward(); r = y.detach(), x.grad"
        for shape in ((8,), (4, 2), (2, 2, 2))
        for p in ("math.inf", "-math.inf")
        for ceil in (False, True)
    ),
    *(
        f"r = attempt(lambda: F.embedding_bag(T.tensor({bags}), T.ones(4, 2), {rest}))"
        for bags, rest in (
            ("[[7]]", "mode='sum'"), ("[[-1]]", "mode='mean'"), ("[4]", "T.tensor([0]), mode='max'"),
            ("[4]", "T.tensor([0]), padding_idx=1"), ("[[4]]", "max_norm=1.0"),
        )
    ),
    "x = T.arange(60.0).view(1, 3, 4, 5); r = attempt(lambda: F.fractional_max_pool2d(x, 2, output_size=(0, 2))),"
    " attempt(lambda: F.fractional_max_pool3d(x, 2, output_size=(1, 0, 2)))",
    "x, samples = T.arange(60.0).view(1, 3, 4, 5), T.rand(1, 3, 2, dtype=T.float64); r = [attempt(lambda:"
    " F.fractional_max_pool2d(y, 2, output_size=2, _random_samples=samples)) for y in (x, x.double())]",
    # optimizers
    """
log, p = [], nn.Linear(1, 1)
o = T.optim.SGD(p.parameters(), lr=0.1)
module = __import__("importlib").import_module(T.__name__ + ".optim.optimizer")
handles = [
    module.register_optimizer_step_pre_hook(lambda o, args, kwargs: log.append((1, len(args), kwargs))),
    module.register_optimizer_step_post_hook(lambda o, args, kwargs: log.append((4, len(args), kwargs))),
    o.register_step_pre_hook(lambda *args: log.append(2)),
    o.register_step_post_hook(lambda *args: log.append(3)),
]
o.step()
for handle in handles:
    handle.remove()
o.step()
r = log
""",
    # random numbers
    *(
        f"r = attempt(lambda: T.zeros(6, dtype=T.{dtype}).random_({how}))"
        for dtype in ("long", "int8", "uint8", "bool", "float32", "half", "bfloat16")
        for how in ("0, None", "1, None", "250, None", "2**24 + 9, None", "5", "-3, 4", "to=3", "**{'from': 1, 'to': None}")
    ),
    *(f"r = attempt(lambda: T.zeros(3).random_({how}))" for how in ("None", "1.5", "1, 2, 3", "foo=1", "'a'", "2, to=4")),
    "r = T.zeros(5, dtype=T.long).random_(-(2**63), None), T.zeros(5, dtype=T.long).random_(-(2**63) + 1, None), T.rand(2)",
    *(
        f"r = attempt(lambda: T.zeros(3, dtype=T.{dtype}).uniform_({ends})), T.rand(1)"
        for dtype in ("half", "float32", "float64", "complex64", "long")
        for ends in ("0, 1e39", "-1e39, 0", "-math.inf, 0", "0, math.nan", "-3e38, 3e38", "0, 70000.0", "3, 1", "1, 1")
    ),
    *(f"r = attempt(lambda: T.zeros(3, dtype=T.{d}).geometric_(0.5))" for d in ("bool", "complex64", "uint8", "half")),
    *(
        f"r = attempt(lambda: T.zeros({shape}).bernoulli_(T.full({of}, 0.4))), T.rand(1)"
        for shape, of in (("4", "(2,)"), ("4", "(1,)"), ("2, 3", "(3,)"), ("3", "(2, 3)"), ("2, 3", "(2, 1)"), ("1", "(3,)"))
    ),
    "r = T.multinomial(T.rand(3, 4).t(), 3), T.multinomial(T.rand(3, 4).t(), 1), T.multinomial(T.rand(3, 4).half().t(), 3)",
    "r = T.multinomial(T.rand(8)[::2], 2), T.multinomial(T.rand(4, 4)[::2], 2), T.multinomial(T.ones(1, 1).expand(2, 3), 2)",
    *(
        f"r = attempt(lambda: T.randperm({n}, dtype=T.{dtype}).shape), T.rand(1)"
        for n, dtype in ((2049, "half"), (2050, "half"), (257, "bfloat16"), (256, "uint8"), (257, "uint8"), (0, "half"))
    ),
    # numbers that do not fit
    *(
        f"r = attempt(lambda: T.full((1,), {number}, dtype={dtype}))"
        for number in ("1e40", "1e200", "1e200 + 0j", "float('inf')", "2**40", "-1e40", "1e5")
        for dtype in ("None", "T.half", "T.bfloat16", "T.float32", "T.double", "T.complex64", "T.bool", "T.long")
    ),
    "r = attempt(lambda: T.full_like(T.zeros(1), 1e40)), attempt(lambda: T.zeros(1).new_full((1,), 1e40))",
    # memory and files
    *(
        f"r = attempt(lambda: T.frombuffer(bytearray({n}), dtype=T.int16, offset={offset}))"
        for n, offset in ((0, 0), (4, 4), (4, 2), (4, 6))
    ),
    "x = T.zeros(2); r = attempt(lambda: x.map_(T.ones(2, requires_grad=True), lambda a, b: b)), x",
    "r = attempt(lambda: T.save(T.ones(1), 5)), attempt(lambda: T.save(T.ones(1), None))",
]  # fmt: skip


def ran(program: str, T: Any) -> Any:
    T.manual_seed(0)
    names: dict[str, Any] = {
        "T": T, "nn": T.nn, "F": T.nn.functional, "attempt": attempt, "copy": copy, "math": math, "pickle": pickle,
    }  # fmt: skip
    exec(program, names)
    return [names["r"]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_does_as_in_torch(program: str) -> None:
    same(lambda T: ran(program, T), torch, words=0)


def test_numbers_that_do_not_fit_are_found_out_quietly() -> None:
    """NumPy's warning of the conversion is none of the user's."""
    assert gradcore.full((1,), 1e5, dtype=gradcore.half).isinf().all()
    with pytest.raises(RuntimeError, match="float32 without overflow"):
        gradcore.full((1,), 1e40)
