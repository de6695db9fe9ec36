"""What is seen of operations while a CUDA graph captures them: whose memory they read. It must not know CuPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any
from weakref import WeakValueDictionary, ref

from gradcore.backends import of
from gradcore.graph import modes
from gradcore.tensor import Tensor
from gradcore.transforms.trees import flat


@contextmanager
def watched(look: Callable[[Any, list[Tensor]], None], note: Callable[[list[Tensor]], None]) -> Iterator[None]:
    """Call `look` with each operation of this thread and the tensors that it gets, `note` with those that it gives."""
    thread = get_ident()

    def watch(op: Any, inputs: Any, run: Callable[[], Any]) -> Any:
        try:
            look(op, [x for x in flat(inputs)[0] if isinstance(x, Tensor)])
            results = run()
            note([x for x in flat(results)[0] if isinstance(x, Tensor)])
            return results
        finally:
            modes.watchers[thread] = watch

    before = modes.watchers.get(thread)
    modes.watchers[thread] = watch
    modes.unusual.append(watch)
    try:
        yield
    finally:
        modes.unusual.remove(watch)
        modes.watchers.pop(thread, None)
        if before is not None:
            modes.watchers[thread] = before


class Inputs:
    """The memory that captured operations read and that had been there before: a replay will read it."""

    def __init__(self) -> None:
        self._read: list[tuple[ref[Any], str]] = []
        self._newest: dict[int, ref[Any]] = {}  # by the number of an array, which a later one may get again
        self._made: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._watching = watched(lambda op, tensors: self._look(tensors), self._note)

    def start(self) -> None:
        """Watch what operations read."""
        self._watching.__enter__()

    def stop(self) -> None:
        """Watch no more."""
        self._watching.__exit__(None, None, None)

    def _look(self, tensors: list[Tensor]) -> None:
        for x in tensors:
            owner = of(x._array).storage(x._array)
            if x.is_cuda and id(owner) not in self._made and not self._knows(owner):
                self._newest[id(owner)] = ref(owner)
                self._read.append((self._newest[id(owner)], f"{x.dtype} of shape {list(x.shape)}"))

    def _knows(self, owner: Any) -> bool:
        return id(owner) in self._newest and self._newest[id(owner)]() is owner

    def _note(self, tensors: list[Tensor]) -> None:
        for x in tensors:
            owner = of(x._array).storage(x._array)
            if not self._knows(owner):
                self._made[id(owner)] = owner

    def check(self) -> None:
        """Raise RuntimeError if some of it is no more."""
        dead = [what for memory, what in self._read if memory() is None]
        if dead:
            raise RuntimeError(
                f"CUDA graph replay detected {len(dead)} dead tensor(s).\nIt reads memory that has been given back: "
                f"{', '.join(dead[:5])}. Keep what was captured as an input as long as the graph"
            )
