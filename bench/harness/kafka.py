"""A fresh Apache Kafka through `scripts/kafka`, and topics on it.

Topics are made and deleted by two requests written out here: each of the hundreds of runs gets a topic of its own, and
Kafka's own tool would start a JVM for every one.
"""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

CREATE_TOPICS = (19, 2)
DELETE_TOPICS = (20, 1)
TIMEOUT = 30
# Deleted files go soon, and nothing makes a topic that a run has misspelled.
OPTIONS = ["--port", "0", "--auto-create", "false", "--set", "log.segment.delete.delay.ms=500"]


class Kafka:
    """One broker; `with` takes it down and wipes its data at the end, which nothing interrupts."""

    def __init__(self, project: Path, directory: Path, version: str) -> None:
        self.version = version
        self._script = [str(project / "scripts/kafka"), "--dir", str(directory)]
        self.address = ""

    def __enter__(self) -> Kafka:
        self._run("down", "--wipe")  # what a killed run left
        try:
            self._run("--version", self.version, *OPTIONS, "up")
            self.address = self._run("address").strip()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # impatience would leave a broker behind
        self._run("down", "--wipe")

    def create(self, topic: str, partitions: int) -> None:
        """An empty topic."""
        layout = struct.pack(">ihii", partitions, 1, 0, 0)
        self._change(CREATE_TOPICS, topic, layout, struct.pack(">i?", TIMEOUT * 1000, False))
        time.sleep(0.2 + partitions / 50)  # until its partitions have leaders

    def delete(self, topic: str) -> None:
        """Its files are gone when this returns: that is no part of the next run."""
        self._change(DELETE_TOPICS, topic, b"", struct.pack(">i", TIMEOUT * 1000))
        time.sleep(0.8)

    def _change(self, api: tuple[int, int], topic: str, layout: bytes, rest: bytes) -> None:
        answer = self._request(api, struct.pack(">i", 1) + _string(topic) + layout + rest)
        # The throttle time, how many topics, its name, its error code.
        (code,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic))
        if code != 0:
            raise RuntimeError(f"cannot create or delete topic {topic}: Kafka's error {code}")

    def _request(self, api: tuple[int, int], body: bytes) -> bytes:
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), TIMEOUT + 5) as connection:
            frame = struct.pack(">hhi", *api, 1) + _string("bench") + body
            connection.sendall(struct.pack(">i", len(frame)) + frame)
            with connection.makefile("rb") as stream:
                (length,) = struct.unpack(">i", stream.read(4))
                return stream.read(length)[4:]

    def _run(self, *arguments: str) -> str:
        # In a session of its own, which a Ctrl-C does not reach.
        done = subprocess.run(
            [*self._script, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"scripts/kafka {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
