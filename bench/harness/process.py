"""Runs one client as a process of its own and measures it from outside, all clients in the same way.

Processor time is what the kernel counted for the whole process, start and end included (`wait4`). Peak memory is not
taken from there: `ru_maxrss` also holds the memory of the program that started the process, and this one is larger than
some that it measures. It is the high-water mark in /proc, looked at every 20 ms.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

LOOK = 0.02
SETTLE = 3.0


@dataclass(frozen=True)
class Finished:
    """A process that has ended, or what was seen of it while it had nothing to do."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int | None
    stdout: str
    error: str | None
    """Why its results are not to be used."""


class Process:
    """A started process. It is killed if the `with` block ends while it runs."""

    def __init__(self, argv: list[str]) -> None:
        self._out, self._err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self._began = time.monotonic()
        self._child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err)
        self._fd = os.pidfd_open(self._child.pid)
        self._ended = select.poll()
        self._ended.register(self._fd, select.POLLIN)
        self._peak: int | None = None

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.returncode is None:
            self._child.kill()
            self._child.wait()
        os.close(self._fd)
        self._out.close()
        self._err.close()

    def end(self, limit: float) -> Finished:
        """Waits for the end; kills the process when that takes longer than `limit` seconds."""
        late = self._runs_for(limit)
        if late:
            self._child.kill()
            self._ended.poll()
        wall = time.monotonic() - self._began
        _, status, usage = os.wait4(self._child.pid, 0)
        code = self._child.returncode = os.waitstatus_to_exitcode(status)
        self._out.seek(0)
        self._err.seek(0)
        stdout, said = self._out.read(), self._err.read().strip().splitlines()
        error = f"exit code {code}: {said[-1][:200] if said else 'it said nothing'}" if code else None
        error = f"not finished after {limit:.0f} s" if late else error
        return Finished(wall, usage.ru_utime + usage.ru_stime, self._peak, stdout, error)

    def watch_idle(self, seconds: float) -> Finished:
        """Lets it come to rest, sees what it uses for `seconds`, and ends it with SIGTERM."""
        if not self._runs_for(SETTLE):
            return self.end(0)
        cpu, began = self._cpu_seconds(), time.monotonic()
        if not self._runs_for(seconds):
            return self.end(0)
        cpu, wall = self._cpu_seconds() - cpu, time.monotonic() - began
        self._child.send_signal(signal.SIGTERM)
        self.end(10)
        return Finished(wall, cpu, self._peak, "", None)

    def _runs_for(self, seconds: float) -> bool:
        """Keeps an eye on the memory; false as soon as the process has ended."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(OSError, IndexError):
                status = Path(f"/proc/{self._child.pid}/status").read_text()
                self._peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
            if self._ended.poll(min(left, LOOK) * 1000):
                return False
        return not self._ended.poll(0)

    def _cpu_seconds(self) -> float:
        """To the nanosecond, of the threads that exist: /proc/PID/stat has steps of 10 ms, too coarse for idling."""
        threads = Path(f"/proc/{self._child.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
