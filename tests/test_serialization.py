"""Files of tensors: what is saved comes back, other programs read it, and no pickle is ever run. Torch-free."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import nn, optim

FORMATS = ["safetensors", "npz"]


def tensors() -> dict[str, Any]:
    gradcore.manual_seed(0)
    made = {
        "a": gradcore.randn(3, 4), "b.c": gradcore.arange(5), "0-d": gradcore.tensor(2.5, dtype=gradcore.float64),
        "none": gradcore.ones(0, 2), "turned": gradcore.randn(3, 4).t(), "half": gradcore.randn(3).half(),
        "part": gradcore.arange(10, dtype=gradcore.int16)[1::3], "wide": gradcore.ones(2, 1).expand(2, 3),
    }  # fmt: skip
    for name in ("bool", "uint8", "int8", "int32", "uint16", "uint64"):
        made[name] = gradcore.tensor([[0, 1], [1, 0]], dtype=getattr(gradcore, name))
    return made


def round_trip(x: Any, format: str) -> Any:
    file = io.BytesIO()
    gradcore.save(x, file, format=format)
    file.seek(0)
    return gradcore.load(file)


def assert_same(x: Any, y: Any) -> None:
    assert x.dtype is y.dtype
    assert x.shape == y.shape
    assert x.tolist() == y.tolist()


@pytest.mark.parametrize("format", FORMATS)
def test_a_dictionary_of_tensors_comes_back(format: str, tmp_path: Path) -> None:
    before = tensors()
    gradcore.save(before, tmp_path / f"x.{format}")
    after = gradcore.load(str(tmp_path / f"x.{format}"))
    assert list(after) == list(before) or (format == "safetensors" and set(after) == set(before))
    for name, x in before.items():
        assert_same(after[name], x)
    after["a"].zero_()  # its own memory, that can be written
    assert before["a"].any()


@pytest.mark.parametrize("format", FORMATS)
def test_what_stands_around_tensors_comes_back(format: str) -> None:
    w = gradcore.ones(2, requires_grad=True)
    before = {
        "list": [1, 2.5, None, True, "é", (w, -1j)], 3: {"c": gradcore.tensor([1 + 2j, 3]), (1.5): float("inf")},
        "dtype": gradcore.float16, "device": gradcore.device("cpu"), "": gradcore.tensor(1j, dtype=gradcore.complex128),
        "a.b": gradcore.zeros(1), "a": {"b": gradcore.ones(1)}, "__metadata__": gradcore.ones(2),
    }  # fmt: skip
    after = round_trip(before, format)
    assert list(after) == list(before)
    assert after["list"][:5] == before["list"][:5]
    assert isinstance(after["list"][5], tuple)
    assert after["list"][5][0].requires_grad
    assert after["list"][5][1] == -1j
    assert after["dtype"] is gradcore.float16
    assert after["device"] == gradcore.device("cpu")
    assert after[3][1.5] == float("inf")
    for x, y in [(after[3]["c"], before[3]["c"]), (after[""], before[""]), (after["a.b"], before["a.b"]),
                 (after["a"]["b"], before["a"]["b"]), (after["__metadata__"], before["__metadata__"])]:  # fmt: skip
        assert_same(x, y)
    assert_same(round_trip(gradcore.arange(3), format), gradcore.arange(3))
    assert round_trip({}, format) == {}
    assert round_trip([], format) == []


@pytest.mark.parametrize("format", FORMATS)
def test_bfloat16_comes_back(format: str) -> None:
    pytest.importorskip("ml_dtypes")
    x = gradcore.tensor([1.5, -2.0]).bfloat16()
    for back in (round_trip({"x": x}, format)["x"], round_trip(x, format)):
        assert_same(back, x)


@pytest.mark.parametrize("format", FORMATS)
def test_training_goes_on_from_a_file(format: str) -> None:
    def start() -> tuple[Any, Any, Any]:
        gradcore.manual_seed(1)
        net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))
        optimizer = optim.Adam(net.parameters(), lr=0.05)
        return net, optimizer, optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])

    def train(net: Any, optimizer: Any, schedule: Any, steps: int) -> float:
        x = gradcore.linspace(-1, 1, 24).reshape(8, 3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = ((net(x) - x.sum(1, keepdim=True).sin()) ** 2).mean()
            loss.backward()
            optimizer.step()
            schedule.step()
        return loss.item()

    whole = train(*start(), 6)
    first = start()
    train(*first, 3)
    saved = round_trip([each.state_dict() for each in first], format)
    second = start()
    for each, state in zip(second, saved, strict=True):
        each.load_state_dict(state)
    assert train(*second, 3) == whole


# -- other programs ---------------------------------------------------------------------------------------------------


def test_numpy_reads_and_writes_what_we_do(tmp_path: Path) -> None:
    gradcore.save(tensors(), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        assert archive.files == list(tensors())
        for name, x in tensors().items():
            np.testing.assert_array_equal(archive[name], x.numpy())
    columns = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    arrays = {"columns": columns, "big": np.arange(3, dtype=">i4"), "s": np.float32(2)}
    np.savez_compressed(tmp_path / "y.npz", **arrays)
    loaded = gradcore.load(tmp_path / "y.npz")
    for name, x in arrays.items():
        np.testing.assert_array_equal(loaded[name].numpy(), x)
    assert (loaded["big"] + 1).tolist() == [1, 2, 3]


def test_safetensors_are_as_their_specification_says(tmp_path: Path) -> None:
    gradcore.save({"a": gradcore.tensor([[1, 2]], dtype=gradcore.int16), "b": gradcore.tensor(0.5)}, tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header == {
        "b": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
        "a": {"dtype": "I16", "shape": [1, 2], "data_offsets": [4, 8]},
    }
    assert data[8 + length :] == struct.pack("<fhh", 0.5, 1, 2)


def test_the_safetensors_package_reads_and_writes_what_we_do(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.numpy")
    gradcore.save(tensors(), tmp_path / "x.safetensors")
    loaded = package.load_file(tmp_path / "x.safetensors")
    for name, x in tensors().items():
        np.testing.assert_array_equal(loaded[name], x.numpy())
    package.save_file(loaded, tmp_path / "y.safetensors", metadata={"format": "np"})
    for name, x in gradcore.load(tmp_path / "y.safetensors").items():
        assert_same(x, tensors()[name])


# -- what is refused --------------------------------------------------------------------------------------------------


class Trap:
    """Unpickled, it would be noticed."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was run",)


def test_pickles_are_refused_and_never_run(tmp_path: Path) -> None:
    for protocol in range(6):
        with pytest.raises((pickle.UnpicklingError, RuntimeError)):
            gradcore.load(io.BytesIO(pickle.dumps({"a": Trap()}, protocol)))
    with pytest.raises(pickle.UnpicklingError, match="never runs"):
        gradcore.load(io.BytesIO(pickle.dumps({"a": Trap()}, 2)), weights_only=False)
    with zipfile.ZipFile(tmp_path / "torch.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap()))
    np.savez(tmp_path / "objects.npz", a=np.array([Trap()], dtype=object))
    for name in ("torch.pt", "objects.npz"):
        with pytest.raises(pickle.UnpicklingError, match="never runs"):
            gradcore.load(tmp_path / name)


def broken() -> dict[str, bytes]:
    file = io.BytesIO()
    gradcore.save({"a": gradcore.ones(4), "b": gradcore.zeros(2, 2)}, file)
    good = file.getvalue()
    (length,) = struct.unpack("<Q", good[:8])

    def headed(header: bytes) -> bytes:
        return struct.pack("<Q", len(header)) + header + good[8 + length :]

    entry = b'{"a":{"dtype":"%s","shape":[%s],"data_offsets":[%s]}}'
    npz = io.BytesIO()
    gradcore.save({"a": gradcore.ones(4)}, npz, format="npz")
    return {
        "nothing": b"", "short": b"abc", "text": b"hello, this is no file of tensors", "cut off": good[:-1],
        "long header": struct.pack("<Q", 2**60) + good[8:], "no JSON": headed(b"{" + b"x" * 20), "a list": headed(b"{}[]"),
        "no such dtype": headed(entry % (b"F8_E4M3", b"4", b"0,4")), "too long": headed(entry % (b"F32", b"99", b"0,396")),
        "negative": headed(entry % (b"F32", b"-2,-2", b"0,16")), "too early": headed(entry % (b"F32", b"4", b"-16,0")),
        "no numbers": headed(entry % (b"F32", b'"x"', b"0,16")), "npz cut off": npz.getvalue()[:-30],
        "unknown tree": headed(b'{"__metadata__":{"gradcore":"{\\"what\\":1}"}}'),
    }  # fmt: skip


@pytest.mark.parametrize("name", broken())
def test_damaged_files_are_refused(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"load: |seek|Bad"):
        gradcore.load(io.BytesIO(broken()[name]))


@pytest.mark.parametrize(
    ("x", "match"),
    [(object(), "object at the top"), ({"a": [1, {2}]}, r"set at a\.1"), ({"a": {b"k": 1}}, "a key at a is a bytes"),
     (lambda: 1, "function at the top")],
)  # fmt: skip
def test_what_cannot_be_loaded_is_not_saved(x: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=match):
        gradcore.save(x, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_formats_and_places() -> None:
    with pytest.raises(ValueError, match="format must be one of"):
        gradcore.save({}, io.BytesIO(), format="pickle")
    file = io.BytesIO()
    gradcore.save({"x": gradcore.ones(2)}, file)

    def loaded(where: Any) -> Any:
        file.seek(0)
        return gradcore.load(file, map_location=where)["x"]

    for where in ("cpu", gradcore.device("cpu"), {"cpu": "cpu"}, {"cuda:0": "cpu"}, lambda x, _: x, lambda x, _: None):
        assert loaded(where).tolist() == [1, 1]
    assert loaded(lambda x, place: x * 2 if place == "cpu" else x).tolist() == [2, 2]
    for wrong in (3.5, [1], {"cpu": 3.5}, lambda x, place: 3):
        with pytest.raises(TypeError, match="map_location"):
            loaded(wrong)


def test_functions_and_dicts_place_what_is_loaded(strict_cuda: Any) -> None:
    for where in (0, {"cpu": "cuda:0"}, lambda x, _: x.cuda(0)):
        file = io.BytesIO()
        gradcore.save({"x": gradcore.ones(2)}, file)
        file.seek(0)
        assert str(gradcore.load(file, map_location=where)["x"].device) == "cuda:0"
