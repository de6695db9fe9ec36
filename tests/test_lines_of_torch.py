"""Lines as people write them, right and wrong ones, run by torch beside gradcore: results, reprs and types of errors.

It must not know how they are done.
"""

from __future__ import annotations

import copy
import decimal
import fractions
import importlib
import json
import math
import operator
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.func

torch = pytest.importorskip("torch")
for _module in ("autograd.forward_ad", "utils.checkpoint", "utils.data"):
    importlib.import_module(f"torch.{_module}")

LINES = Path(__file__).with_name("lines_of_torch.txt").read_text().splitlines()
NAMES = {module.__name__: module for module in (copy, decimal, fractions, json, math, operator, pickle)} | {"np": np}


def ran(T: Any, line: str) -> tuple[type[Exception] | None, str]:
    """The type of what was raised, and the message; or None and the repr of what came."""
    try:
        return None, re.sub("0x[0-9a-f]+", "0x", repr(eval(line, {**NAMES, "T": T})).replace("gradcore", "torch"))
    except Exception as error:
        return type(error), str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("line", LINES)
def test_a_line_does_as_in_torch(line: str) -> None:
    raised, expected = ran(torch, line)
    ours, found = ran(gradcore, line)
    if raised is None:
        assert (ours, found) == (None, expected)
    else:
        assert ours is not None, found
        assert issubclass(ours, raised) or raised.__name__.lstrip("_") == ours.__name__, found
