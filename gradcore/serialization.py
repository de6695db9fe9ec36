"""Files of tensors: `save` and `load`, as safetensors or npz. It must not know modules, and it never runs a pickle.

A dictionary of tensors by name is a plain file of that format, for any program that reads it. Whatever else was saved
(nested dicts, lists, numbers, the state of an optimizer) is described in JSON beside the tensors, in the header's metadata
or in a member of its own, so that `load` can put it together again.
"""

from __future__ import annotations

import ast
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from math import prod
from operator import index
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

from gradcore import devices, dtypes
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.recorder.value import wrap
from gradcore.tensor import Tensor

__all__ = ["load", "save"]

File = str | Path | IO[bytes]
_TREE, _METADATA = "gradcore", "__metadata__"
_LONGEST_HEADER = 100_000_000

# https://huggingface.co/docs/safetensors: an 8-byte length, a JSON header, and the arrays' bytes. It has no complex numbers
# of 16 bytes: all complex arrays are stored as real ones with a last dimension of 2.
_CODES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip
_CODE_OF = {name: code for code, name in _CODES.items()}


def save(obj: Any, f: File, *, format: str | None = None) -> None:
    """Write tensors, and dicts, lists, tuples, numbers and strings around them, to a path or a binary file.

    `format` is "safetensors" or "npz", by default what the name ends in, or safetensors. Raises TypeError for objects that
    cannot be saved, before anything is written.
    """
    if not (hasattr(f, "write") or isinstance(f, (str, PathLike))):
        raise AttributeError(f"save: expected 'f' to be a path or a file with a 'write' attribute, but got {f!r}")
    name = "" if hasattr(f, "write") else str(f)
    format = format or ("npz" if name.endswith(".npz") else "safetensors")
    if format not in _WRITERS:
        raise ValueError(f"save: format must be one of {sorted(_WRITERS)}, but got {format!r}")
    tensors: dict[str, Any] = {}
    tree = _described(obj, "", tensors, format)
    plain = isinstance(obj, Mapping) and all(_is_plain(key, node) for key, node in tree.get("dict", [[0, {}]]))
    made = BytesIO()
    _WRITERS[format](made, tensors, None if plain and isinstance(obj, Mapping) else json.dumps(tree))
    with _opened(f, "wb") as file:
        file.write(made.getbuffer())


def load(f: File, map_location: Any = None, *, weights_only: bool = True, mmap: bool | None = None) -> Any:
    """Read what `save`, or another program that writes safetensors or npz, has written; tensors go to `map_location`.

    This is a device; or, since files say of no tensor where it was, what a dict has for "cpu", or what a function makes of
    a tensor and "cpu" (None leaves it there). Never runs code from the file, whatever `weights_only` says: raises
    UnpicklingError for pickles, RuntimeError for what is neither format or is damaged.
    """
    where = map_location.get("cpu") if isinstance(map_location, Mapping) else map_location
    if not (where is None or isinstance(where, (str, int, devices.device)) or callable(where)):
        raise TypeError(f"load: map_location must be a device, a dict of devices or a function, but got {where!r}")
    with _opened(f, "rb") as file:
        data = file.read()
    _refuse_pickles(data)
    arrays, tree = (_read_npz if data[:2] == b"PK" else _read_safetensors)(data)
    tensors = {name: _placed(wrap(array), where) for name, array in arrays.items()}
    return tensors if tree is None else _restored(json.loads(tree), tensors)


@contextmanager
def _opened(f: File, mode: str) -> Iterator[IO[bytes]]:
    if hasattr(f, "read" if mode == "rb" else "write"):
        yield f  # type: ignore[misc]
    else:
        with open(f, mode) as file:  # type: ignore[arg-type]
            yield file


def _placed(tensor: Any, where: Any) -> Any:
    if not callable(where):
        return tensor if where is None else tensor.to(where)
    placed = where(tensor, "cpu")
    if not isinstance(placed, Tensor | None):
        raise TypeError(f"load: map_location must return a tensor or None, but returned {placed!r}")
    return tensor if placed is None else placed


def _refuse_pickles(data: bytes) -> None:
    """Raise UnpicklingError for a pickle, and for a zip archive with one in it, as torch.save writes."""
    pickled = data[:1] == b"\x80" and data[1:2] <= b"\x05" and data[8:9] != b"{"
    if data[:2] == b"PK":
        with _archive(data) as archive:
            pickled = any(name.endswith(".pkl") for name in archive.namelist())
    if pickled:
        raise UnpicklingError(
            "load: this file is a pickle (torch.save writes such files), and gradcore never runs one, since it can execute "
            "any code. Where you trust it, load it with torch and save its state_dict with safetensors.torch.save_file."
        )


# -- what stands around the tensors -----------------------------------------------------------------------------------


def _is_plain(key: Any, node: dict[str, Any]) -> bool:
    """Whether an entry of a dictionary needs no description: a tensor under its own name."""
    return node == {"tensor": key}


def _described(obj: Any, path: str, tensors: dict[str, Any], format: str) -> dict[str, Any]:
    """What `obj` is, in JSON's types; its arrays are put into `tensors`."""
    if isinstance(obj, Tensor):
        return _kept(obj, path, tensors, format)
    if isinstance(obj, (dtypes.dtype, devices.device)):
        return {type(obj).__name__: obj.name if isinstance(obj, dtypes.dtype) else str(obj)}
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return {"value": obj}
    if isinstance(obj, complex):
        return {"complex": [obj.real, obj.imag]}
    if isinstance(obj, Mapping):
        for key in obj:
            if not (key is None or isinstance(key, (bool, int, float, str))):
                raise TypeError(f"save: a key at {path or 'the top'} is a {type(key).__name__}, not a string or a number")
        return {"dict": [[key, _described(each, _below(path, key), tensors, format)] for key, each in obj.items()]}
    if isinstance(obj, (list, tuple)):
        parts = [_described(each, _below(path, i), tensors, format) for i, each in enumerate(obj)]
        return {"list" if isinstance(obj, list) else "tuple": parts}
    raise TypeError(
        f"save: cannot save the {type(obj).__name__} at {path or 'the top'}: only tensors, numbers, strings, None, and "
        "dicts, lists and tuples of them can be loaded without running code"
    )


def _below(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _kept(tensor: Tensor, path: str, tensors: dict[str, Any], format: str) -> dict[str, Any]:
    array = of(tensor._array).to_host(tensor._array)
    name, n = path or "tensor", 1
    while name in tensors or name == _METADATA:
        name, n = f"{path}#{n + 1}", n + 1
    node: dict[str, Any] = {"tensor": name}
    dtype = dtypes.of(array.dtype)
    if dtype.is_complex and format == "safetensors":
        node["dtype"] = dtype.name
        array = host.ascontiguousarray(array).reshape((*array.shape, 1)).view(array.real.dtype)
    elif dtype is dtypes.bfloat16 and format == "npz":
        node["dtype"] = dtype.name
        array = host.ascontiguousarray(array).reshape(array.shape).view("uint16")
    if tensor.requires_grad:
        node["requires_grad"] = True
    tensors[name] = array
    return node


def _restored(node: dict[str, Any], tensors: dict[str, Any]) -> Any:
    """The object that a description is of."""
    kind = next((kind for kind in _RESTORERS if kind in node), None)
    if kind is None:
        raise RuntimeError(f"load: the file describes something unknown: {sorted(node)}")
    return _RESTORERS[kind](node, tensors)


def _tensor(node: dict[str, Any], tensors: dict[str, Any]) -> Any:
    tensor = tensors[node["tensor"]]
    if "dtype" in node:
        array = of(tensor._array).ascontiguousarray(tensor._array)
        dtype = getattr(dtypes, node["dtype"])
        array = array.view(dtype.numpy)
        tensor = wrap(array.reshape(array.shape[:-1]) if dtype.is_complex else array.reshape(tensor._array.shape))
    return tensor.requires_grad_() if node.get("requires_grad") else tensor


_RESTORERS: dict[str, Any] = {
    "tensor": _tensor,
    "value": lambda node, tensors: node["value"],
    "complex": lambda node, tensors: complex(*node["complex"]),
    "dict": lambda node, tensors: {key: _restored(value, tensors) for key, value in node["dict"]},
    "list": lambda node, tensors: [_restored(value, tensors) for value in node["list"]],
    "tuple": lambda node, tensors: tuple(_restored(value, tensors) for value in node["tuple"]),
    "dtype": lambda node, tensors: getattr(dtypes, node["dtype"]),
    "device": lambda node, tensors: devices.device(node["device"]),
}


# -- safetensors ------------------------------------------------------------------------------------------------------


def _write_safetensors(file: IO[bytes], tensors: dict[str, Any], tree: str | None) -> None:
    header: dict[str, Any] = {} if tree is None else {_METADATA: {_TREE: tree}}
    parts, end = [], 0
    # The widest first, as the format's own writer does, so that every array begins where its dtype wants it.
    for name, array in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        parts.append(array.tobytes())
        start, end = end, end + len(parts[-1])
        code = _CODE_OF[dtypes.of(array.dtype).name]
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for part in parts:
        file.write(part)


def _read_safetensors(data: bytes) -> tuple[dict[str, Any], str | None]:
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= length <= min(_LONGEST_HEADER, len(data) - 8) or data[8:9] != b"{":
        raise RuntimeError("load: this is no safetensors file and no npz archive, or its beginning is damaged")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = header.pop(_METADATA, {})
        entries = {
            name: (e["dtype"], tuple(map(index, e["shape"])), *map(index, e["data_offsets"])) for name, e in header.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RuntimeError(f"load: the header of this safetensors file is damaged: {error!r}") from error
    arrays = {}
    for name, (code, shape, start, end) in entries.items():
        if code not in _CODES:
            raise RuntimeError(f"load: tensor {name!r} is of dtype {code}, which gradcore does not have")
        dtype = getattr(dtypes, _CODES[code]).numpy
        count = prod(shape)
        size = len(data) - 8 - length
        if min(shape, default=0) < 0 or not 0 <= start <= end <= size or end - start != count * dtype.itemsize:
            raise RuntimeError(
                f"load: tensor {name!r}, {code} of shape {list(shape)}, does not fit its place in the file, bytes {start} "
                f"to {end} of {size}: the file is damaged or cut off"
            )
        flat = host.frombuffer(data, dtype, count, 8 + length + start) if count else host.zeros(0, dtype)
        arrays[name] = flat.reshape(shape).copy()
    return arrays, metadata.get(_TREE)


# -- npz --------------------------------------------------------------------------------------------------------------


@contextmanager
def _archive(data: bytes) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise RuntimeError(f"load: this npz archive is damaged: {error}") from error


def _write_npz(file: IO[bytes], tensors: dict[str, Any], tree: str | None) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in tensors.items():
            head = repr({"descr": array.dtype.str, "fortran_order": False, "shape": tuple(array.shape)})
            head += " " * (-(10 + len(head) + 1) % 64) + "\n"
            start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()
            archive.writestr(f"{name}.npy", start + array.tobytes())
        if tree is not None:
            archive.writestr(f"{_TREE}.json", tree)


def _read_npz(data: bytes) -> tuple[dict[str, Any], str | None]:
    with _archive(data) as archive:
        names = archive.namelist()
        arrays = {name[:-4]: _read_npy(name[:-4], archive.read(name)) for name in names if name.endswith(".npy")}
        tree = archive.read(f"{_TREE}.json").decode() if f"{_TREE}.json" in names else None
    return arrays, tree


def _read_npy(name: str, data: bytes) -> Any:
    """An array in NumPy's file format, versions 1 to 3."""
    try:
        if data[:6] != b"\x93NUMPY":
            raise ValueError("it does not begin as one")
        size, start = ("<H", 10) if data[6] == 1 else ("<I", 12)
        end = start + struct.unpack(size, data[8:start])[0]
        head = ast.literal_eval(data[start:end].decode("utf-8"))
        descr, shape, columns = head["descr"], tuple(head["shape"]), head["fortran_order"]
        if not isinstance(descr, str) or descr[1:2] not in tuple("biufc?"):
            raise UnpicklingError(
                f"load: array {name!r} holds {descr}, not numbers. Arrays of objects are pickles, which gradcore never runs"
            )
        array = host.frombuffer(data, descr, prod(shape), end) if prod(shape) else host.zeros(0, descr)
    except (ValueError, KeyError, SyntaxError, IndexError, struct.error) as error:
        raise RuntimeError(f"load: array {name!r} is damaged: {error}") from error
    array = array.reshape(shape[::-1]).T if columns else array.reshape(shape)
    return array.astype(array.dtype.newbyteorder("=")).copy("C")


_WRITERS: dict[str, Any] = {"safetensors": _write_safetensors, "npz": _write_npz}
