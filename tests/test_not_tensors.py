"""What is no tensor, where torch wants one: every public function raises TypeError, as in torch. It must not know any op."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

import gradcore

torch = pytest.importorskip("torch")

FIRST: dict[str, Any] = {"3": 3, "2.5": 2.5, "[1.0]": [1.0], "None": None, "'a'": "a", "object()": object(), "{}": {}}
REST: list[Any] = [
    lambda m: (),
    lambda m: (1,),
    lambda m: (m.ones(2),),
    lambda m: (0, m.zeros(2, dtype=m.int64)),
    lambda m: (m.ones(2), m.ones(2)),
    lambda m: ((2, 2), (1, 1)),
]
# They change what the process does, or read files.
SKIPPED = set(
    "compile from_dlpack frombuffer load manual_seed save seed set_anomaly_enabled set_autocast_enabled set_default_device "
    "set_default_dtype set_default_tensor_type set_deterministic_debug_mode set_float32_matmul_precision "
    "set_flush_denormal set_grad_enabled set_num_interop_threads set_num_threads set_printoptions set_rng_state "
    "set_warn_always use_deterministic_algorithms".split()
)
# Where gradcore takes a list or a number that torch refuses, or finds another fault first.
FURTHER = set(
    "arange as_tensor asarray bartlett_window blackman_window broadcast_shapes bucketize empty empty_permuted "
    "empty_strided eye fft.fftfreq fft.rfftfreq full hamming_window hann_window isin kaiser_window linalg.multi_dot "
    "linspace logspace nn.functional.gumbel_softmax normal ones rand randint randn range rsub searchsorted tensor "
    "tril_indices triu_indices zeros".split()
)
LEAKS = {"NotImplemented", "AttributeError", "KeyError"}


def functions() -> Iterator[tuple[str, Any, Any]]:
    for namespace in ("", "linalg.", "special.", "fft.", "nn.functional."):
        theirs, ours = (operator.attrgetter(namespace[:-1])(m) if namespace else m for m in (torch, gradcore))
        for name in sorted(set(dir(ours)) & set(dir(theirs)) - SKIPPED):
            f, g = getattr(theirs, name), getattr(ours, name)
            if name[0] != "_" and callable(f) and not inspect.isclass(f) and callable(g):
                yield namespace + name, f, g


FUNCTIONS = list(functions())


def outcome(m: Any, f: Any, first: Any, rest: Any) -> str:
    try:
        return "NotImplemented" if f(first, *rest(m)) is NotImplemented else "a result"
    except Exception as error:
        return next(k.__name__ for k in type(error).__mro__ if k.__module__ == "builtins")


def test_what_is_no_tensor_is_refused_as_in_torch() -> None:
    found: dict[str, list[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for (name, f, g), (shown, first), rest in product(FUNCTIONS, FIRST.items(), REST):
            expected = outcome(torch, f, first, rest)
            if expected == "TypeError":
                actual = outcome(gradcore, g, first, rest)
                if actual in LEAKS or (actual != expected and name not in FURTHER):
                    found.setdefault(name, []).append((shown, *map(str, rest(gradcore)), actual))
    assert len(FUNCTIONS) > 600
    assert not found


def test_the_argument_is_named() -> None:
    calls = [
        (lambda: gradcore.reshape(3, (1,)), r"reshape\(\): argument 'input' \(position 1\) must be Tensor, not int"),
        (lambda: gradcore.fill_(3, 1), r"fill_\(\): argument 'input' \(position 1\) must be Tensor, not int"),
        (lambda: gradcore.linalg.multi_dot([1, 2]), "expected Tensor as element 0 in argument 0, but got int"),
        (lambda: gradcore.qr([1.0], gradcore.ones(2)), r"qr\(\): argument 'input' \(position 1\) must be Tensor"),
    ]
    for call, words in calls:
        with pytest.raises(TypeError, match=words):
            call()


def test_faults_that_are_not_the_caller_s_keep_their_type() -> None:
    class Strange(gradcore.Tensor):
        @property
        def shape(self) -> Any:
            raise AttributeError("of its own")

    with pytest.raises(RuntimeError, match="shape '\\[3\\]' is invalid"):
        gradcore.reshape(gradcore.ones(2), (3,))
    with pytest.raises(AttributeError, match="of its own"):
        gradcore.ones(2).as_subclass(Strange).shape  # noqa: B018
