"""Telling what was measured: table, JSON, plot, the README's section. It must not know how time is taken."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measure import ROOT, Result, Spread

README = ROOT / "README.md"
BEGIN, END = "<!-- measured: begin", "<!-- measured: end -->"


@dataclass
class Report:
    """All that one run measured, and where."""

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    results: list[Result] = field(default_factory=list)
    machine: Mapping[str, Any] = field(default_factory=lambda: machine())
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def as_json(self) -> str:
        """Everything, every sample included."""
        results = [{**vars(r), "ratio": {n: r.ratio(n) for n in r.samples}} for r in self.results]
        return json.dumps({**vars(self), "results": results}, indent=1, ensure_ascii=False)

    def where(self) -> str:
        """The machine, the versions and the threads in one line."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        threads = f"{self.settings['threads']} thread{'s' * (self.settings['threads'] > 1)}"
        return f"{self.machine['processor']}, {threads}, device {self.settings['device']}; {versions}"


def machine() -> dict[str, Any]:
    """What is known of this machine without asking other programs."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": found[1] if found else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": load,
    }


# -- words and figures ---------------------------------------------------------------------------------------


def figure(value: float, unit: str) -> str:
    """A number of seconds, bytes or arrays, with three digits."""
    if unit == "s":
        scale, name = next((s for s in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")) if value >= s[0]), (1e-9, "ns"))
        return f"{value / scale:.3g} {name}"
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def median(result: Result, library: str) -> str:
    """The library's figure, "" if it is absent."""
    samples = result.samples.get(library)
    return figure(Spread.of(samples).median, result.unit) if samples else ""


def spread(ratio: Spread | None) -> str:
    """The median, and where the middle half of the ratios lies."""
    return "" if ratio is None else f"{ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def goal(result: Result) -> str:
    """What the project asks for, and whether it is so."""
    if result.goal is None:
        return ""
    return f"≥ {result.goal:g} {({True: 'yes', False: 'NO', None: '?'})[result.reached]}"


def rows(results: Iterable[Result], others: Sequence[str]) -> list[list[str]]:
    """A line per result: name, gradcore, torch, their ratio, the goal, the ratios of the `others`."""
    table = []
    for r in results:
        other = median(r, r.beside)
        figures = [median(r, "gradcore"), other if r.beside == "torch" or not other else f"{r.beside}: {other}"]
        line = [r.name, *figures, spread(r.ratio(r.beside)), goal(r)]
        table.append(line + [f"{ratio.median:.2f}" if (ratio := r.ratio(n)) else "" for n in others])
    return table


def table(report: Report) -> str:
    """All results as text for the terminal."""
    others = [n for n in report.versions if n not in ("gradcore", "torch", "numpy")]
    head = ["case", "gradcore", "torch", "torch/gradcore", "goal", *(f"{n}/gradcore" for n in others)]
    lines = [head, *rows(report.results, others)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    form = "  ".join(f"{{:{'<' if i in (0, 4) else '>'}{width}}}" for i, width in enumerate(widths))
    text = [form.format(*line).rstrip() for line in lines]
    text += [f"{r.name}: gradcore: {r.absent['gradcore']}" for r in report.results if "gradcore" in r.absent]
    return "\n".join([report.where(), "", *text])


# Goals on a device: the share of the rate of a copy, and how many times as long others take as a captured step.
MOVED_GOAL = 0.8
GRAPH_GOALS = {"torch": 3.0, "torch-graphs": 1.0}


def judged(text: str, value: float, goal: float | None) -> str:
    """`text` with the goal, if there is one, and whether it is missed."""
    return text if goal is None else f"{text} (goal {goal:g}{'' if value >= goal else ', missed'})"


def rates(report: Report) -> str:
    """What was moved and calculated in a second, beside what a copy moves and a product of matrices calculates."""
    lines = []
    for what, unit, scale in (("moved", "GB/s", 1e9), ("flops", "TFLOP/s", 1e12)):
        best = 0.0
        for r in (each for each in report.results if getattr(each, what)):
            found = {name: getattr(r, what) / Spread.of(samples).median / scale for name, samples in r.samples.items()}
            best = best or max(found.values(), default=0)  # the first of them is the limit
            goals = {"gradcore": MOVED_GOAL} if what == "moved" and r.goal is not None else {}
            each = (
                judged(f"{name} {rate:.4g} {unit} ({100 * rate / best:.0f} %)", rate / best, goals.get(name))
                for name, rate in found.items()
            )
            lines.append(f"{r.name}: {', '.join(each)}")
    for r in report.results:
        ours = r.samples.get("gradcore-graphs")
        if ours:
            others = {name: samples for name, samples in r.samples.items() if name != "gradcore-graphs"}
            spreads = {
                name: Spread.of([b / a for a, b in zip(ours, samples, strict=True)]) for name, samples in others.items()
            }
            goals = GRAPH_GOALS if "64" in r.name.split() else {}  # of small networks
            ratios = (judged(f"{name} {spread(s)}", s.median, goals.get(name)) for name, s in spreads.items())
            lines.append(f"{r.name}, times of others to that of gradcore-graphs: {', '.join(ratios)}")
    return "\n".join(["", "Rates, in percent of the first:", *lines])


def markdown(report: Report) -> str:
    """The results with a goal as a table for the README."""
    lines = [["", "gradcore", "torch", "torch / gradcore", "goal"]]
    lines += rows([r for r in report.results if r.goal is not None], ())
    lines[1:1] = [["---", "--:", "--:", "--:", "---"]]
    abouts = [f"- {r.name}: {r.about}" for r in report.results if r.goal is not None]
    return "\n".join(
        [
            f"{report.when[:10]}: {report.where()}.",
            "Median ratio, and where its middle half lies; above 1, gradcore needs less.",
            "",
            *("| " + " | ".join(line) + " |" for line in lines),
            "",
            *abouts,
        ]
    )


def write_readme(report: Report, path: Path = README) -> None:
    """Replace what stands between the marks in the README by the results with a goal."""
    text = path.read_text()
    begin, end = text.index("\n", text.index(BEGIN)) + 1, text.index(END)
    path.write_text(text[:begin] + markdown(report) + "\n" + text[end:])


# -- picture -------------------------------------------------------------------------------------------------


def plot(report: Report, path: Path) -> None:
    """Draw each case's ratio with its spread and goal, and the ratio over the size where it varies."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    timed = [r for r in report.results if r.ratio("torch") is not None]
    figure, (bars, sizes) = plt.subplots(
        1, 2, figsize=(13, 1.5 + 0.24 * len(timed)), width_ratios=(3, 2), layout="constrained"
    )
    for y, r in enumerate(reversed(timed)):
        low, median, high = r.ratio("torch") or (0, 0, 0)
        bars.barh(y, median - 1, left=1, color="tab:blue" if median >= 1 else "tab:orange", height=0.7)
        bars.plot([low, high], [y, y], color="black", linewidth=1)
        if r.goal is not None:
            bars.plot(r.goal, y, "|", color="red", markersize=10)
    bars.set(xscale="log", yticks=range(len(timed)), yticklabels=[r.name for r in reversed(timed)])
    bars.set_ylim(-0.7, len(timed) - 0.3)
    bars.axvline(1, color="black", linewidth=0.8)
    bars.set_title("torch / gradcore: right of 1, gradcore needs less (red: goals)")

    lines: dict[str, list[tuple[int, float]]] = {}
    for r in timed:
        if r.size and (ratio := r.ratio("torch")):
            label = " ".join([r.family, *(word for word in r.name.split()[-1:] if word.isalpha())])
            lines.setdefault(label, []).append((r.size, ratio.median))
    for label, points in lines.items():
        if len(points) > 1:
            sizes.plot(*zip(*points, strict=True), marker=".", label=label)
    sizes.axhline(1, color="black", linewidth=0.8)
    sizes.set(xscale="log", yscale="log", xlabel="n", title="the same over the size")
    if sizes.get_legend_handles_labels()[0]:
        sizes.legend(fontsize="small")
    for axis in (bars.xaxis, sizes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    for axes in (bars, sizes):
        axes.grid(alpha=0.3)
    figure.suptitle(report.where(), fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)
