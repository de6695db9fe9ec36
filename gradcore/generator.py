"""Generators of random numbers and the default one of each device; knows backends, no Tensor's
mathematics."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gradcore import devices, dtypes
from gradcore.backends import numpy as host
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

DEFAULT_SEED = 67280421310721


class Generator:
    """A source of random numbers on a device, the CPU's giving the numbers of torch's for the same seed.

    Raises RuntimeError if the device cannot be used.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self._device = devices.parse("cpu" if device is None else device)
        self._backend = devices.backend(self._device)
        self._seed(DEFAULT_SEED)

    def _seed(self, seed: int) -> None:
        self._initial = seed
        self._source: Any = None

    @property
    def source(self) -> Any:
        """What the backend's random functions draw from; made when first used."""
        if self._source is None:
            with self._backend.on_device(self._device.index):
                self._source = self._backend.generator(self._initial)
        return self._source

    @property
    def device(self) -> devices.device:
        """Where the numbers are made."""
        return self._device

    def manual_seed(self, seed: Any) -> Generator:
        """Start anew from `seed`, taken modulo 2**64, and return the generator. Raises ValueError beyond 64
        bits, RuntimeError for what is no integer."""
        if not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        self._seed(checked_seed(seed))
        return self

    def seed(self) -> int:
        """Start anew from a seed of the system's and return it."""
        self._seed(int.from_bytes(os.urandom(8), "little"))
        return self._initial

    def initial_seed(self) -> int:
        """Return the seed it last started from."""
        return self._initial

    def get_state(self) -> Tensor:
        """Return the state as a tensor of bytes, which torch's generator takes too.

        Raises NotImplementedError on a CUDA device.
        """
        return wrap(host.asarray(bytearray(self._stateful().state()), "uint8"))  # type: ignore[no-any-return]

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from a state that `get_state` returned. Raises TypeError if it is no tensor of bytes."""
        if getattr(new_state, "dtype", None) is not dtypes.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        source = self._stateful()
        source.restore(host.asarray(new_state._array).tobytes())
        self._initial = source.seed
        return self

    def clone_state(self) -> Generator:
        """Return another generator in the same state."""
        return Generator(self._device).set_state(self.get_state())

    def _stateful(self) -> Any:
        if not hasattr(self.source, "state"):
            raise NotImplementedError(
                f"the state of a generator on {self._device} cannot be read: CuPy does not give it. "
                "Seed it with manual_seed() instead"
            )
        return self.source

    def __reduce__(self) -> Any:
        return _restored, (str(self._device), self.get_state())

    def __repr__(self) -> str:
        return f"<torch._C.Generator object at {id(self):#x}>"


def _restored(device: str, state: Any) -> Generator:
    return Generator(device).set_state(state)


def checked_seed(seed: Any) -> int:
    """Return a seed modulo 2**64. Raises ValueError beyond 64 bits."""
    number = int(seed)
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"Overflow when unpacking long long (the seed {number})")
    return number % 2**64


# -- the default generators ----------------------------------------------------------------------------------

_lock = threading.RLock()
_defaults: dict[tuple[str, int | None], Generator] = {}
# for default generators that do not exist yet, by device; None stands for all of a type
_seeds: dict[tuple[str, int | None], int] = {}


def default(F: ModuleType, index: int | None) -> Generator:
    """Return the default generator of device `index` of the backend `F`."""
    key = (F.device_type, index)
    with _lock:
        if key not in _defaults:
            made = Generator(devices.device(F.device_type, index))
            seed = _seeds.get(key, _seeds.get((F.device_type, None)))
            made._seed(made.seed() if seed is None else seed)
            _defaults[key] = made
        return _defaults[key]


def seed_devices(seed: int, kind: str | None = None, index: int | None = None) -> None:
    """Seed the default generators of a kind of device (None: all kinds) or of one device of that kind."""
    with _lock:
        for each in ("cpu", "cuda") if kind is None else (kind,):
            if index is None:
                for key in [key for key in _seeds if key[0] == each]:
                    del _seeds[key]
            _seeds[each, index] = seed
        for (have, place), generator in _defaults.items():
            if kind in (None, have) and index in (None, place):
                generator.manual_seed(seed)


# Told the name of each operation that is about to draw numbers.
watchers: list[Callable[[str], None]] = []


def source_for(F: ModuleType, index: int | None, generator: Generator | None, name: str) -> Any:
    """Return what the backend's random functions draw from: `generator`'s or the default of the device.

    Raises RuntimeError if the generator is of another device, TypeError if it is none.
    """
    for watch in watchers:
        watch(name)
    F = getattr(F, "base", F)  # of a transform's, what is underneath
    if generator is None:
        return default(F, index).source
    if not isinstance(generator, Generator):
        raise TypeError(f"{name}(): argument 'generator' must be a Generator, not {type(generator).__name__}")
    if generator.device.type != F.device_type:
        raise RuntimeError(
            f"Expected a '{F.device_type}' device type for generator but found '{generator.device.type}' ({name})"
        )
    return generator.source


default_generator = default(host, None)


def manual_seed(seed: Any) -> Generator:
    """Seed the default generators of all devices and return the CPU's. Raises ValueError beyond 64 bits."""
    seed_devices(checked_seed(seed))
    return default_generator


def seed() -> int:
    """Seed the default generators of all devices with a number of the system's and return it."""
    number = int.from_bytes(os.urandom(8), "little")
    seed_devices(number)
    return number


def initial_seed() -> int:
    """Return the seed that the CPU's default generator last started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Return the state of the CPU's default generator as a tensor of bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the state of the CPU's default generator. Raises TypeError if it is no tensor of bytes."""
    default_generator.set_state(new_state)
