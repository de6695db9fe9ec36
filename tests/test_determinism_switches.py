"""The switches of deterministic mode beside torch's. Not what operations make of them."""

from __future__ import annotations

from typing import Any

import pytest

import gradcore as gc
import gradcore.utils.deterministic
from tests.twin import same

torch = pytest.importorskip("torch")


def test_switches_are_torchs() -> None:
    def program(T: Any) -> Any:
        told = []

        def state() -> None:
            told.append([
                T.are_deterministic_algorithms_enabled(), T.is_deterministic_algorithms_warn_only_enabled(),
                T.get_deterministic_debug_mode(),
            ])  # fmt: skip

        def tried(function: Any, *args: Any, **options: Any) -> None:
            try:
                function(*args, **options)
            except (TypeError, RuntimeError) as error:
                told.append(["raised", type(error).__name__, *str(error).split()[:6]])
            state()

        state()
        for mode in (True, False, 2, "on", None):
            tried(T.use_deterministic_algorithms, mode)
            tried(T.use_deterministic_algorithms, mode, warn_only=True)
        tried(T.use_deterministic_algorithms, True, warn_only=1)
        for mode in (0, 1, 2, "default", "warn", "error", 5, "x", 1.0):
            tried(T.set_deterministic_debug_mode, mode)
        T.use_deterministic_algorithms(False)
        return [str(told)]

    same(program, torch)


def test_memory_that_nobody_filled_shows_it() -> None:
    def program(T: Any) -> Any:
        T.use_deterministic_algorithms(True)
        dtypes = ("float32", "float64", "bfloat16", "int8", "int32", "int64", "uint8", "bool")
        found = [T.empty(3, dtype=getattr(T, each)) for each in dtypes]
        found += [T.empty_like(T.ones(2)), T.ones(2).new_empty(3), T.empty_strided((2, 3), (1, 2))]
        T.utils.deterministic.fill_uninitialized_memory = False
        told = [T.utils.deterministic.fill_uninitialized_memory]
        T.utils.deterministic.fill_uninitialized_memory = True
        T.use_deterministic_algorithms(False)
        return [*(str(each.tolist()) for each in found), told]

    same(program, torch)
    with pytest.raises(TypeError):
        gc.utils.deterministic.fill_uninitialized_memory = 1
