"""Memory of CUDA graphs on the strict double: whose it is, and that it is counted. Not how the backend holds it."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcore import cuda
from gradcore.graph import modes
from tests.double import queues
from tests.test_cuda_graphs import host, on_device

ROOT = Path(__file__).resolve().parents[1]


def test_memory_of_graphs_is_counted(strict_cuda: Any) -> None:
    gc.collect()  # earlier graphs and what the allocator still held go now, not meanwhile
    graph, x = cuda.CUDAGraph(), on_device(1 << 20)
    cuda.empty_cache()
    before = cuda.memory_allocated(), cuda.memory_reserved()
    with cuda.graph(graph):
        y = x.exp().sin()
    inside = cuda.memory_allocated(), cuda.memory_reserved()
    assert inside[0] - before[0] >= y.nbytes
    assert inside[1] - before[1] >= 2 * y.nbytes
    assert cuda.max_memory_reserved() >= inside[1]
    assert cuda.memory_allocated(1) == 0
    cuda.empty_cache()  # a replay writes there
    assert cuda.memory_reserved() == inside[1]
    del y
    graph.reset()
    assert (cuda.memory_allocated(), cuda.memory_reserved()) == before


def test_arrays_may_outlive_the_interpreters_modules() -> None:
    program = "import builtins; from tests import double; builtins.kept = double.installed().__enter__().array([1.0])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_memory_is_of_a_pool_that_graphs_may_share(strict_cuda: Any) -> None:
    backend: Any = __import__("sys").modules["gradcore.backends.graphs"]
    handle, x, before = cuda.graph_pool_handle(), on_device(4), queues.get_allocator()
    assert handle != cuda.graph_pool_handle()
    one, two, three = (cuda.CUDAGraph() for _ in range(3))
    with cuda.graph(one, pool=handle):
        y = x.exp()
    given = backend.pool_of(handle).memory.given
    assert given >= 1
    with cuda.graph(two, pool=one.pool()):
        z = y.exp()
    assert backend.pool_of(handle).memory.given > given
    with cuda.graph(three):
        x.exp()
    assert one.pool() == two.pool() == handle != three.pool()
    one.replay()
    two.replay()
    np.testing.assert_allclose(host(z), np.exp(np.exp(host(x))))
    assert queues.get_allocator() == before


def test_a_replay_that_would_read_freed_memory_is_refused_if_asked(strict_cuda: Any) -> None:
    x, other, graph = on_device(3), on_device(3), cuda.CUDAGraph()
    with cuda.graph(graph, check_input_liveness=True):
        view = other[1:]
        y = (x * 2 + other).sum() + view.sum()
    del other
    graph.replay()  # a view keeps it
    np.testing.assert_allclose(host(y), 2 * host(x).sum() + host(view).sum() + host(view._base).sum())
    del view
    with pytest.raises(RuntimeError, match=r"CUDA graph replay detected 1 dead tensor\(s\)(.|\n)*of shape \[3\]"):
        graph.replay()
    graph.reset()
    other = on_device(3)
    with cuda.graph(graph):
        (x * other).sum()
    del other
    graph.replay()  # as in torch, nobody looks unless asked
    x + 1  # and nobody does afterwards
    assert not modes.watchers
