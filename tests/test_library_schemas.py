"""Schemas of operators: what is inferred of annotations, read of text, and taken as arguments, beside torch's."""

# No annotations as strings here: infer_schema would not find the names of functions' variables.
import collections.abc
import math
from collections.abc import Callable
from typing import Any, List, Optional, Sequence, Tuple, Union  # noqa: UP035

import numpy as np
import pytest

import gradcore
from gradcore.library.reading import parse
from tests.operators_beside import check, fresh, text_of
from tests.twin import attempt

torch = pytest.importorskip("torch")

SCHEMAS = [
    "f(float a=1e-5, float b=1, int d=3, bool e=True, str s='a', str r=\"b\", Scalar t=1.5, Scalar u=2) -> ()",
    "f(ScalarType? v=None, Device? w=None, int[] x=[1, 2], int[2] y=1, int[2] z=[1,2], float[] a=[1.0,2.5]) -> ()",
    "f(Tensor(a!) self, *, Tensor(b!)[] out) -> Tensor(a!)",
    "f.overload(Tensor(a) self) -> Tensor(a)",
    "f(Tensor x) -> (Tensor a, Tensor b)",
    "f(Tensor x) -> Tensor[]",
    "f(Tensor x) -> (Tensor)",
    "f() -> ((Tensor))",
    "f(Tensor   x,Tensor? y = None)->Tensor",
    "f(Tensor(a -> *) x) -> Tensor(a)[]",
    "f(Tensor x, *) -> Tensor?",
    "f(float[2]? x=None, bool? b=None, int[3] q=0)->SymInt",
    "f(bool b=1, float e=-1e-3, int i=-3) -> ()",
    "f(Tensor[]? x, Tensor[2] y, Tensor?[] z) -> ()",
    "aten::f(Tensor x) -> ()",
    "f(Tensor x",
    "f(Tensor x)",
    "f",
    "f(Tensor x) -> Tensor, Tensor",
    "f(Tensor 3x) -> Tensor",
    "f(Tensor x) -> Foo",
    "f(int[] x=[1,) -> ()",
    "f(Tensor x,, int y) -> ()",
    "f(Tensor x int y) -> ()",
    "f(Tensor x; int y) -> ()",
    "f(bool b=true) -> ()",
]


@pytest.mark.parametrize("text", SCHEMAS)
def test_schemas_are_read_and_written_as_in_torch(text: str) -> None:
    try:
        expected = str(torch._C.parse_schema(text))
    except RuntimeError as error:
        said = " ".join(str(error).split()).partition(";")[0].replace(":", " ").split()[:5]
        with pytest.raises(RuntimeError) as ours:
            parse(text)
        assert " ".join(str(ours.value).split()).replace(":", " ").split()[:5] == said
    else:
        assert str(parse(text)) == expected
        assert parse(expected) == parse(text)


FUNCTIONS = """
def f(x: Tensor, a: int, b: float = 1e-5, c: bool = False, d: str = "q", *, h: Optional[Tensor] = None) -> Tensor: ...
def f(e: Number = 3, f: dtype = float32, g: device = device("cpu"), *, i: List[int] = None) -> Tuple[Tensor, int]: ...
def f(x: Tensor | None, y: int | None, z: list[Tensor], w: Optional[List[float]]) -> List[Tensor]: ...
def f(v: "Tensor", u: "list[Tensor]", s: collections.abc.Sequence[bool], j: Sequence[Optional[Tensor]]) -> None: ...
def f(x: Tensor) -> Tuple[Tensor]: ...
def f(x: Tensor) -> tuple[Tensor, float, bool, Number]: ...
def f(x: Tensor) -> "Tensor": ...
def f() -> Tensor: ...
def f(x: Tensor, /) -> Tensor: ...
def f(*x: Tensor) -> Tensor: ...
def f(x) -> Tensor: ...
def f(x: Tensor): ...
def f(x: dict) -> Tensor: ...
def f(x: Tuple[int, int]) -> Tensor: ...
def f(x: tuple[int, ...]) -> Tensor: ...
def f(x: tuple[dict, int]) -> Tensor: ...
def f(x: tuple) -> Tensor: ...
def f(x: complex) -> Tensor: ...
def f(x: List[List[int]]) -> Tensor: ...
def f(x: Tensor) -> dict: ...
def f(x: Tensor) -> Tuple[Tensor, dict]: ...
def f(x: Tensor) -> Optional[Tensor]: ...
def f(x: "Tensr") -> Tensor: ...
def f(x: "Tensor | ") -> Tensor: ...
def f(x: int = (1,)) -> Tensor: ...
"""


def outcome(f: Callable[[], str]) -> str:
    """What `infer_schema` returns or says, with torch's names of types."""
    try:
        return f()
    except (ValueError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"


def inferred(lib: Any, source: str, **more: Any) -> str:
    types = {name: getattr(lib, name) for name in ("Tensor", "dtype", "device", "float32")}
    typing = {"List": List, "Optional": Optional, "Sequence": Sequence, "Tuple": Tuple, "collections": collections}  # noqa: UP006
    space = {**types, **typing, "Number": Union[int, float, bool]}  # noqa: UP007
    exec(source, space)
    text = outcome(lambda: lib.library.infer_schema(space["f"], **more))
    own = "torch.distributed.distributed_c10d.GroupName"  # which gradcore has not
    text = text.replace(f", {own}, typing.Optional[{own}]", "")
    return text.replace("gradcore.tensor.", "torch.").replace("gradcore.", "torch.")


@pytest.mark.parametrize("source", FUNCTIONS.strip().splitlines())
def test_schemas_are_inferred_as_in_torch(source: str) -> None:
    assert inferred(gradcore, source, mutates_args=()) == inferred(torch, source, mutates_args=())
    assert inferred(gradcore, source, mutates_args="unknown") == inferred(torch, source, mutates_args="unknown")


def shown(names: Any) -> str:
    return f"{type(names).__name__} of {' '.join(sorted(names))}"  # a set has its own order in each process


@pytest.mark.parametrize("names", [("x",), ("y",), ("z", "x"), ("w",), "x", {"x", "z"}], ids=shown)
def test_written_arguments_are_inferred_as_in_torch(names: Any) -> None:
    source = "def f(x: Tensor, y: int, z: List[Optional[Tensor]] = None) -> Tensor: ..."
    assert inferred(gradcore, source, mutates_args=names) == inferred(torch, source, mutates_args=names)
    assert inferred(gradcore, source, mutates_args=names, op_name="g") == inferred(
        torch, source, mutates_args=names, op_name="g"
    )


def test_tags_are_refused() -> None:
    def f(x: gradcore.Tensor) -> gradcore.Tensor:
        return x

    for call in (gradcore.library.infer_schema, lambda f, **more: gradcore.library.custom_op(f"{fresh()}::f", f, **more)):
        with pytest.raises(NotImplementedError, match="there are no tags"):
            call(f, mutates_args=(), tags=("inplace",))


VALUES = {
    "SymInt x": "True 1.5 np.int64(3) lib.tensor(3) lib.ones(2) 'a' None".split(),
    "float x": "3 True np.float32(2) lib.tensor(2.5) lib.ones(2) 1j 'a' None math.inf".split(),
    "bool x": "1 0 None 'x' lib.tensor(True) np.bool_(True) [] 1.5".split(),
    "str x": "'a' b'a' 1 None".split(),
    "Scalar x": "1.5 True 1j 'a' lib.tensor(2.0) np.float64(2) None".split(),
    "ScalarType x": "lib.float32 'float32' np.float32".split(),
    "Device x": "'cpu' lib.device('cpu') 0".split(),
    "Tensor x": "lib.ones(2) None 1 [1.0] np.ones(2)".split(),
    "Tensor[] x": "() [lib.ones(2)] lib.ones(2) [1] None".split(),
    "Tensor?[] x": "[None] [lib.ones(1),None] None".split(),
    "int[] x": "[1,2] (1,2) np.array([1,2]) range(3) lib.ones(2).shape [1.0] 'ab' lib.tensor([1,2]) 3".split(),
    "int[2] x": "3 [1,2,3] (1,) None".split(),
    "int[2] x=1": ["", "2"],
    "int[]? x": "None [1] 3".split(),
    "float[] x": "[1,2.5] 2.0".split(),
    "bool[] x": "[1,0]".split(),
    "Scalar[] x": "[1,2.5]".split(),
    "float x=3": ["", "2", "3.0"],
    "Device? x=None": ["", "'cpu'"],
}


@pytest.mark.parametrize("argument", VALUES)
def test_arguments_are_taken_as_in_torch(argument: str) -> None:
    def taken(lib: Any) -> Any:
        library, got = lib.library.Library(fresh(), "FRAGMENT"), []
        library.define(f"foo({argument}) -> ()")
        library.impl("foo", lambda *args: got.extend(args), "CompositeExplicitAutograd")
        op = getattr(lib.ops, library.ns).foo

        def call(text: str) -> Any:
            got.clear()
            values = eval(f"({text}{',' if text else ''})", {"lib": lib, "np": np, "math": math})
            op(*values)
            shown = [str(each) if isinstance(each, (lib.dtype, lib.device)) else each for each in got]
            return shown, [type(each).__name__ for each in got]

        return [attempt(lambda text=text: call(text)) for text in VALUES[argument]]

    check(taken, torch)


def test_messages_about_arguments_are_torchs() -> None:
    def said(lib: Any) -> list[str]:
        library = lib.library.Library(fresh(), "FRAGMENT")
        library.define("foo(Tensor x, int[] dims, *, float? eps=None) -> Tensor")
        op = getattr(lib.ops, library.ns).foo
        x = lib.ones(2)
        calls = [
            lambda: op(),
            lambda: op(x),
            lambda: op(x, [1], 2.0),
            lambda: op(x, [1], 2.0, 3.0),
            lambda: op(x, [1], eps="a"),
            lambda: op(1, [1]),
            lambda: op(x, 1),
            lambda: op(x, [1], other=1),
        ]
        return [text_of(each).partition("\nCast error details")[0] for each in calls]

    check(said, torch)
