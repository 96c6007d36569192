"""What is measured: every case, in the order of a round."""

from __future__ import annotations

from dataclasses import dataclass, replace

GROUPS = ["produce", "consume", "latency", "idle", "first", "size", "scale"]
VARIANTS = {"plain": False, "tuned": True}


@dataclass(frozen=True)
class Case:
    """One piece of work, the same for every client."""

    name: str
    group: str
    mode: str
    """What the client is asked for: produce, consume, latency, single, idle or first."""
    rounds: int
    variant: str = "plain"
    count: int = 1
    size: int = 100
    compression: str = "none"
    rate: int = 0
    seconds: int = 0
    partitions: int = 3
    fills: str = ""
    """Its topic stays, under this name, for a case that reads it."""
    reads: str = ""
    extra: tuple[str, ...] = ()
    """More arguments for krs."""
    base: bool = False
    """The others of its group are compared with it."""


@dataclass(frozen=True)
class Extent:
    """How much of it."""

    rounds: int
    latency_rounds: int
    count: int
    seconds: int | None
    quick: bool


def all_cases(groups: list[str], extent: Extent) -> list[Case]:
    makers = [_throughput, _latency, _rest, _scale]
    return [case for make in makers for case in make(extent) if case.group in groups]


def filling(cases: list[Case]) -> list[Case]:
    """What krs fills beforehand, once, for the cases that read the same topic in every run."""
    filled = {case.fills for case in cases}
    readers = {case.reads: case for case in cases if case.reads and case.reads not in filled}
    return [
        Case(name, "fill", "produce", 1, "plain", case.count, case.size, case.compression, fills=name)
        for name, case in readers.items()
    ]


def _throughput(extent: Extent) -> list[Case]:
    cases = []
    for mode in ("produce", "consume"):
        for name, size, compression, share in [
            ("100 B", 100, "none", 1.0),
            ("1 KiB", 1024, "none", 0.2),
            ("100 B lz4", 100, "lz4", 1.0),
        ]:
            count, reads = int(extent.count * share), f"values of {name}" if mode == "consume" else ""
            for variant in VARIANTS:
                title = f"{mode} {name}"
                cases.append(Case(title, mode, mode, extent.rounds, variant, count, size, compression, reads=reads))
    return cases


def _latency(extent: Extent) -> list[Case]:
    cases = []
    for rate, seconds in [(10, 10), (1_000, 3), (10_000, 3)]:
        for variant, rounds in [("plain", 1), ("tuned", extent.latency_rounds)]:
            title, seconds = f"latency at {rate:,}/s", extent.seconds or seconds
            cases.append(Case(title, "latency", "latency", rounds, variant, rate=rate, seconds=seconds))
    count = 200 if extent.quick else 5_000
    return [*cases, Case("one message at a time", "latency", "single", 1, count=count)]


def _rest(extent: Extent) -> list[Case]:
    return [
        Case("idle", "idle", "idle", 1, seconds=2 if extent.quick else 10),
        Case("start to first acknowledgement", "first", "first", 5 * extent.rounds),
    ]


def _scale(extent: Extent) -> list[Case]:
    cases = []
    for name, share, partitions, extra in [
        ("base: 3 partitions, 1 thread", 2.0, 3, ()),
        ("a tenth of the records", 0.2, 3, ()),
        ("100 partitions", 2.0, 100, ()),
        ("16 threads with one producer", 2.0, 3, ("--producers", "16")),
        # A batch has 61 bytes of its own, a record of 100 bytes about 110.
        ("batches of 100 records", 0.4, 3, ("-X", "batch.size=11000")),
        ("batches of 1 record", 0.04, 3, ("-X", "batch.size=1")),
    ]:
        count, base, alone = int(extent.count * share), name.startswith("base"), "--producers" in extra
        fills = "" if alone else name
        produce = Case(f"produce, {name}", "scale", "produce", extent.rounds, count=count, fills=fills, base=base)
        cases.append(replace(produce, partitions=partitions, extra=extra))
        if not alone:
            name = f"consume, {name}"
            cases.append(Case(name, "scale", "consume", extent.rounds, count=count, reads=fills, base=base))
    return cases
