"""Devices against torch.device, and the default device against torch's."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gradcore import backends, devices
from gradcore.devices import device

torch = pytest.importorskip("torch")

SPELLINGS = ["cpu", "cuda", "cuda:1", "cuda:0", "cpu:0", "meta", "mps", "xpu:2", "cuda:127"]
MALFORMED = [
    *(
        "",
        "gpu",
        "CUDA",
        ":1",
        " cpu",
        "cuda ",
        "cuda:",
        "cuda:-1",
        "cuda:01",
        "cuda:1.5",
        "cuda:1a",
        "cuda:1:2",
    ),
    *("cuda:+1", "cuda: 1", "cuda\n", "numpy", "cuda1", "cuda:٣"),
]


@pytest.fixture(autouse=True)
def _default() -> Iterator[None]:
    yield
    devices.set_default_device(None)
    torch.set_default_device(None)


def outcome(constructor: Any, *arguments: Any, **named: Any) -> tuple[str, ...]:
    try:
        made = constructor(*arguments, **named)
    except (TypeError, RuntimeError) as error:
        return (type(error).__name__,)
    return repr(made), str(made), repr(made.type), repr(made.index)


# -- Spelling ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        *[(text,) for text in SPELLINGS + MALFORMED],
        *[("cuda", 1), ("cuda", 0), ("cpu", 1), ("cuda", None), ("cuda:1", 1), ("gpu", 1), ("cuda", -1)],
        *[
            ("cuda", "1"),
            ("cuda", 1.0),
            (-1,),
            (None,),
            (1.5,),
            (True,),
            ((),),
            (["cpu"],),
            (),
            ("cuda", 1, 2),
        ],
    ],
    ids=str,
)
def test_arguments(arguments: tuple[Any, ...]) -> None:
    assert outcome(device, *arguments) == outcome(torch.device, *arguments)


def test_keywords_and_devices() -> None:
    assert outcome(device, type="cuda", index=1) == outcome(torch.device, type="cuda", index=1)
    assert outcome(device, index=1) == outcome(torch.device, index=1)
    made = device("cuda:1")
    assert device(made) is devices.parse(made) is made
    assert outcome(device, made, 1) == outcome(torch.device, torch.device("cuda:1"), 1)


def test_index_alone_means_cuda() -> None:
    """torch asks for an accelerator first; which one the machine has is asked here when it is used."""
    assert device(0) == device("cuda:0")
    assert device(np.int64(3)) == device("cuda", np.int32(3)) == device("cuda:3")


@settings(max_examples=200, deadline=None)
@given(
    st.text("cpuda:01- ", max_size=8)
    | st.builds("{}:{}".format, st.sampled_from(["cpu", "cuda"]), st.integers(-2, 127))
)
@example("privateuseone:1")
def test_random_strings(text: str) -> None:
    assert outcome(device, text) == outcome(torch.device, text)


@pytest.mark.parametrize("text", MALFORMED)
def test_message_of_a_malformed_string(text: str) -> None:
    with pytest.raises(RuntimeError) as ours:
        device(text)
    with pytest.raises(RuntimeError) as other:
        torch.device(text)
    expected = str(other.value).partition("\nException raised")[0]
    assert str(ours.value).startswith(expected.partition("'")[0])
    if text.isprintable():
        assert str(ours.value).startswith(expected)


def test_a_backend_from_elsewhere_adds_a_device_type(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"start of device string: toaster \(.*entry-point group"):
        device("toaster:1")
    monkeypatch.setitem(backends.by_device, "toaster", backends.numpy)
    assert repr(device("toaster:1")) == "device(type='toaster', index=1)"


# -- The object ----------------------------------------------------------------------------------------------


def test_equality_and_hash() -> None:
    made, theirs = [device(text) for text in SPELLINGS], [torch.device(text) for text in SPELLINGS]
    for mine, other in zip(made, theirs, strict=True):
        assert [mine == each for each in made] == [other == each for each in theirs]
        assert hash(mine) == hash(device(str(mine)))
    assert len(set(made)) == len(set(theirs))
    assert device("cpu") != "cpu"
    assert device("cuda", 1) == device("cuda:1")
    with pytest.raises(TypeError):
        _ = device("cpu") < device("cuda")


@pytest.mark.parametrize("text", SPELLINGS)
def test_copies(text: str) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(device(text), protocol)) == device(text)
    assert copy.deepcopy(device(text)) == copy.copy(device(text)) == device(text)


def test_immutable() -> None:
    made = device("cuda:1")
    with pytest.raises(AttributeError, match="not writable"):
        made.index = 2
    with pytest.raises(AttributeError, match="not writable"):
        del made.type
    assert made == device("cuda:1")


# -- The default and the backend -----------------------------------------------------------------------------


def default_types(make: Any, set_default: Any, current: Any) -> str:
    """The default's type at each step of nested blocks and settings, in a new thread."""
    seen: list[str] = []

    def look() -> None:
        seen.append(current().type)

    def steps() -> None:
        look()
        with make("meta") as entered:
            assert entered == make("meta")
            look()
            with make("cpu:0"):
                look()
                with make("meta"):
                    look()
                look()
            look()
            set_default("cpu")
            look()
        look()

    def steps_from_a_set_default() -> None:
        set_default("meta")
        look()
        with make("cpu"):
            look()
        look()
        set_default(None)
        look()

    for each in (steps, steps_from_a_set_default):
        worker = threading.Thread(target=each)
        worker.start()
        worker.join()
    return " ".join(seen)


def test_default_follows_torch() -> None:
    ours = default_types(device, devices.set_default_device, devices.get_default_device)
    assert ours == "cpu meta cpu meta cpu meta cpu cpu meta cpu meta cpu"
    assert ours == default_types(torch.device, torch.set_default_device, lambda: torch.empty(1).device)


def test_a_block_ends_with_its_error() -> None:
    def fail() -> None:
        with device("cuda"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert devices.get_default_device() == device("cpu")


def test_default_of_another_thread_is_its_own() -> None:
    seen = []
    devices.set_default_device("cuda")
    with device("meta"):
        worker = threading.Thread(target=lambda: seen.append(devices.get_default_device()))
        worker.start()
        worker.join()
    assert seen == [device("cpu")]


def test_set_default_device_refuses_what_is_none() -> None:
    with pytest.raises(RuntimeError, match="Expected one of"):
        devices.set_default_device("gpu")
    assert devices.get_default_device() == device("cpu")


def test_parse() -> None:
    assert devices.parse(None) == device("cpu")
    with device("cuda:2"):
        assert devices.parse(None) == device("cuda:2")
        assert devices.parse("cpu") == device("cpu")
    with pytest.raises(TypeError):
        devices.parse(1.5)  # type: ignore[arg-type, unused-ignore]


def test_backend() -> None:
    assert devices.backend("cpu") is devices.backend() is devices.backend(device("cpu:0")) is backends.numpy
    with pytest.raises(RuntimeError, match="meta"):
        devices.backend("meta")
