"""Where a graph was cut: what `note_cuts` and the error of a backward pass say. It must not need torch."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import autograd
from gradcore.autograd import profiler
from gradcore.graph import modes


def leaf(*shape: int) -> Any:
    return gradcore.ones(shape or (3,)).requires_grad_()


def said(t: Any) -> str:
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn: ") as caught:
        t.backward(gradcore.ones_like(t))
    return str(caught.value)


def in_no_grad(w: Any) -> Any:
    with gradcore.no_grad():
        return w.exp()


def in_inference_mode(w: Any) -> Any:
    with gradcore.inference_mode():
        return w.exp() * 2


# Each: what is done to a leaf, and what is said of it; each is one line, which is named.
CUTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "detach": (lambda w: (w * 2).detach() + 1, ".detach() of what MulBackward0 made"),
    "detach of a leaf": (lambda w: w.detach().exp().sin(), ".detach() of a leaf of shape [3]"),
    "data": (lambda w: w.data * 2, ".data of a leaf of shape [3]"),
    "item": (lambda w: gradcore.tensor(w.sum().item()) * 2, ".item() took values out of the graph"),
    "float": (lambda w: gradcore.ones(2) * float(w.sum()), "float() took values out of the graph"),
    "tolist": (lambda w: gradcore.tensor(w.tolist()) + 1, ".tolist() took values out of the graph"),
    "comparison": (lambda w: (w > 0).float(), "greater gives torch.bool, which has no derivative"),
    "conversion": (lambda w: w.long().float() + 1, ".detach(), which an operation calls, of a leaf of shape [3]"),
    "rounding to bool": (lambda w: w.logical_not().float() + 1, "logical_not gives torch.bool"),
    "several outputs": (lambda w: w.max(0)[1].float(), "gives torch.int64, which has no derivative"),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.parametrize("name", CUTS)
def test_a_cut_is_named_with_its_line(name: str) -> None:
    cut, told = CUTS[name]
    with autograd.note_cuts():
        result = cut(leaf())
    where = f"{__file__}:{inspect.getsourcelines(cut)[1]}"
    for text in (said(result), result.why_no_grad()):
        assert "its history ends here:" in text
        assert told in text
        assert where in text


@pytest.mark.parametrize("cut", [in_no_grad, in_inference_mode])
def test_modes_that_record_nothing_are_named(cut: Callable[[Any], Any]) -> None:
    with autograd.note_cuts():
        text = said(cut(leaf()))
    assert f"exp was computed in no_grad or inference mode ({__file__}:{inspect.getsourcelines(cut)[1] + 2})" in text


def test_all_cuts_are_listed_once_and_nothing_else() -> None:
    w, constant = leaf(), gradcore.ones(3)
    with autograd.note_cuts():
        apart = w.detach()
        result = apart * apart + in_no_grad(w) * constant + (apart + 1)
        tracked = w * 2
    lines = result.why_no_grad().splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("  .detach() of a leaf of shape [3] (")
    assert lines[2].startswith("  exp was computed in no_grad")
    assert lines[3] == "  a tensor of shape [3] that was made without requires_grad=True"
    assert tracked.why_no_grad() == "it requires grad: MulBackward0 made it"
    assert w.why_no_grad() == "it requires grad: it is a leaf"


def test_without_notes_there_is_a_hint() -> None:
    assert "autograd.note_cuts()" in said(gradcore.ones(2))
    assert "torch.int64 has no derivative" in said(gradcore.arange(3))


def test_a_long_history_is_no_matter_and_is_freed() -> None:
    with autograd.note_cuts():
        x = leaf().detach()
        for _ in range(3000):
            x = x + 1
    assert x.why_no_grad().count("\n") == 1


def test_what_is_computed_is_the_same_and_nothing_is_left_behind() -> None:
    originals = [vars(gradcore.Tensor)[name] for name in ("detach", "data", "item")]
    w = leaf()
    with autograd.note_cuts():
        assert w.data.tolist() == [1, 1, 1]
        assert (w * 2).sum().item() == 6
        w.data = gradcore.zeros(3)
        assert np.asarray(w.detach()).tolist() == [0, 0, 0]
    with pytest.raises(IndexError), autograd.note_cuts():
        w[3]
    assert [vars(gradcore.Tensor)[name] for name in ("detach", "data", "item")] == originals
    assert not modes.unusual
    assert not modes.watchers
    (w.exp() * w).sum().backward()
    assert w.grad.tolist() == [1, 1, 1]


def test_notes_are_of_one_thread_and_refuse_a_second_watcher() -> None:
    inside, after = threading.Event(), threading.Event()
    found = []

    def other() -> None:
        inside.wait(10)
        found.append(leaf().detach().why_no_grad())
        with autograd.note_cuts():
            found.append((leaf() * 2).detach().why_no_grad())
        after.set()

    thread = threading.Thread(target=other)
    thread.start()
    with autograd.note_cuts():
        inside.set()
        after.wait(10)
        mine = leaf().detach().why_no_grad()
        with pytest.raises(RuntimeError, match="watched already"), autograd.note_cuts():
            pass
    thread.join()
    assert "to be told on which line" in found[0]
    assert "MulBackward0" in found[1]
    assert "a leaf of shape [3]" in mine
    with profiler.profile(), pytest.raises(RuntimeError, match="watched already"), autograd.note_cuts():
        pass
