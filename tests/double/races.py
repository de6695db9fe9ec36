"""Whether streams wait for each other: which stream has seen what of which. It must not know arrays.

Every stream counts what it was given. A place in its queue has seen the counts of other streams that it has waited for, by
events or because the host had waited. An array that is used where its making was not seen is a race.
"""

from __future__ import annotations

from typing import Any

from tests.double.machine import current

Stream = tuple[int, int]  # a device and an address
Seen = dict[Stream, int]

watching: list[bool] = []  # races are errors while it is not empty
work: list[tuple[str, Stream]] = []  # what ran where, while it is watched
_streams: dict[Stream, Seen] = {}
_host: Seen = {}


def forget() -> None:
    """Begin anew."""
    watching.clear()
    work.clear()
    _streams.clear()
    _host.clear()


def seen_by(stream: Stream) -> Seen:
    """What the next work of a stream has seen."""
    return _streams.setdefault(stream, {})


def merge(into: Seen, seen: Seen) -> None:
    for stream, count in seen.items():
        into[stream] = max(into.get(stream, 0), count)


def made(stream: Stream) -> tuple[Stream, int]:
    """Give a stream something that makes an array; return when that is."""
    seen = seen_by(stream)
    merge(seen, _host)
    seen[stream] = seen.get(stream, 0) + 1
    return stream, seen[stream]


def used(origin: tuple[Stream, int], stream: Stream, what: str) -> None:
    """Give a stream something that uses an array of that origin."""
    if not watching:
        return
    work.append((what, stream))
    maker, count = origin
    known = max(seen_by(stream).get(maker, 0), _host.get(maker, 0))
    assert maker == stream or known >= count, f"{what}: a race: {stream} uses what {maker} makes and has not waited for it"


def host_waits(seen: Seen) -> None:
    """Let the host have seen this."""
    merge(_host, seen)


def host_waits_for_all() -> None:
    for seen in _streams.values():
        merge(_host, seen)


def key(stream: Any) -> Stream:
    """A stream of queues.py by its device and address."""
    return (current.id if stream.device_id < 0 else stream.device_id), stream.ptr
