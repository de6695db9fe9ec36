"""Marks around operations and nodes, for other tools: NVIDIA's profilers and Intel's. It must not know any operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Self

from gradcore import backends, cuda
from gradcore.autograd.profiler_watching import Watching, shapes


class _Marks(Watching):
    """A context in which what happens is inside named ranges of a tool's."""

    tool: str

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled, self.entered, self.record_shapes = enabled, False, record_shapes

    def ranges(self) -> tuple[Callable[[str], object], Callable[[], object]]:
        """What begins a range and what ends the innermost one. Raises RuntimeError where the tool's library is not."""
        raise NotImplementedError

    def settle(self) -> None:
        """Wait for what is going on, first and last."""

    def title(self, name: str, inputs: Sequence[Any], sequence: int) -> str:
        """What a range is called."""
        return name

    def __enter__(self) -> Self | None:
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError(f"{self.tool} annotation context manager is not reentrant")
        self.entered = True
        self.settle()
        self._push, self._pop = self.ranges()
        self.begin()
        return self

    def __exit__(self, *exception: object) -> bool | None:
        if not self.enabled:
            return None
        try:
            self.settle()
        finally:
            self.end()
        return False

    @contextmanager
    def event(self, name: str, kind: str, inputs: Sequence[Any] = (), sequence: int = -1) -> Iterator[None]:
        """Put a range around what happens inside."""
        self._push(self.title(name, inputs, sequence))
        try:
            yield
        finally:
            self._pop()


class emit_nvtx(_Marks):
    """Put an NVTX range around every operation, node and `record_function` of this thread, for NVIDIA's profilers.

    A range is called by the operation's name and `seq = N`, the number that the operation's node got and that the node's
    own range has, too: so the backward of an operation is found. With `record_shapes` there follow the shapes of its
    inputs, `sizes = [[2, 3], []]`.

    Raises RuntimeError without CUDA, if entered twice, and if this thread is watched already.
    """

    tool = "NVTX"

    def ranges(self) -> tuple[Callable[[str], object], Callable[[], object]]:
        """CuPy's."""
        streams = backends.cuda_streams()
        return streams.push_range, streams.pop_range

    def settle(self) -> None:
        """Wait for the device."""
        cuda.synchronize()

    def title(self, name: str, inputs: Sequence[Any], sequence: int) -> str:
        """The name, the number of the node, the shapes if wanted."""
        number = f", seq = {sequence}" if sequence >= 0 else ""
        sizes = f", sizes = {shapes(inputs)}" if self.record_shapes and inputs else ""
        return f"{name}{number}{sizes}"


class emit_itt(_Marks):
    """Put an ITT task around every operation, node and `record_function` of this thread, for Intel's VTune.

    A task is called by the operation's name, as in torch, whatever `record_shapes` says. Raises RuntimeError without the
    package `ittapi`, if entered twice, and if this thread is watched already.
    """

    tool = "ITT"

    def ranges(self) -> tuple[Callable[[str], object], Callable[[], object]]:
        """Those of Intel's package."""
        try:
            itt = import_module("ittapi")
        except ImportError as error:
            raise RuntimeError(
                "emit_itt: ITT functions not installed. They are in Intel's package: pip install ittapi"
            ) from error
        domain = itt.domain("gradcore")
        return lambda name: itt.task_begin(domain, itt.string_handle(name)), lambda: itt.task_end(domain)
