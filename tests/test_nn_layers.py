"""Layers beside torch's: the same first weights from a seed, reprs, states, signatures, outputs and gradients."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import gradcore
from gradcore import nn
from tests.twin import same

torch = pytest.importorskip("torch")

PLAIN = """ReLU ReLU6 Hardtanh Sigmoid Hardsigmoid Tanh SiLU Mish Hardswish ELU CELU SELU GELU Hardshrink LeakyReLU
    LogSigmoid Softplus Softshrink Softsign Tanhshrink GLU""".split()
# What makes a module, and the shapes of its inputs ("i9": integers below 9, "p": positive numbers).
LAYERS: list[tuple[str, list[Any]]] = [
    ("Identity(3, a=4)", [(2, 3)]),
    ("Linear(3, 4)", [(5, 3)]),
    ("Linear(3, 4, bias=False)", [(2, 2, 3)]),
    ("Linear(3, 4, dtype=T.float64)", [("d", 3)]),
    ("Conv1d(2, 4, 3)", [(2, 2, 8)]),
    ("Conv2d(2, 4, 3, stride=2, padding=1)", [(2, 2, 7, 6)]),
    ("Conv2d(4, 6, (2, 3), dilation=2, groups=2, bias=False)", [(1, 4, 7, 8)]),
    ("Conv2d(2, 3, 3, padding='same')", [(2, 2, 5, 5)]),
    ("Conv2d(2, 3, 3, padding='valid')", [(2, 5, 5)]),
    ("Conv2d(2, 3, 3, padding=(1, 2), padding_mode='reflect')", [(2, 2, 5, 5)]),
    ("Conv1d(2, 3, 4, padding='same', padding_mode='circular')", [(2, 2, 7)]),
    ("Conv3d(2, 3, 2, padding=1, padding_mode='replicate')", [(1, 2, 3, 4, 5)]),
    ("Embedding(9, 4)", [("i9", 3, 2)]),
    ("Embedding(9, 4, padding_idx=-1, max_norm=1.0, scale_grad_by_freq=True)", [("i9", 20)]),
    ("Embedding.from_pretrained(T.ones(9, 2), freeze=False, padding_idx=1)", [("i9", 5)]),
    ("LayerNorm(4)", [(3, 4)]),
    ("LayerNorm((3, 4), eps=1e-3, bias=False)", [(2, 3, 4)]),
    ("LayerNorm([4], elementwise_affine=False)", [(2, 3, 4)]),
    ("BatchNorm1d(3)", [(5, 3)]),
    ("BatchNorm1d(3, momentum=None)", [(5, 3, 2)]),
    ("BatchNorm2d(3, affine=False, eps=1e-2)", [(2, 3, 4, 5)]),
    ("BatchNorm2d(3, bias=False)", [(2, 3, 4, 5)]),
    ("BatchNorm3d(2, track_running_stats=False)", [(2, 2, 2, 3, 2)]),
    ("BatchNorm2d(3).eval()", [(2, 3, 4, 5)]),
    ("Flatten()", [(2, 3, 4)]),
    ("Flatten(0, 1)", [(2, 3, 4)]),
    ("Unflatten(1, (2, 3))", [(2, 6)]),
    ("PReLU()", [(2, 3)]),
    ("PReLU(3, init=0.1)", [(2, 3, 2)]),
    ("MaxPool1d(2)", [(1, 2, 7)]),
    ("MaxPool2d(3, stride=2, padding=1, ceil_mode=True)", [(1, 2, 7, 6)]),
    ("MaxPool3d(2, return_indices=True)", [(1, 2, 4, 4, 4)]),
    ("AvgPool1d(3, padding=1)", [(1, 2, 7)]),
    ("AvgPool2d((2, 3), count_include_pad=False)", [(1, 2, 6, 6)]),
    ("AvgPool3d(2, divisor_override=3)", [(1, 2, 4, 4, 4)]),
    ("LPPool1d(2, 3)", [("p", 1, 2, 7)]),
    ("LPPool2d(2, 3, stride=1, ceil_mode=True)", [("p", 1, 2, 6, 6)]),
    ("ZeroPad2d(1)", [(1, 2, 3)]),
    ("ZeroPad1d((1, 2))", [(1, 2, 3)]),
    ("ConstantPad1d(1, 2.5)", [(1, 2, 3)]),
    ("ConstantPad3d((1, 1, 0, 2, 1, 0), -1)", [(1, 2, 3, 2)]),
    ("ReflectionPad2d((1, 2, 0, 1))", [(1, 3, 4)]),
    ("ReplicationPad1d(2)", [(1, 3, 4)]),
    ("CircularPad2d(1)", [(1, 1, 3, 4)]),
    ("CosineSimilarity(dim=0)", [(3, 4), (3, 4)]),
    ("PairwiseDistance(p=1.0, keepdim=True)", [(3, 4), (3, 4)]),
    ("Dropout(0.3)", [(5, 6)]),
    ("Dropout(0.3, inplace=True).eval()", [(5, 6)]),
    *((f"{name}()", [(3, 4)]) for name in PLAIN),
    ("Bilinear(3, 4, 2)", [(5, 3), (5, 4)]),
    ("Bilinear(3, 4, 2, bias=False)", [(2, 5, 3), (2, 5, 4)]),
    ("ConvTranspose1d(2, 4, 3)", [(2, 2, 5)]),
    ("ConvTranspose2d(2, 4, (3, 2), stride=2, padding=1, output_padding=1, groups=2, dilation=2)", [(1, 2, 4, 5)]),
    ("ConvTranspose3d(2, 1, 2, bias=False)", [(1, 2, 2, 3, 2)]),
    ("EmbeddingBag(9, 4)", [("i9", 3, 2)]),
    ("EmbeddingBag(9, 4, mode='sum', padding_idx=2)", [("i9", 3, 2)]),
    ("GroupNorm(2, 4)", [(2, 4, 3)]),
    ("GroupNorm(4, 4, bias=False, eps=0.1)", [(2, 4, 3, 2)]),
    ("GroupNorm(2, 4, affine=False)", [(2, 4)]),
    ("RMSNorm(4)", [(3, 4)]),
    ("RMSNorm((3, 4), eps=0.1, elementwise_affine=False)", [(2, 3, 4)]),
    ("LocalResponseNorm(2)", [(2, 4, 3)]),
    ("InstanceNorm1d(3)", [(2, 3, 4)]),
    ("InstanceNorm2d(3, affine=True, track_running_stats=True)", [(2, 3, 4, 5)]),
    ("InstanceNorm3d(2, affine=True)", [(2, 2, 3, 2)]),
    ("Dropout1d(0.4)", [(4, 5, 3)]),
    ("Dropout2d(0.4, inplace=True)", []),
    ("Dropout3d(0.4)", [(2, 5, 1, 2, 3)]),
    ("AlphaDropout(0.4)", [(4, 5)]),
    ("FeatureAlphaDropout(0.4)", [(4, 5, 2)]),
    ("AdaptiveAvgPool1d(3)", [(1, 2, 7)]),
    ("AdaptiveAvgPool2d((None, 3))", [(1, 2, 4, 7)]),
    ("AdaptiveAvgPool3d(2)", [(1, 2, 3, 4, 5)]),
    ("AdaptiveMaxPool1d(3)", [(1, 2, 7)]),
    ("AdaptiveMaxPool2d((2, 3), return_indices=True)", [(1, 2, 4, 7)]),
    ("AdaptiveMaxPool3d(2)", [(1, 2, 3, 4, 5)]),
    ("MaxUnpool2d(2)", []),
    ("MaxUnpool1d(2, stride=3, padding=1)", []),
    ("FractionalMaxPool2d(2, output_size=(3, 2))", [(2, 3, 7, 6)]),
    ("FractionalMaxPool2d((2, 3), output_ratio=(0.5, 0.4), return_indices=True)", [(1, 2, 7, 8)]),
    ("FractionalMaxPool3d(2, output_ratio=0.5, _random_samples=T.full((1, 2, 3), 0.3))", [(1, 2, 6, 7, 8)]),
    ("PixelShuffle(2)", [(1, 8, 2, 3)]),
    ("PixelUnshuffle(2)", [(1, 2, 4, 6)]),
    ("ChannelShuffle(2)", [(1, 4, 2, 2)]),
    ("Unfold(2, padding=1)", [(1, 2, 3, 4)]),
    ("Fold((3, 4), kernel_size=2)", [(1, 8, 6)]),
    ("Upsample(scale_factor=2)", [(1, 2, 3, 4)]),
    ("Upsample(size=(5, 6), mode='bilinear', align_corners=False)", [(1, 2, 3, 4)]),
    ("UpsamplingNearest2d(scale_factor=2)", [(1, 2, 3, 4)]),
    ("UpsamplingBilinear2d(size=6)", [(1, 2, 3, 4)]),
    ("Threshold(0.1, 20)", [(3, 4)]),
    ("Threshold(0.1, 20.0, inplace=True)", []),
    ("RReLU(0.1, 0.4).eval()", [(3, 4)]),
    ("Hardtanh(-0.5, 0.25)", [(3, 4)]),
    ("ReLU(inplace=True)", []),
    ("ReLU6(inplace=True)", []),
    ("Hardsigmoid(inplace=True)", []),
    ("LeakyReLU(0.2, inplace=True)", []),
    ("ELU(2.0)", [(3, 4)]),
    ("GELU(approximate='tanh')", [(3, 4)]),
    ("Softplus(2, threshold=1)", [(3, 4)]),
    ("Softshrink(0.1)", [(3, 4)]),
    ("GLU(0)", [(4, 3)]),
    ("Softmax(dim=1)", [(3, 4)]),
    ("LogSoftmax(dim=0)", [(3, 4)]),
    ("Softmin(dim=-1)", [(3, 4)]),
    ("Softmax2d()", [(2, 3, 2, 2)]),
]  # fmt: skip

LOSSES: list[tuple[str, list[Any]]] = [
    ("L1Loss()", [(3, 4), (3, 4)]),
    ("MSELoss(reduction='sum')", [(3, 4), (3, 4)]),
    ("MSELoss(size_average=False)", [(3, 4), (3, 4)]),
    ("MSELoss(reduce=False)", [(3, 4), (3, 4)]),
    ("SmoothL1Loss(beta=0.5)", [(3, 4), (3, 4)]),
    ("HuberLoss('none', 0.7)", [(3, 4), (3, 4)]),
    ("CrossEntropyLoss()", [(3, 4), ("i4", 3)]),
    ("CrossEntropyLoss(T.tensor([1.0, 2.0, 0.5, 1.5]), ignore_index=1, label_smoothing=0.1)", [(5, 4), ("i4", 5)]),
    ("NLLLoss(reduction='sum')", [(3, 4), ("i4", 3)]),
    ("BCELoss()", [("u", 3, 4), ("u", 3, 4)]),
    ("BCEWithLogitsLoss(pos_weight=T.tensor([1.0, 2.0]))", [(3, 2), ("u", 3, 2)]),
    ("KLDivLoss(reduction='batchmean')", [(3, 4), ("u", 3, 4)]),
    ("KLDivLoss(reduction='sum', log_target=True)", [(3, 4), (3, 4)]),
    ("PoissonNLLLoss(full=True)", [(3, 4), ("p", 3, 4)]),
    ("GaussianNLLLoss(full=True)", [(3, 4), (3, 4), ("p", 3, 4)]),
    ("HingeEmbeddingLoss(0.5)", [(3, 4), ("s", 3, 4)]),
    ("SoftMarginLoss()", [(3, 4), ("s", 3, 4)]),
    ("MultiLabelSoftMarginLoss()", [(3, 4), ("u", 3, 4)]),
    ("MultiLabelMarginLoss()", [(3, 4), ("i4", 3, 4)]),
    ("MultiMarginLoss(p=2, weight=T.tensor([1.0, 2.0, 0.5, 1.0]))", [(3, 4), ("i4", 3)]),
    ("CosineEmbeddingLoss(0.1)", [(3, 4), (3, 4), ("s", 3)]),
    ("MarginRankingLoss(0.2)", [(3,), (3,), ("s", 3)]),
    ("AdaptiveLogSoftmaxWithLoss(6, 11, [3, 7], div_value=2.0)", [(8, 6), ("i11", 8)]),
    ("AdaptiveLogSoftmaxWithLoss(6, 11, (2, 3, 9), head_bias=True)", [(6,), ("i11",)]),
    ("AdaptiveLogSoftmaxWithLoss(6, 11, (5,), dtype=T.float64)", [("d", 6), ("i4",)]),
    ("LinearCrossEntropyLoss(4, 5)", [(3, 4), ("i5", 3)]),
    ("LinearCrossEntropyLoss(4, 5, bias=True, reduction='sum', ignore_index=1)", [(6, 4), ("i3", 6)]),
    ("LinearCrossEntropyLoss(4, 3, out_features=(2, 2), bias=True, label_smoothing=0.1)", [(5, 4), ("i3", 5, 2, 2)]),
    ("LinearCrossEntropyLoss(4, 3, reduction='none', weight=T.tensor([1.0, 2.0, 0.5]))", [(4,), ("i3",)]),
    ("TripletMarginLoss(2.0, swap=True)", [(3, 4), (3, 4), (3, 4)]),
    ("TripletMarginWithDistanceLoss(margin=0.3)", [(3, 4), (3, 4), (3, 4)]),
]


def made(T: Any, code: str) -> Any:
    T.manual_seed(5)
    return eval(f"nn.{code}", {"nn": T.nn, "T": T})


def given(T: Any, spec: Any) -> Any:
    """An input: normal numbers, or what the letter says."""
    kind, *shape = spec if isinstance(spec[0], str) else ("n", *spec)
    if kind[0] == "i":
        return T.randint(int(kind[1:]), tuple(shape))
    x = T.rand(*shape) if kind in "pus" else T.randn(*shape, dtype=T.float64 if kind == "d" else T.float32)
    return {"p": x + 0.1, "s": (x > 0.5).float() * 2 - 1}.get(kind, x).requires_grad_(kind in "nd")


def shown(x: Any, code: str) -> Any:
    """All digits of all numbers; of normal ones, that are made of logarithms and sines, the numbers."""
    flat = x.detach().double().reshape(-1).tolist()
    normal = any(word in code for word in ("normal", "sparse", "Embedding"))
    return [str(x.dtype), list(x.shape), flat if normal else [each.hex() for each in flat]]


@pytest.mark.parametrize(("code", "inputs"), [*LAYERS, *LOSSES], ids=lambda x: x if isinstance(x, str) else "")
def test_first_weights_reprs_outputs_gradients_and_states(code: str, inputs: list[Any]) -> None:
    def program(T: Any) -> Any:
        module = made(T, code)
        first = [(name, shown(each, code)) for name, each in module.state_dict().items()]
        if not inputs:
            return [repr(module), first]
        x = [given(T, each) for each in inputs]
        out = module(*x)
        parts = out if isinstance(out, tuple) else (out,)
        w = T.randn(tuple(parts[0].shape), dtype=parts[0].dtype)
        leaves = [each for each in [*x, *module.parameters()] if each.requires_grad]
        grads = T.autograd.grad((parts[0] * w).sum(), leaves, allow_unused=True) if parts[0].requires_grad else []
        after = [(name, each) for name, each in module.state_dict().items()]
        return [repr(module), first, [p.detach() for p in parts], grads, after, module.training]

    same(program, torch, rtol=2e-5)


EVERY = [name for name, each in vars(nn).items() if inspect.isclass(each) and not issubclass(each, gradcore.Tensor)]


@pytest.mark.parametrize("name", EVERY)
def test_names_and_defaults_of_arguments(name: str) -> None:
    def settings(c: Any) -> list[tuple[str, str, str]]:
        parameters = list(inspect.signature(c.__init__).parameters.values())[1:]
        return [(p.name, str(p.kind), "" if callable(p.default) else repr(p.default)) for p in parameters]

    ours, theirs = getattr(nn, name), getattr(torch.nn, name)
    assert settings(ours) == settings(theirs)
    first, second = (list(inspect.signature(c.forward).parameters) for c in (ours, theirs))
    assert first == second or ours.forward is nn.Module.forward or name in ("PoissonNLLLoss", "RNNBase", "RNNCellBase")
    assert issubclass(ours, nn.Module)
    assert ours.__doc__


REFUSED = [
    "Dropout(1.5)", "Hardtanh(2.0, 1.0)", "Softmax2d()(T.ones(2))", "TripletMarginLoss(margin=-1.0)", "Unflatten(1, 2)",
    "Unflatten(1, (2, 2.5))", "BatchNorm2d(3)(T.ones(2, 3))", "BatchNorm1d(3)(T.ones(1, 3))", "Conv2d(3, 4, 3, groups=2)",
    "Conv2d(4, 3, 3, groups=2)", "Conv2d(2, 2, 3, groups=0)", "Conv2d(2, 2, 3, padding='x')",
    "Conv2d(2, 2, 3, padding='same', stride=2)", "Conv2d(2, 2, 3, padding_mode='x')", "Embedding(3, 4, padding_idx=5)",
    "Embedding(3, 4, padding_idx=-4)", "Embedding(2, 2, _weight=T.ones(3, 2))", "Embedding.from_pretrained(T.ones(3))",
    "MSELoss(reduction='most')(T.ones(2), T.ones(2))", "ReLU(1, 2)", "ELU(beta=2)", "Threshold(1)", "Linear(3)",
    "Linear(3, 4)(T.ones(2, 5))", "Bilinear(0, 2, 3)", "GroupNorm(2, 3)", "MultiMarginLoss(p=3)",
    "InstanceNorm2d(3, affine=True)(T.ones(1, 2, 3, 3))", "InstanceNorm1d(2)(T.ones(2))",
    "LinearCrossEntropyLoss(4, 5, weight=T.ones(4))", "LinearCrossEntropyLoss(4, 5, label_smoothing=1.5)",
    "LinearCrossEntropyLoss(4, 5)(T.ones(2, 3), T.tensor([1, 2]))", "LinearCrossEntropyLoss(4, 5)(T.ones(()), T.tensor(1))",
    "LinearCrossEntropyLoss(4, 5, ignore_index=1)(T.ones(2, 4), T.ones(2, 5))",
    "LinearCrossEntropyLoss(4, 5, out_features=(2,))(T.ones(4), T.tensor([1, 2]))",
    "EmbeddingBag(3, 4, padding_idx=3)", "FractionalMaxPool2d(2)", "FractionalMaxPool3d(2, 3, 0.5)",
    "FractionalMaxPool2d(2, output_ratio=(0.5, 1.5))", "AdaptiveLogSoftmaxWithLoss(4, 5, [])",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [2, 2])", "AdaptiveLogSoftmaxWithLoss(4, 5, [0, 2])",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [2, 5])", "AdaptiveLogSoftmaxWithLoss(4, 5, [3, 2])",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [2])(T.ones(2, 4), T.tensor([1, 5]))",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [2])(T.ones(2, 4), T.tensor([1]))",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [2])(T.ones(4), T.tensor([1]))",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [2])(T.ones(2, 4), T.tensor(1))",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [2])(T.ones(1, 4), T.tensor([[1]]))",
    "ConvTranspose2d(2, 2, 3, padding_mode='reflect')", "ConvTranspose1d(2, 2, 3, stride=2)(T.ones(1, 2, 4), [20])",
    "ConvTranspose1d(2, 2, 3)(T.ones(1, 2, 4), [1, 2])",
]  # fmt: skip


@pytest.mark.parametrize("code", REFUSED)
def test_what_is_refused(code: str) -> None:
    same(lambda T: repr(made(T, code)), torch, words=2, may_raise=True)


def test_the_classes_of_an_adaptive_softmax() -> None:
    def program(T: Any) -> Any:
        T.manual_seed(2)
        m = T.nn.AdaptiveLogSoftmaxWithLoss(6, 12, [3, 7], div_value=2.0)
        x = T.randn(20, 6)
        m.reset_parameters()
        head = [m.head(x).argmax(1).max() >= 3, m.head(x).argmax(1).min() < 3]
        shown = repr(m(x, T.arange(12).repeat(2)[:20]))[:19]
        return [head, m.log_prob(x).detach(), m.predict(x), m.predict(x[:1]), m.log_prob(x).exp().sum(1).detach(), shown]

    same(program, torch, rtol=2e-5)


@pytest.mark.parametrize("shapes", [
    ((5, 2, 3), (2, 3, 4), (4,)), ((5, 3), (2, 3, 4), (4,)), ((5, 2, 3), (2, 2, 4), (4,)), ((5, 2, 3), (2, 3, 4), (3,)),
    ((5, 2, 3), (3, 4), (4,)),
])  # fmt: skip
def test_convolutions_of_sequences(shapes: Any) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        leaves = [T.randn(shape, requires_grad=True) for shape in shapes]
        out = T.nn.functional.conv_tbc(*leaves, pad=1)
        return [out, T.conv_tbc(*leaves), T.autograd.grad((out**2).sum(), leaves)]

    same(program, torch, rtol=2e-5, words=2, may_raise=True)


def test_the_loss_of_sequences() -> None:
    def program(T: Any) -> Any:
        T.manual_seed(1)
        x = T.randn(8, 3, 5, requires_grad=True)
        targets, lengths = T.randint(1, 5, (3, 4)), (T.tensor([8, 7, 6]), T.tensor([4, 2, 3]))
        made = []
        for loss in (T.nn.CTCLoss(), T.nn.CTCLoss(4, "none", zero_infinity=True), T.nn.CTCLoss(reduction="sum")):
            out = loss(x.log_softmax(-1), targets - int(loss.blank == 4), *lengths)
            made += [repr(loss), loss.blank, out.detach(), *T.autograd.grad(out.sum(), x)]
        return made

    same(program, torch, rtol=2e-5)


def test_a_network_learns_as_torchs_does() -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        net = T.nn.Sequential(
            T.nn.Conv2d(1, 4, 3, padding=1), T.nn.BatchNorm2d(4), T.nn.ReLU(), T.nn.MaxPool2d(2), T.nn.Flatten(),
            T.nn.Linear(36, 8), T.nn.Tanh(), T.nn.LayerNorm(8), T.nn.Linear(8, 3),
        )  # fmt: skip
        x, y = T.randn(10, 1, 6, 6), T.randint(3, (10,))
        optimizer = T.optim.AdamW(net.parameters(), lr=0.01)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = T.nn.CrossEntropyLoss()(net(x), y)
            loss.backward()
            T.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return losses

    same(program, torch, rtol=1e-3)


# -- first values -----------------------------------------------------------------------------------------------------

INITS = [
    "uniform_(w, -1, 2)", "normal_(w, 1, 2)", "constant_(w, 3)", "ones_(w)", "zeros_(w)", "eye_(w)", "xavier_uniform_(w, 2)",
    "xavier_normal_(v)", "kaiming_uniform_(v, mode='fan_out', nonlinearity='relu')", "kaiming_normal_(w, a=0.2)",
    "trunc_normal_(w)", "trunc_normal_(w, std=0.5, a=-0.2, b=0.3)", "trunc_normal_(w, mean=1.0, a=1.5, b=4.0)", "dirac_(v)",
    "dirac_(v, groups=2)", "sparse_(w, 0.4)", "uniform_(w, generator=g)", "kaiming_normal_(w, generator=g)",
    "calculate_gain('tanh')", "calculate_gain('leaky_relu', 0.3)", "calculate_gain('selu')", "calculate_gain('conv1d')",
    "calculate_gain('cos')", "eye_(v)", "dirac_(w)", "dirac_(v, groups=3)", "xavier_normal_(w[0])", "sparse_(v, 0.1)",
    "kaiming_uniform_(w, mode='fan')", "orthogonal_(w[0])", "calculate_gain('leaky_relu', 'x')", "uniform(w)",
]  # fmt: skip


@pytest.mark.parametrize("code", INITS)
def test_first_values(code: str) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(3)
        w, v = T.nn.Parameter(T.empty(7, 5)), T.nn.Parameter(T.zeros(4, 3, 3))
        made = eval(f"init.{code}", {"init": T.nn.init, "w": w, "v": v, "g": T.Generator().manual_seed(8)})
        return made if isinstance(made, float | int) else [shown(made, code), made.requires_grad, T.rand(1).item()]

    same(program, torch, may_raise=True)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_orthogonal_first_values(shape: tuple[int, ...]) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(3)
        return T.nn.init.orthogonal_(T.empty(shape), gain=2)

    same(program, torch)
    flat = program(gradcore).reshape(shape[0], -1)
    gram = flat @ flat.t() if flat.shape[0] < flat.shape[1] else flat.t() @ flat
    assert (gram - 4 * gradcore.eye(len(gram))).abs().max() < 1e-5


def test_sizes_of_transposed_convolutions_and_unpooled_images() -> None:
    def program(T: Any) -> Any:
        T.manual_seed(1)
        x = T.randn(1, 2, 5, 6)
        up = T.nn.ConvTranspose2d(2, 3, 3, stride=2)
        pooled, indices = T.nn.MaxPool2d(2, return_indices=True)(x)
        unpool = T.nn.MaxUnpool2d(2)
        bag = T.nn.EmbeddingBag(9, 2, mode="sum")
        numbers, starts = T.tensor([1, 2, 4, 5, 4, 3]), T.tensor([0, 2])
        return [
            up(x).detach(), up(x, output_size=[12, 14]).detach(), up(x, [1, 3, 11, 13]).detach(), unpool(pooled, indices),
            unpool(pooled, indices, output_size=(1, 2, 5, 6)), bag(numbers, starts, T.ones(6)).detach(),
        ]  # fmt: skip

    same(program, torch)
