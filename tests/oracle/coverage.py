"""The page docs/coverage.md, made of what `python -m tests.oracle --json` wrote. It must not run or judge anything.

`python -m tests.oracle.coverage RESULT.json ...` writes the page; of results that say something about the same op, dtype,
check and device, the last one counts. `python -m tests.oracle.coverage --check` only says whether the page lists the ops
that there are.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.oracle import catalogue, report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
ON = {"double": "CuPy (stand-in)", "cuda": "CUDA"}  # columns of whole devices
TITLES = {
    "tier1": "Tier 1",
    "tier2": "Tier 2",
    "tier3": "Tier 3",
    catalogue.COMPANION: "Companions, which have no derivative",
}

HEAD = """# What is proved of each operation

`python -m tests.oracle.coverage` made this page of what `python -m tests.oracle --json` measured; nothing here is written
by hand. Measured on {days} with {versions}. CI runs every sample in float32, too, and bad input.

Each operation runs on torch's own samples (OpInfo) beside torch. A tick says that **every** sample agreed; otherwise the
cell says how many did. A dash: nothing to compare, since torch has no such form or derivative, or draws at random.

- *forward*, *backward*, *double backward*, *forward mode*, *batching*: on NumPy, in {real}. Forward is the function,
  method, in place, operators, aliases and `out=`; backward and double backward are products with
  random vectors (central differences of the first gradients where torch has no second); forward mode is held to
  torch's, or to its reverse mode; batching is `vmap` against a loop.
- *complex*: all of that in {complex_}.
- *CuPy (stand-in)*: all of that in {stand_in} on `tests/double/`, which has CuPy's rules and NumPy's
  numbers. Of several values written to one place any may stay there, as on a GPU: the tangents of `max_unpool` differ.
- {cuda}

Where torch is wrong, `tests/oracle/corrections.py` has what is compared instead.

"""
NO_GPU = (
    "**No column was measured on a real GPU yet**: `python -m tests.oracle --device cuda --json` does that where there is\n"
    "  one."
)

Count = tuple[int, int]


def merged(results: Iterable[dict[str, Any]]) -> dict[str, dict[str, Count]]:
    """Add up comparisons, passed and all, by name and column."""
    last = {
        (o["op"], o["tier"], o["dtype"], o["check"], result["device"]): o for result in results for o in result["outcomes"]
    }
    counts: dict[str, dict[str, Count]] = {}
    for (*_, dtype, check, device), o in last.items():
        column = ON.get(device) or report.column_of(check, dtype)
        of_name = counts.setdefault(o["name"], {})
        passed, total = of_name.get(column, (0, 0))
        of_name[column] = passed + o["passed"], total + o["total"]
    return counts


def cell(count: Count) -> str:
    """A tick only where everything passed; a dash where there is nothing to compare."""
    passed, total = count
    return "–" if not total else "✓" if passed == total else f"{passed} of {total}"


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def columns_of(counts: dict[str, dict[str, Count]]) -> list[str]:
    measured = {column for of_name in counts.values() for column in of_name}
    return [column for column in (*report.COLUMNS, report.COMPLEX, *ON.values()) if column in measured]


def table(names: Iterable[str], counts: dict[str, dict[str, Count]]) -> list[str]:
    columns = columns_of(counts)
    rows = [row(f"`{name}`", *(cell(counts.get(name, {}).get(each, (0, 0))) for each in columns)) for name in names]
    return [row("op", *columns), row(*["---"] * (len(columns) + 1)), *rows]


def totals(counts: dict[str, dict[str, Count]]) -> list[str]:
    """For each column, the ops ticked of those compared, and the comparisons passed of those made."""
    lines = [row("", "ops that pass all", "comparisons that agree"), row("---", "---", "---")]
    for column in columns_of(counts):
        cells = [of_name[column] for of_name in counts.values() if of_name.get(column, (0, 0))[1]]
        passed, total = (sum(each[i] for each in cells) for i in (0, 1))
        lines.append(row(column, f"{sum(p == t for p, t in cells)} of {len(cells)}", f"{passed} of {total}"))
    return lines


def text(results: list[dict[str, Any]]) -> str:
    """Write the page."""
    counts, tiers = merged(results), catalogue.tiers()
    dtypes: dict[str, dict[str, None]] = {device: {} for device in ("cpu", *ON)}
    for result in results:
        dtypes[result["device"]].update(dict.fromkeys(o["dtype"] for o in result["outcomes"]))
    days = sorted({result["day"] for result in results})
    versions = sorted({f"{name} {version}" for result in results for name, version in result["versions"].items()})
    lines = [
        *HEAD.format(
            real=", ".join(d for d in dtypes["cpu"] if not d.startswith("complex")),
            complex_=", ".join(d for d in dtypes["cpu"] if d.startswith("complex")) or "(not measured)",
            stand_in=", ".join(dtypes["double"]) or "(not measured)",
            cuda=f"*CUDA*: once more on a GPU, in {', '.join(dtypes['cuda'])}." if dtypes["cuda"] else NO_GPU,
            days=" to ".join(dict.fromkeys((days[0], days[-1]))),
            versions=", ".join(versions),
        ).splitlines(),
        *totals(counts),
    ]
    for tier, title in TITLES.items():
        lines += ["", f"## {title}", "", *table([name for name, of in tiers.items() if of == tier], counts)]
    return "\n".join(lines) + "\n"


def listed(page: str) -> list[str]:
    """Return the ops that a page has a row for."""
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


def differences(page: str) -> list[str]:
    """Say which ops a page lacks, and which it has that are none."""
    have, want = set(listed(page)), set(catalogue.tiers())
    missing, unknown = sorted(want - have), sorted(have - want)
    return [*(f"{name}: not on the page" for name in missing), *(f"{name}: no op" for name in unknown)]


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m tests.oracle.coverage", description=(__doc__ or "").splitlines()[0])
    p.add_argument("results", nargs="*", type=Path, metavar="RESULT.json", help="what `python -m tests.oracle --json` wrote")
    p.add_argument("--check", action="store_true", help="write nothing; fail if the page's list of ops is not up to date")
    p.add_argument("--page", type=Path, default=PAGE, help=argparse.SUPPRESS)
    options = p.parse_args(argv)
    if options.check:
        stale = differences(options.page.read_text()) if options.page.exists() else [f"there is no {options.page}"]
        print("\n".join(stale) or "the page lists every op", file=sys.stderr if stale else sys.stdout)
        return bool(stale)
    if not options.results:
        p.error("give the results to make the page of, or --check")
    options.page.write_text(text([json.loads(path.read_text()) for path in options.results]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
