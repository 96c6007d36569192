"""The clients: how each is built, called, and understood.

A peer that is a program of `bench/peers` takes the command line and prints the line that bench/README.md describes.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .cases import Case

Report = dict[str, Any]
PROJECT = Path(__file__).resolve().parents[2]
TARGET = PROJECT / "target/bench"
NEWEST_KAFKA, OLD_KAFKA = "4.3.1", "3.9.2"


class NotBuilt(Exception):
    """Why a peer is not there."""


class Peer:
    """A program of `bench/peers`."""

    def __init__(
        self, name: str, about: str, program: Path, share: float = 1.0, kafka: str = NEWEST_KAFKA
    ) -> None:  # fmt: skip
        self.name, self.about, self.program, self.kafka = name, about, program, kafka
        self._share = share
        """Of the records to produce: less for those that would take long. The topics that are consumed are read to
        their ends, or what a client has fetched ahead would be paid for and not counted."""

    def build(self) -> list[Path]:
        """Builds it and returns its files."""
        raise NotImplementedError

    def count(self, case: Case) -> int:
        return max(1, int(case.count * self._share)) if case.mode == "produce" else case.count

    def lacking(self, case: Case) -> str | None:
        """Why it cannot do this; empty if it is not meant to."""
        return "" if case.group == "scale" or case.mode == "single" else None

    def command(self, case: Case, address: str, topic: str) -> list[str]:
        words = [str(self.program), case.mode, "--brokers", address, "--topic", topic, "--size", str(case.size)]
        if case.mode in ("produce", "consume"):
            words += ["--count", str(self.count(case)), "--compression", case.compression]
        elif case.mode == "latency":
            words += ["--rate", str(case.rate), "--seconds", str(case.seconds)]
        elif case.mode == "idle":
            words += ["--seconds", "3600"]  # it is ended from outside
        return words + ["--tuned"] * (case.variant == "tuned")

    def understand(self, case: Case, stdout: str) -> Report:
        """The report in what it printed; raises ValueError if there is none."""
        lines = [line for line in stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise ValueError("it printed no JSON")
        report: Report = json.loads(lines[-1])
        return report


class Krs(Peer):
    """Ours: the static musl binary, which is what users get."""

    def __init__(self, given: Path | None) -> None:
        self._target, self._given = f"{platform.machine()}-unknown-linux-musl", given
        binary = PROJECT / "target" / self._target / "release/krs"
        super().__init__("krs", "this project, static musl binary", given or binary)

    def build(self) -> list[Path]:
        if self._given is None:
            tool("cargo", "build", "--release", "--locked", "--bin", "krs", "--target", self._target, at=PROJECT)
        return [self.program]

    def lacking(self, case: Case) -> str | None:
        return "" if case.mode == "single" else None

    def command(self, case: Case, address: str, topic: str) -> list[str]:
        common = ["-b", address, "--topic", topic]
        if case.mode == "idle":
            return [str(self.program), "receive", *common, "--group", topic]
        mode = "produce" if case.mode == "first" else case.mode
        words = [str(self.program), "bench", mode, *common, "--json", *case.extra]
        words += ["--size", str(case.size)] if mode != "consume" else []
        if mode == "latency":
            return [*words, "--rate", str(case.rate), "--for", f"{case.seconds}s", "--warm-up", "2s"]
        words += ["--count", str(case.count)]
        words += ["--warm-up", "0s"] if mode == "produce" else []  # as the others, which have none
        if mode == "produce" and case.compression != "none":
            words += ["-X", f"compression.type={case.compression}"]
        if mode == "produce" and case.variant == "tuned":
            words += ["-X", "linger.ms=5"]
        return words


class Rust(Peer):
    def __init__(self, name: str, about: str, crate: str = "", **more: Any) -> None:
        super().__init__(name, about, TARGET / f"release/peer-{name}", **more)
        self._crate = crate or name

    def build(self) -> list[Path]:
        at, crate, target = PROJECT / "bench", f"peer-{self._crate}", str(TARGET)
        if not (at / "peers" / self._crate / "Cargo.toml").exists():
            raise NotBuilt(f"there is no bench/peers/{self._crate}")
        tool("cargo", "build", "--release", "--locked", "--package", crate, "--target-dir", target, at=at)
        return [self.program]


class Go(Peer):
    def build(self) -> list[Path]:
        at = PROJECT / "bench/peers" / self.name
        tool("go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(self.program), ".", at=at)
        return [self.program]


class Java(Peer):
    """Apache's own tools, from the jars of `scripts/kafka`, with the JVM options that Apache's start scripts give."""

    _OPTIONS = (
        "-server -Xmx512M -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 "
        "-XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    ).split()
    _TUNED = ["batch.size=1000000", "linger.ms=5", "buffer.memory=67108864", "max.request.size=4000000"]
    _CLIENT_JARS = ("kafka-clients", "lz4-java", "snappy-java", "zstd-jni", "slf4j-api")

    def build(self) -> list[Path]:
        tool("java", "-version", at=PROJECT)
        script = str(PROJECT / "scripts/kafka")
        self._class_path = tool(script, "--version", self.kafka, "classpath", at=PROJECT).strip()
        jars = Path(self._class_path).parent
        return [jar for jar in sorted(jars.glob("*.jar")) if jar.name.startswith(self._CLIENT_JARS)]

    def lacking(self, case: Case) -> str | None:
        if case.mode == "latency":
            return "Apache's tool knows no rate: see “one message at a time”"
        return "" if case.group == "scale" else None

    def command(self, case: Case, address: str, topic: str) -> list[str]:
        words = ["--bootstrap-server", address, "--topic", topic]
        if case.mode != "idle":
            words += ["--num-records", str(self.count(case))]
        if case.mode in ("produce", "first"):
            words += ["--payload-file", str(self._payload(case.size)), "--throughput", "-1", "--command-property"]
            words += ["acks=all", "enable.idempotence=true", f"compression.type={case.compression}"]
            words += self._TUNED if case.variant == "tuned" else []
        elif case.mode == "single":
            words += ["--producer-acks", "all", "--record-size", str(case.size)]
        name = {"consume": "ConsumerPerformance", "single": "EndToEndLatency", "idle": "consumer.ConsoleConsumer"}
        tool_class = f"org.apache.kafka.tools.{name.get(case.mode, 'ProducerPerformance')}"
        return [str(self.program), *self._OPTIONS, "-cp", self._class_path, tool_class, *words]

    def understand(self, case: Case, stdout: str) -> Report:
        settings = {"client": f"Java client {self.kafka}"}
        if case.mode == "single":
            found = re.search(r"50th = (\d+), 99th = (\d+), 99\.9th = (\d+)", stdout)
            if not found:
                raise ValueError("EndToEndLatency printed no percentiles")
            latency = dict(zip(["p50", "p99", "p99.9"], map(float, found.groups()), strict=True))
            return {"settings": settings, "records": self.count(case), "latency_ms": latency}
        if case.mode == "consume":
            fields = stdout.strip().splitlines()[-1].split(", ")
            if len(fields) != 10:
                raise ValueError("ConsumerPerformance printed no result")
            # Its fetch time is without joining the group, which the others do not do either.
            records, amount, seconds = int(fields[4]), float(fields[2]) * 2**20, float(fields[7]) / 1000
        else:
            found = re.search(r"^(\d+) records sent, ([\d.]+) records/sec .* 50th", stdout, re.MULTILINE)
            if not found:
                raise ValueError("ProducerPerformance printed no result")
            records = int(found[1])
            amount, seconds = float(records * case.size), records / max(float(found[2]), 1e-9)
        seconds = max(seconds, 1e-3)
        return {
            "complete": records >= self.count(case), "settings": settings, "records": records, "bytes": amount,
            "seconds": seconds, "records_per_second": records / seconds, "megabytes_per_second": amount / seconds / 1e6,
        }  # fmt: skip

    @staticmethod
    def _payload(size: int) -> Path:
        """Values like those of the other clients, one a line: half of each does not compress, and equal ones are out of
        lz4's reach. With `--record-size` the tool would spend its time on random numbers, new ones for each record."""
        path = TARGET / f"payload-{size}"
        if not path.exists():
            state, lines = 0x9E37_79B9_7F4A_7C15, []
            for _ in range(min(-(-128 * 1024 // size), 4096)):
                letters = ""
                while len(letters) < (size + 1) // 2:
                    state = (state ^ state << 13) & 2**64 - 1
                    state ^= state >> 7
                    state = (state ^ state << 17) & 2**64 - 1
                    letters += chr(ord("!") + (state >> 32) % 94)
                lines.append(letters + "0" * (size // 2))
            path.write_text("\n".join(lines) + "\n")
        return path


def all_peers(krs: Path | None) -> list[Peer]:
    return [
        Krs(krs),
        Rust("limit", "pre-encoded frames over a raw socket"),
        Go("franz-go", "franz-go, newest release", TARGET / "peer-franz-go"),
        Rust("librdkafka", "librdkafka by its own functions", share=0.4),
        Rust("rdkafka", "librdkafka by the crate rdkafka", crate="librdkafka", share=0.4),
        Rust("confluent", "the crate confluent-kafka", share=0.4),
        Rust("rustfs", "the crate rustfs-kafka", share=0.4),
        Java("java", "Apache's tools", Path(shutil.which("java") or "java"), share=0.4),
        Rust("kafka-crate", "the crate kafka, on Kafka 3.9.2", share=0.1, kafka=OLD_KAFKA),
    ]


def tool(*words: str, at: Path) -> str:
    """Runs a build tool; its first complaint is the reason why something is not built."""
    if shutil.which(words[0]) is None:
        raise NotBuilt(f"{words[0]} is not installed")
    done = subprocess.run(words, cwd=at, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        errors = [line for line in lines if line.startswith("error")] or lines[-1:]
        raise NotBuilt(f"{Path(words[0]).name}: {errors[0][:200]}")
    return done.stdout
