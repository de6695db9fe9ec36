"""A line search: how far to go along a direction. It must not know what is minimised nor how the direction was found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A place on the line: how far, the loss there, its slope along the line and its gradient."""

    t: float
    loss: float
    slope: float
    gradient: Any


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points with their slopes is least, kept in [low, high] (Nocedal and Wright, 3.59)."""
    d = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    if a.t > b.t:
        a, b = b, a
    root = math.sqrt(square)
    below = b.slope - a.slope + 2 * root
    if not below:
        return (low + high) / 2.0
    t = b.t - (b.t - a.t) * ((b.slope + root - d) / below)
    return min(max(t, low), high)


def strong_wolfe(
    evaluate: Callable[[float], Point],
    t: float,
    start: Point,
    length: float,
    *,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_ls: int = 25,
) -> tuple[Point, int]:
    """A point where the loss has fallen enough and its slope is flat enough, and how often the loss was computed.

    Steps grow until they bracket such a point, then the bracket shrinks (Nocedal and Wright, algorithms 3.5 and 3.6).
    `length` is the largest element of the direction. After `max_ls` steps it is the best point so far.
    """

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + c1 * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    before, now, count, steps = start, evaluate(t), 1, 0
    bracket = None
    while steps < max_ls:
        if too_high(now) or (steps > 1 and now.loss >= before.loss):
            bracket = [before, now]
            break
        if flat(now):
            return now, count
        if now.slope >= 0:
            bracket = [before, now]
            break
        t = cubic_minimum(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
        before, now = now, evaluate(t)
        count += 1
        steps += 1
    if bracket is None:
        bracket = [start, now]

    stalled = False
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    while steps < max_ls:
        left, right = sorted(point.t for point in bracket)
        if (right - left) * length < tolerance_change:
            break
        t = cubic_minimum(bracket[0], bracket[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # too close to an end; the second time it is moved away from it
            if stalled or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        now = evaluate(t)
        count += 1
        steps += 1
        if too_high(now) or now.loss >= bracket[low].loss:
            bracket[high] = now
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        done = flat(now)
        if not done and now.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
        if done:
            break
    return bracket[low], count
