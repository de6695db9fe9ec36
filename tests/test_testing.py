"""torch.testing.assert_close beside torch's: what it takes, what it refuses, and what it says."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.testing

torch = pytest.importorskip("torch")
importlib.import_module("torch.testing")

CALLS = [
    "T.ones(2),T.ones(2)*2",
    "T.ones(2),T.ones(3)",
    "T.ones(2),T.ones(2).double()",
    "1.0,2",
    "1.0,1.0+1e-9",
    "[T.ones(2),1],[T.ones(2),2]",
    "{'a':1},{'b':1}",
    "[1,2],[1]",
    "T.tensor([1,2,3]),T.tensor([1,2,4])",
    "T.ones(2,3),T.ones(3,2).t(),check_stride=True",
    "T.tensor(float('nan')),T.tensor(float('nan'))",
    "T.tensor(3.),T.tensor(4.),rtol=0.1",
    '"a","a"',
    'T.ones(2),T.ones(2)*2,msg="hi"',
    'T.ones(2),T.ones(2)*2,msg=lambda m:"hi\\n"+m',
    "T.ones(2),[1.,1.]",
    "T.ones(2),np.ones(2)",
    "np.ones(2),np.ones(2)*1.1",
    "True,False",
    "1+1j,1+2j",
    "T.tensor([[1.,2],[3,4]]),T.tensor([[1.,2],[3.5,4.1]])",
    "T.tensor(3.),T.tensor(4.)",
    "None,None",
    "T.ones(2),T.ones(2),rtol=1,atol=0",
    "[[1,T.tensor([1.,2.])]],[[1,T.tensor([1.,3.])]]",
    "{'a':T.ones(1),'b':1},{'a':T.zeros(1),'b':1}",
    "T.tensor([True,False]),T.tensor([True,True])",
    "T.ones(2),T.nn.Parameter(T.ones(2)),allow_subclasses=False",
    "1,1.0,check_dtype=True",
    "T.tensor([1,2]),T.tensor([1.,2]),check_dtype=False",
    "T.tensor([]),T.tensor([])",
    "None, 1",
    "[], ()",
    "T.tensor([float('nan'), 1.0]), T.tensor([float('nan'), 1.0]), equal_nan=True",
    "T.ones(2, 3), T.ones(2, 3).double(), check_dtype=False",
    "T.ones(2).bfloat16(), T.ones(2).bfloat16() * 1.01",
    "T.ones(2).half(), T.ones(2).half() * 1.01",
    "T.ones(2, dtype=T.complex64), T.ones(2, dtype=T.complex64) * 1j",
    "T.ones(2, requires_grad=True), T.ones(2), rtol=0.5, atol=0",
    "T.full((2, 3, 4), 2.0), T.full((2, 3, 4), 3.0), rtol=0.1, atol=0.1",
    "T.zeros(2), T.tensor([0.0, 1e-4])",
    "{'a': [1, {'b': T.ones(1)}]}, {'a': [1, {'b': T.ones(1) * 3}]}",
    "[1, 2.0], (1, 2.0)",
    "[1], T.ones(1)",
    "T.float32, T.float32",
    "3, 4, rtol=0, atol=0",
    "3.0, 4.0, msg='no'",
    "T.tensor(2), T.tensor(0)",
    "float('inf'), float('inf')",
    "T.ones(2), T.ones(2) * 2, msg=lambda said: 'so: ' + said",
]


def raised(T: Any, call: str) -> tuple[str, str] | None:
    try:
        eval(f"T.testing.assert_close({call})", {"T": T, "np": np})
        return None
    except Exception as error:
        return type(error).__name__, str(error).replace("gradcore", "torch")


@pytest.mark.parametrize("call", CALLS)
def test_assert_close_says_what_torchs_says(call: str) -> None:
    theirs, ours = raised(torch, call), raised(gradcore, call)
    if theirs is not None and theirs[0] == "TypeError":
        assert ours is not None
        assert ours[0] == "TypeError", ours
    else:
        assert ours == theirs
