"""Run a module as a program on the stand-in: `python -m tests.double.program bench --device cuda`. Must not know which."""

from __future__ import annotations

import runpy
import sys

from tests import double

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    with double.installed():
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
