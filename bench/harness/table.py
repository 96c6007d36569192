"""Medians of the single runs, and the tables made of them."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

Json = dict[str, Any]
OURS = "krs"


def millions(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e5 else f"{value:,.0f}"


def whole(value: float) -> str:
    return f"{value:,.0f}"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"


def milliseconds(value: float) -> str:
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def percent(value: float) -> str:
    return f"{value:.3f} %" if value < 1 else f"{value:.1f} %"


# Per run: where the number is found.
MEASURES: dict[str, Callable[[Json], float | None]] = {
    "records/s": lambda run: run["report"]["records_per_second"],
    "MB/s": lambda run: run["report"]["megabytes_per_second"],
    "records per CPU s": lambda run: run["report"]["records"] / run["cpu_seconds"],
    "MB per CPU s": lambda run: run["report"]["bytes"] / run["cpu_seconds"] / 1e6,
    "CPU s per million": lambda run: run["cpu_seconds"] * 1e6 / run["report"]["records"],
    "p50": lambda run: run["report"]["latency_ms"]["p50"],
    "p99": lambda run: run["report"]["latency_ms"]["p99"],
    "p99.9": lambda run: run["report"]["latency_ms"]["p99.9"],
    "max": lambda run: run["report"]["latency_ms"]["max"],
    "CPU": lambda run: 100 * run["cpu_seconds"] / run["wall_seconds"],
    "time": lambda run: run["wall_seconds"] * 1000,
    "peak memory": lambda run: run["peak_memory_bytes"],
}

# Per mode: its columns, each followed by the ratio if `ratio` is set, and the column it is ordered by.
Column = tuple[str, Callable[[float], str], bool]
_MEMORY: Column = ("peak memory", megabytes, False)
_THROUGHPUT: list[Column] = [
    ("records/s", millions, True),
    ("MB/s", whole, False),
    ("records per CPU s", millions, True),
    ("MB per CPU s", whole, False),
    _MEMORY,
]
_LATENCY: list[Column] = [
    ("p50", milliseconds, True),
    ("p99", milliseconds, True),
    ("p99.9", milliseconds, False),
    ("max", milliseconds, False),
    ("CPU", percent, False),
    _MEMORY,
]
TABLES: dict[str, tuple[list[Column], str]] = {
    "produce": (_THROUGHPUT, "records per CPU s"),
    "consume": (_THROUGHPUT, "records per CPU s"),
    "latency": (_LATENCY, "p50"),
    "single": (_LATENCY, "p50"),
    "idle": ([("CPU", percent, False), _MEMORY], "CPU"),
    "first": ([("time", milliseconds, True)], "time"),
}


class Results:
    """The single runs of a file, by case, variant and client."""

    def __init__(self, file: Json) -> None:
        self.file, self.peers = file, file["peers"]
        self._runs: dict[tuple[str, str, str], list[Json]] = {}
        for run in file["runs"]:
            self._runs.setdefault((run["case"], run["variant"], run["peer"]), []).append(run)

    def runs(self, case: Json, peer: str) -> list[Json]:
        return self._runs.get((case["name"], case["variant"], peer), [])

    def values(self, case: Json, peer: str, measure: str) -> dict[int, float]:
        """By round. A run that failed has none."""
        found = {}
        for run in self.runs(case, peer):
            value = value_of(run, measure)
            if run["error"] is None and value is not None:
                found[run["round"]] = value
        return found

    def median(self, case: Json, peer: str, measure: str) -> float | None:
        values = self.values(case, peer, measure)
        return median(values.values()) if values else None

    def ratio(self, case: Json, peer: str, measure: str) -> list[float] | None:
        """Ours to theirs in the same round: median, least and most."""
        ours, theirs = self.values(case, OURS, measure), self.values(case, peer, measure)
        ratios = [ours[number] / theirs[number] for number in ours.keys() & theirs.keys() if theirs[number]]
        return [median(ratios), min(ratios), max(ratios)] if ratios and peer != OURS else None

    def problem(self, case: Json, peer: Json) -> str | None:
        """Why there is nothing to show; empty where nothing is expected."""
        lacking: str | None = case["lacking"].get(peer["name"])
        runs = self.runs(case, peer["name"])
        failed = [run["error"] for run in runs if run["error"]]
        if lacking == "":
            return ""
        if peer["not_built"]:
            return f"not built: {peer['not_built']}"
        if lacking is not None or not runs:
            return lacking or "not run"
        return f"failed: {failed[0]}" if len(failed) == len(runs) else None

    def medians(self) -> list[Json]:
        rows = []
        for case in self.file["cases"]:
            for peer in (peer["name"] for peer in self.peers):
                row = {}
                for measure in MEASURES:
                    if (middle := self.median(case, peer, measure)) is not None:
                        row[measure] = {"median": middle, "krs_to_it": self.ratio(case, peer, measure)}
                if row:
                    rows.append({"case": case["name"], "variant": case["variant"], "peer": peer, "measures": row})
        return rows


def value_of(run: Json, measure: str) -> float | None:
    try:
        return MEASURES[measure](run)
    except (KeyError, TypeError, ZeroDivisionError):  # absent, null, or nothing at all
        return None


def render(file: Json) -> str:
    """Everything as markdown."""
    results, machine = Results(file), file["machine"]
    parts = [
        f"Measured {file['started']} on {machine['cpus']} × {machine['cpu']}, Linux {machine['kernel']}, with Kafka"
        f" {', '.join(file['kafka'])} on the same machine. Medians; behind a ratio, in brackets, the least and the most"
        " of the rounds.\n"
    ]
    if not file["finished"]:
        parts.append("**Cut short: not every round was run.**\n")
    begun = {(run["case"], run["variant"]) for run in file["runs"]}
    cases = [case for case in file["cases"] if (case["name"], case["variant"]) in begun]
    parts += [_by_peer(results, case) for case in cases if case["group"] != "scale"]
    if scale := [case for case in cases if case["group"] == "scale"]:
        parts.append(_scale(results, scale))
    parts.append(_clients(results))
    return "\n".join(parts)


def _by_peer(results: Results, case: Json) -> str:
    columns, order = TABLES[case["mode"]]
    faster = case["mode"] in ("produce", "consume")
    headings = ["client"]
    for heading, _, ratio in columns:
        headings += [heading, "krs is" if faster else "krs/it"] if ratio else [heading]
    good, bad = [], []
    for peer in results.peers:
        name, problem = peer["name"], results.problem(case, peer)
        if problem:
            bad.append([name, problem, *[""] * (len(headings) - 2)])
        if problem is not None:
            continue
        runs = results.runs(case, name)
        failed = sum(run["error"] is not None for run in runs)
        row = [name]
        row[0] += f", {runs[0]['count']:,} records" if runs[0]["count"] != case["count"] else ""
        row[0] += f" ({failed} of {len(runs)} runs failed)" if failed else ""
        for measure, write, ratio in columns:
            middle = results.median(case, name, measure)
            row.append("" if middle is None else write(middle))
            row += [_ratio(results.ratio(case, name, measure))] if ratio else []
        rank = results.median(case, name, order) or 0
        good.append((name != OURS, -rank if faster else rank, row))
    title = case["name"]
    if case["group"] not in ("idle", "first"):
        title += f", {case['variant']}"
    if case["count"] > 1 or case["seconds"]:
        title += f" ({case['seconds']} s)" if case["seconds"] else f" ({case['count']:,} records)"
    return _table(title, headings, [row for *_, row in sorted(good)] + bad)


def _scale(results: Results, cases: list[Json]) -> str:
    usual = {case["mode"]: results.median(case, OURS, "CPU s per million") for case in cases if case["base"]}
    rows = []
    for case in cases:
        cost, speed = (results.median(case, OURS, name) for name in ("CPU s per million", "records/s"))
        memory, base = results.median(case, OURS, "peak memory"), usual.get(case["mode"])
        failed = [run["error"] for run in results.runs(case, OURS) if run["error"]]
        if cost is None or speed is None:
            rows.append([case["name"], failed[0] if failed else "not run", "", "", "", ""])
            continue
        rows.append([
            case["name"], f"{case['count']:,}", millions(speed), f"{cost:.3f} s",
            f"{cost / base:.2f}×" if base else "", megabytes(memory) if memory else "",
        ])  # fmt: skip
    headings = ["case", "records", "records/s", "CPU per million records", "of the base's", "peak memory"]
    return _table("how the cost grows: krs with itself, 100 B, plain", headings, rows)


def _clients(results: Results) -> str:
    clients: dict[str, str] = {}
    for run in results.file["runs"]:
        if client := ((run["report"] or {}).get("settings") or {}).get("client"):
            clients.setdefault(run["peer"], str(client))
    ours = next(peer["artefact_bytes"] for peer in results.peers if peer["name"] == OURS)
    rows = []
    for peer in results.peers:
        name, size = peer["name"], peer["artefact_bytes"]
        row = [name, clients.get(name, peer["about"])]
        if size is None:
            rows.append([*row, f"not built: {peer['not_built']}", "", ""])
        else:
            rows.append([*row, megabytes(size), f"{ours / size:.2f}×", ", ".join(peer["artefacts"])])
    return _table("the clients and the size of their files", ["name", "client", "size", "krs/it", "files"], rows)


def _ratio(ratio: list[float] | None) -> str:
    if ratio is None:
        return ""
    middle, least, most = (f"{value:.2f}" if value < 10 else f"{value:.0f}" for value in ratio)
    return f"**{middle}×**" + (f" ({least}–{most})" if least != most else "")


def _table(title: str, headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] + ["--:"] * (len(headings) - 1), *rows]
    text = ["| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in line) + " |" for line in lines]
    return "\n".join([f"### {title}", "", *text]) + "\n"
