"""The tape over plain Python floats: order, fan-in, narrowing, freeing, hooks. It must not import an array library."""

from __future__ import annotations

import gc
import math
import random
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from gradcore import graph
from gradcore.graph import FREED, Leaf, Node, Output, recorded
from gradcore.graph import versions as writes


class Scale:
    """A step that multiplies the cotangent by one factor for each target."""

    name = "ScaleBackward0"

    def __init__(
        self,
        *factors: float,
        keep: tuple[bool, ...] | None = None,
        log: list[Any] | None = None,
        frees: bool = False,
    ) -> None:
        self.frees = frees
        self.factors = factors
        self.keep = keep or (True,) * len(factors)
        self.needs = (True,) * len(factors)
        self.log = log if log is not None else []

    def pull(self, g: Any, saved: Any) -> tuple[Any, ...]:
        self.log.append(g)
        return tuple(f * g if kept else None for f, kept in zip(self.factors, self.keep, strict=True))

    def traced(self, node: Node, g: Any) -> tuple[Any, ...]:
        return self.pull(g, node.saved)

    def narrowed(self, wanted: tuple[bool, ...]) -> Scale:
        return Scale(*self.factors, keep=wanted, log=self.log, frees=self.frees)

    def check(self, node: Node, traced: bool) -> None:
        raise RuntimeError("overwritten")


def node(*edges: tuple[Any, float], saved: Any = ()) -> Node:
    """A node that pulls back to each target with its factor."""
    return recorded(Scale(*(f for _, f in edges), frees=bool(saved)), tuple(t for t, _ in edges), saved)


def sweep(roots: list[tuple[Any, Any]], *options: Any, **more: Any) -> Any:
    """The sweep from pairs of target and cotangent."""
    return graph.sweep([target for target, _ in roots], [g for _, g in roots], *options, **more)


def test_a_chain_multiplies() -> None:
    x = Leaf()
    y = node((x, 3.0))
    landed, _ = sweep([(node((y, 5.0)), 2.0)])
    assert landed == {x: 30.0}


def test_fan_in_adds_before_going_on() -> None:
    x = Leaf()
    shared = node((x, 2.0))
    top = node((node((shared, 3.0)), 1.0), (node((shared, 4.0)), 1.0), (shared, 5.0))
    landed, _ = sweep([(top, 1.0)])
    assert landed == {x: 2.0 * (3 + 4 + 5)}
    assert shared.step.log == [12.0]  # type: ignore[attr-defined]  # pulled once


def random_graph(rng: random.Random, size: int) -> tuple[list[Leaf], list[Node], dict[Any, dict[Leaf, float]]]:
    """Nodes of one to three random inputs each, and the derivative of each with respect to every leaf."""
    leaves = [Leaf() for _ in range(4)]
    jacobian: dict[Any, dict[Leaf, float]] = {leaf: {leaf: 1.0} for leaf in leaves}
    nodes: list[Node] = []
    for _ in range(size):
        edges = [(rng.choice([*leaves, *nodes[-12:]]), rng.uniform(-1, 1)) for _ in range(rng.randint(1, 3))]
        made = node(*edges)
        total: dict[Leaf, float] = {}
        for target, factor in edges:
            for leaf, value in jacobian[target].items():
                total[leaf] = total.get(leaf, 0.0) + factor * value
        jacobian[made] = total
        nodes.append(made)
    return leaves, nodes, jacobian


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_give_forward_accumulated_derivatives(seed: int) -> None:
    rng = random.Random(seed)
    leaves, nodes, jacobian = random_graph(rng, 60)
    roots = [(nodes[-1], 1.0), (rng.choice(nodes), -2.0)]
    landed, _ = sweep(list(roots), retain=True)
    for leaf in leaves:
        expected = sum(g * jacobian[root].get(leaf, 0.0) for root, g in roots)
        assert landed.get(leaf, 0.0) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_wanted_targets_get_the_same_and_nothing_else_is_pulled(seed: int) -> None:
    rng = random.Random(100 + seed)
    leaves, nodes, jacobian = random_graph(rng, 60)
    leaf, inner = leaves[0], nodes[20]
    landed, _ = sweep([(nodes[-1], 1.0)], {leaf, inner}, True)
    assert set(landed) <= {leaf, inner}
    assert landed.get(leaf, 0.0) == pytest.approx(jacobian[nodes[-1]].get(leaf, 0.0), abs=1e-12)
    # The derivative with respect to an inner node, by making the graph above it anew on a leaf in its place.
    everything, _ = sweep([(nodes[-1], 1.0)], {inner, *leaves}, True)
    assert everything.get(inner) == landed.get(inner)
    reaches = {leaf, inner}
    for each in nodes:
        if any(t in reaches for t in each.targets):
            reaches.add(each)
    for each in nodes:
        each.step.log.clear()  # type: ignore[attr-defined]
    sweep([(nodes[-1], 1.0)], {leaf, inner}, True)
    pulled = {each for each in nodes if each.step.log}  # type: ignore[attr-defined]
    assert pulled <= reaches


def test_freed_nodes_refuse_a_second_sweep_and_retained_ones_do_not() -> None:
    x = Leaf()
    y = node((x, 3.0), saved=("something",))
    assert sweep([(y, 1.0)], retain=True)[0] == {x: 3.0}
    assert sweep([(y, 1.0)])[0] == {x: 3.0}
    assert y.saved is FREED
    with pytest.raises(RuntimeError, match="second time"):
        sweep([(y, 1.0)])


def test_a_node_that_saved_nothing_can_be_swept_again() -> None:
    x = Leaf()
    y = node((x, 3.0))
    assert sweep([(y, 1.0)])[0] == sweep([(y, 1.0)])[0] == {x: 3.0}


def test_a_later_write_asks_the_step_for_a_check() -> None:
    class Storage:
        pass

    storage, x = Storage(), Leaf()
    y = node((x, 1.0))
    writes.bump(storage, "mul_")
    with pytest.raises(RuntimeError, match="overwritten"):
        sweep([(y, 1.0)])
    assert sweep([(node((x, 1.0)), 1.0)])[0] == {x: 1.0}
    write = writes.write_after(y.stamp, storage)
    assert write is not None
    assert (write.count, write.by) == (1, "mul_")
    assert writes.write_after(node((x, 1.0)).stamp, storage) is None
    key = id(storage)
    del storage
    assert key not in writes._writes


def test_hooks_see_the_whole_cotangent_and_may_replace_it() -> None:
    x = Leaf()
    shared = node((x, 2.0))
    seen: list[float] = []

    def double(g: float) -> float:
        seen.append(g)
        return 10 * g

    shared.hooks = [double]
    top = node((shared, 3.0), (shared, 4.0))
    assert sweep([(top, 1.0)])[0] == {x: 140.0}
    assert seen == [7.0]


def test_outputs_of_one_node_arrive_as_a_list() -> None:
    class Join:
        name = "JoinBackward0"
        frees = False
        needs = (True,)

        def pull(self, g: list[Any], saved: Any) -> tuple[Any, ...]:
            return (sum(w * part for w, part in zip((1.0, 10.0, 100.0), g, strict=True) if part is not None),)

    x = Leaf()
    several = recorded(Join(), (x,), ())  # type: ignore[arg-type]
    # Two objects for output 2: they are one target.
    top = node((Output(several, 0, 3), 2.0), (Output(several, 2, 3), 3.0), (Output(several, 2, 3), 4.0))
    assert sweep([(top, 1.0)])[0] == {x: 2.0 + 700.0}
    landed, _ = sweep([(top, 1.0)], {Output(several, 2, 3)})
    assert landed == {Output(several, 2, 3): 7.0}


def test_next_functions_name_constants_and_output_numbers() -> None:
    x = Leaf()
    inner = node((x, 1.0))
    step = Scale(1.0, 1.0)
    step.needs = (True, False, True)  # type: ignore[assignment]
    outer = recorded(step, (inner, Output(inner, 1, 2)), ())
    assert outer.next_functions == ((inner, 0), (None, 0), (inner, 1))
    assert inner.next_functions == ((x, 0),)
    assert outer.name() == "ScaleBackward0"
    assert repr(outer).startswith("<ScaleBackward0 object at 0x")


def test_only_fresh_cotangents_are_owned() -> None:
    # Lists stand for arrays: `+` makes a new one, `+=` writes into the old.
    class Pass:
        name = "PassBackward0"
        frees = False

        def __init__(self, n: int, fresh: bool) -> None:
            self.needs = (True,) * n
            self.fresh = fresh

        def pull(self, g: Any, saved: Any) -> tuple[Any, ...]:
            return tuple(list(g) if self.fresh else g for _ in self.needs)

    x, y = Leaf(), Leaf()

    def owned(root: Any) -> set[Any]:
        return set(sweep([(root, [1.0])])[1])

    assert owned(x) == set()  # the caller's gradient
    assert owned(recorded(Pass(1, False), (x,), ())) == set()  # the same, passed on
    assert owned(recorded(Pass(2, False), (x, y), ())) == set()  # one array for two leaves
    assert owned(recorded(Pass(1, True), (x,), ())) == {x}
    middle = recorded(Pass(1, False), (x,), ())
    assert owned(recorded(Pass(2, True), (middle, middle), ())) == {x}  # a sum of the sweep's own, passed on
    middle = recorded(Pass(2, False), (x, y), ())
    assert owned(recorded(Pass(2, True), (middle, middle), ())) == set()  # the same to two places
    seed = [1.0]
    landed, _ = sweep([(x, seed), (x, [2.0])])
    assert landed[x] == [1.0, 2.0]
    assert seed == [1.0]


@pytest.mark.parametrize("n", [1_000_000])
def test_a_deep_graph_needs_no_recursion_to_sweep_and_to_free(n: int) -> None:
    x = Leaf()
    step = Scale(1.0)
    top: Any = x
    for _ in range(n):
        top = recorded(step, (top,), ())
    step.log = Discard()  # type: ignore[assignment]
    assert n > 100 * sys.getrecursionlimit()
    assert sweep([(top, 1.0)])[0] == {x: 1.0}
    alive = weakref.ref(top)
    del top
    assert alive() is None


class Discard(list[Any]):
    def append(self, _: Any) -> None:
        pass


def test_reference_counting_alone_frees_a_graph() -> None:
    gc.collect()
    gc.disable()
    try:
        x = Leaf()
        a = node((x, 1.0))
        b = node((a, 1.0), (x, 1.0), (a, 2.0))
        ends = [weakref.ref(a), weakref.ref(b), weakref.ref(x)]
        sweep([(b, 1.0)])
        del x, a, b
        assert [end() for end in ends] == [None, None, None]
    finally:
        gc.enable()


def test_any_value_with_plus_will_do() -> None:
    def sine(target: Any, at: float) -> Node:
        return node((target, math.cos(at)))

    def log(f: Callable[[float], float], at: float) -> float:
        return f(at)

    x = Leaf()
    assert sweep([(sine(x, 0.5), 1.0)])[0][x] == pytest.approx(log(math.cos, 0.5))
