"""Run torch's samples on the strict double: `python -m tests.double --op add`, with the oracle's own options.

Besides what differs from torch it prints what waited for the device, or was copied to it, and from where.
Random numbers are not torch's there.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np

from tests import double
from tests.oracle import __main__ as command
from tests.oracle import plan
from tests.oracle.library import Library, strided_numpy


class OnDevice(Library):
    """gradcore with every tensor on the double."""

    def __init__(self, module: Any, cuda: double.Cuda) -> None:
        super().__init__(module)
        self.cuda = cuda
        self.seen: Counter[str] = Counter()

    def tensor(self, tensor: Any, *, requires_grad: bool = False) -> Any:
        if tensor.storage_offset():
            return self.view_into_storage(tensor).requires_grad_(requires_grad)
        from gradcore.recorder import wrap

        host = strided_numpy(tensor)
        whole = host if host.base is None else host.base
        while not isinstance(whole, np.ndarray) or isinstance(whole.base, np.ndarray):
            whole = whole.base
        array = double.ndarray(whole)
        if whole is not host:
            array = self.cuda.backend.strided(array.view(host.dtype), host.shape, host.strides)
        return wrap(array).requires_grad_(requires_grad)

    def array(self, tensor: Any) -> Any:
        if not self.is_tensor(tensor) or not isinstance(tensor._array, double.ndarray):
            return super().array(tensor)
        host = tensor._array._host
        return host.astype("f4") if host.dtype.kind == "V" else host

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self.watched(super().call, function, *args, **kwargs)

    def grad(self, outputs: Any, inputs: Any, cotangents: Any, **options: Any) -> Any:
        return self.watched(super().grad, outputs, inputs, cotangents, **options)

    def watched(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        ledger = self.cuda.ledger
        syncs, uploads = len(ledger.syncs), len(ledger.uploads)
        try:
            return call(*args, **kwargs)
        finally:
            self.seen.update(f"waits:  {each}" for each in ledger.syncs[syncs:])
            self.seen.update(f"copies: {each}" for each in ledger.uploads[uploads:])


def main() -> int:
    import gradcore

    with double.installed() as cuda:
        library = OnDevice(gradcore, cuda)
        plan.library_named = lambda name: library
        status = command.main()
    for entry, times in library.seen.most_common(40):
        print(f"{times:6} {entry}")
    return status


if __name__ == "__main__":
    sys.exit(main())
