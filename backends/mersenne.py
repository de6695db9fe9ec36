"""Random numbers on the host, the same that torch's CPU generator gives for a seed; must not know Tensors.

The Mersenne Twister's words (Matsumoto and Nishimura 1998) are NumPy's; how they become numbers is told by
torch's behaviour: 24 bits make a float32, 53 of two words a float64, pairs or blocks of 16 normals come from
the Box-Muller transform. The uniform numbers, integers and permutations are torch's to the bit, normal ones
up to the last bits of log and cos.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_random: Any = np.random  # NumPy's types of a state are too narrow

Array = Any
STATE_BYTES = 5056
_WORDS = 624
_BLOCK = 16
_FEW = 512  # numbers, up to which they are exchanged sooner one by one
# torch divides two words, not one, for ranges from here on
_WIDE_RANGE = 1 << 28
_HEAD = struct.Struct("<QiiQ")  # seed, words left, seeded, next word
_NORMALS = struct.Struct("<3di4xf4x")  # three of Box and Muller's, the second being the one kept; is one kept?; unused


class Mersenne:
    """A generator with the methods of NumPy's that `shared.py` calls, and torch's state as bytes."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._bits = _random.MT19937()
        self._bits.state = _random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)
        self._kept: float | None = None  # the second normal number of a pair
        self._lock = threading.Lock()

    # -- numbers ---------------------------------------------------------------------------------------------

    def random(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return float32 or float64 numbers uniform in [0, 1)."""
        with self._lock:
            return self._uniform(math.prod(shape), np.dtype(dtype)).reshape(shape)

    def standard_normal(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return float32 or float64 normal numbers: in blocks of 16 if there are as many, else in pairs."""
        n, dtype = math.prod(shape), np.dtype(dtype)
        with self._lock:
            return (self._blocks(n, dtype) if n >= _BLOCK else self._pairs(n).astype(dtype)).reshape(shape)

    def integers(self, low: int, high: int, shape: Sequence[int]) -> Array:
        """Return int64 numbers uniform in [low, high); if these are all there are, the random bits themselves."""
        span = high - low
        with self._lock:
            words = (self._words if span < _WIDE_RANGE else self._double_words)(math.prod(shape))
        if span < 1 << 64:
            words = words % np.uint64(span) + np.uint64(low % (1 << 64))
        return words.view(np.int64).reshape(shape)

    def permutation(self, n: int) -> Array:
        """Return 0 ... n-1 in an order made by exchanging each with one that follows."""
        with self._lock:
            steps = self._words(max(n - 1, 0)) % np.arange(n, 1, -1, dtype=np.uint64)
        if n > _FEW:
            return _exchanged(steps.view(np.int64))
        order = list(range(n))
        for i, step in enumerate(steps.tolist()):
            order[i], order[i + step] = order[i + step], order[i]
        return np.array(order, np.int64)

    def poisson(self, rates: Array) -> Array:
        """Return numbers of the Poisson distribution of these float64 `rates`, as float64, drawn one after another."""
        with self._lock:
            before, block = self._bits.state, 4 * rates.size + 64
            numbers: list[float] = []

            def uniform() -> Iterator[float]:
                while True:
                    numbers.extend(self._uniform(block, np.dtype("f8")).tolist())
                    yield from numbers[-block:]

            left = enumerate(uniform(), 1)
            used = 0
            drawn = np.zeros(rates.shape)
            flat = drawn.reshape(-1)
            for i, rate in enumerate(rates.ravel().tolist()):
                if rate:
                    flat[i], used = (_rejected if rate >= 10 else _multiplied)(rate, left)
            self._bits.state = before  # and go on after what was used of the blocks
            self._words(2 * used)
        return drawn

    def _words(self, n: int) -> Array:
        """32 random bits each, as uint64."""
        return self._bits.random_raw(n)

    def _double_words(self, n: int) -> Array:
        words = self._words(2 * n)
        return words[::2] << np.uint64(32) | words[1::2]

    def _uniform(self, n: int, dtype: Any) -> Array:
        if dtype.itemsize == 4:
            words = self._words(n).astype(np.uint32) & np.uint32((1 << 24) - 1)
            numbers = words.view(np.int32).astype(dtype)  # from signed integers it takes half the time
            numbers *= dtype.type(2.0**-24)
        else:
            numbers = (self._double_words(n) & np.uint64((1 << 53) - 1)).view(np.int64).astype(dtype)
            numbers *= 2.0**-53
        return numbers

    def _pairs(self, n: int) -> Array:
        """Fewer than 16 numbers, for which arrays are not worth their while."""
        numbers = []
        if self._kept is not None and n > 0:
            numbers, self._kept = [self._kept], None
        words = iter(self._words(4 * math.ceil((n - len(numbers)) / 2)).tolist())
        while len(numbers) < n:
            angle, radius = (((next(words) << 32 | next(words)) & (1 << 53) - 1) * 2.0**-53 for _ in range(2))
            angle, radius = 2 * math.pi * angle, math.sqrt(-2 * math.log1p(-radius))
            numbers += [radius * math.cos(angle), radius * math.sin(angle)]
        if len(numbers) > n:
            self._kept = numbers.pop()
        return np.array(numbers)

    def _blocks(self, n: int, dtype: Any) -> Array:
        if not n % _BLOCK:
            return _box_muller(self._uniform(n, dtype))
        drawn = self._uniform(n + _BLOCK, dtype)  # the last block is drawn anew, over the end of the one before
        whole = n - n % _BLOCK
        drawn[whole : whole + _BLOCK] = drawn[n:]
        made = _box_muller(drawn[: whole + _BLOCK])
        out = np.empty(n, dtype)
        out[:whole] = made[:whole]
        out[n - _BLOCK :] = made[whole:]
        return out

    # -- the state -------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return torch's serialised state."""
        with self._lock:
            inner = self._bits.state["state"]
            seeded = inner["key"][0] == self.seed & 0xFFFFFFFF  # and never used
            head = _HEAD.pack(self.seed, _WORDS - inner["pos"] + 1, 1, 0 if seeded else inner["pos"])
            words = inner["key"].astype("<u8").tobytes()
            kept = _NORMALS.pack(0.0, self._kept or 0.0, 0.0, self._kept is not None, 0.0)
            return bytes(head + words + kept)

    def restore(self, state: bytes) -> None:
        """Continue from a state that this or torch's generator had. Raise RuntimeError for another length."""
        if len(state) != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state size "
                f"to be {len(state)}"
            )
        seed, left, seeded, position = _HEAD.unpack_from(state)
        if not seeded or not 0 <= position <= _WORDS:
            raise RuntimeError("the RNG state is not one of an initialised generator")
        words = np.frombuffer(state, "<u8", _WORDS, _HEAD.size)
        _, kept, _, has_kept, _ = _NORMALS.unpack_from(state, _HEAD.size + words.nbytes)
        with self._lock:
            self.seed = seed
            position = _WORDS if left == 1 else position
            inner = {"key": words.astype(np.uint32), "pos": position}
            self._bits.state = {"bit_generator": "MT19937", "state": inner}
            self._kept = kept if has_kept else None


# Arrays, which NumPy takes sooner than numbers: 1, -2 and two pi.
_NUMBERS = {np.dtype(kind): [np.array(number, kind) for number in (1, -2, 2 * math.pi)] for kind in ("f4", "f8")}


def _box_muller(uniform: Array) -> Array:
    """Turn blocks of 16 uniform numbers into normal ones: the first 8 give the radii, the others the angles."""
    one, minus_two, circle = _NUMBERS[uniform.dtype]
    blocks = uniform.reshape(-1, 2, _BLOCK // 2)
    radius = one - blocks[:, 0]
    np.log(radius, radius)
    np.multiply(radius, minus_two, radius)
    np.sqrt(radius, radius)
    angle = blocks[:, 1] * circle
    out = np.empty_like(blocks)
    np.multiply(radius, np.cos(angle), out[:, 0])
    np.multiply(radius, np.sin(angle), out[:, 1])
    return out.reshape(-1)


# -- the Poisson distribution ------------------------------------------------------------------------------------
# From uniform numbers and how many have been taken to one number of the distribution and the same; torch's algorithms.


def _multiplied(rate: float, uniform: Iterator[tuple[int, float]]) -> tuple[int, int]:
    """By the number of factors after which a product of uniform numbers falls below exp(-rate)."""
    end, product, k = math.exp(-rate), 1.0, -1
    for used, u in uniform:  # noqa: B007
        product *= u
        k += 1
        if product <= end:
            break
    return k, used


def _rejected(rate: float, uniform: Iterator[tuple[int, float]]) -> tuple[float, int]:
    """By W. Hoermann, The transformed rejection method for generating Poisson random variables (1993)."""
    root, log_rate = math.sqrt(rate), math.log(rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = next(uniform)[1] - 0.5
        used, v = next(uniform)
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43) if us else -1
        if us >= 0.07 and v <= v_r:
            return k, used
        if k < 0 or (us < 0.013 and v > us):
            continue
        density = k * log_rate - rate - math.lgamma(k + 1)
        if v == 0 or math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= density:
            return k, used


def _exchanged(steps: Array) -> Array:
    """0 ... n-1 after an exchange of each but the last with the one so many steps behind it, first come first served.

    An exchange takes what the last one with the same partner left there, which is what stood in that one's own place before
    it: a chain that ends where a place was no partner yet. The chains are followed all at once.
    """
    n = steps.size + 1
    here = np.arange(n - 1)
    there = here + steps
    stood = np.arange(n)  # what stands in a place when its turn comes is what stood here before
    away = np.flatnonzero(steps)
    stood[there[away]] = away  # the last exchange counts
    left = np.flatnonzero(stood != np.arange(n))
    while left.size:
        before = stood.take(stood.take(left))
        moved = before != stood.take(left)
        left = left[moved]
        stood[left] = before[moved]
    keys = there << 32 | here
    keys.sort()
    partner, turn = keys >> 32, keys & 0xFFFFFFFF
    again = np.flatnonzero(partner[1:] == partner[:-1])
    out = np.append(there, stood[-1])
    out[turn[again + 1]] = stood.take(turn[again])
    return out
