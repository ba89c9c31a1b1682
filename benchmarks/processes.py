"""Start a worker process, ask it with a time limit and a memory limit, end it whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import OURS, Peer
from benchmarks.task import Task

__all__ = ["RowError", "WorkerProcess", "interpreter", "memory_limit_mb"]

_ROOT = Path(__file__).resolve().parent.parent
_THREAD_VARIABLES = ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR", "RAYON")


class RowError(Exception):
    """A worker did not give what it was asked; the message is what the row says, `kind` why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def memory_limit_mb() -> float:
    """Four fifths of the memory that is free now."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable"):
            return 0.8 * int(line.split()[1]) / 1024
    return float("inf")


def interpreter(peer: Peer) -> str:
    """The Python that has the peer's library: this one, or the environment named after the peer.

    `SQDR_BENCH_TORCHQUANTUM` or `.venv-torchquantum/bin/python` for environment `torchquantum`.
    """
    if peer.environment == "main":
        return sys.executable
    named = os.environ.get(f"SQDR_BENCH_{peer.environment.upper()}")
    path = Path(named) if named else _ROOT / f".venv-{peer.environment}" / "bin" / "python"
    if not path.exists():
        raise RowError("unavailable", f"needs an environment of its own, {path} (benchmarks/README.md)")
    return str(path)


class WorkerProcess:
    """`benchmarks.worker` for one peer and task; use as a context manager."""

    def __init__(self, peer: Peer, task: Task, *, threads: int, memory_mb: float) -> None:
        root = peer.checkout or _ROOT
        setting = {
            "peer": peer.name if peer.checkout is None else OURS.name,
            "n_qubits": task.n_qubits,
            "n_blocks": task.n_blocks,
            "batch": task.batch,
            "noise": task.noise and [task.noise.channels, task.noise.after_cz, task.noise.source],
        }
        environment = {**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in _THREAD_VARIABLES}}
        environment |= {
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(root),
            "SQDR_THREADS": str(threads),
        }
        self.memory_mb = memory_mb
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [interpreter(peer), "-m", "benchmarks.worker", json.dumps(setting)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            cwd=root,
        )

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; safe to call twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def ask(self, request: dict[str, Any], *, limit_s: float) -> dict[str, Any]:
        """The worker's answer within `limit_s` seconds and under the memory limit, or `RowError`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RowError("crash", self._last_words()) from None
        end = time.monotonic() + limit_s
        while not select.select([self._process.stdout], [], [], 0.2)[0]:
            if time.monotonic() > end:
                self.close()
                raise RowError("time", f"did not finish in {limit_s:.0f} s")
            if self._resident_mb() > self.memory_mb:
                self.close()
                raise RowError("memory", f"out of memory (more than {self.memory_mb / 1024:.0f} GB)")
        line = self._process.stdout.readline()
        if not line:
            raise RowError("crash", self._last_words())
        reply: dict[str, Any] = json.loads(line)
        if not reply["ok"]:
            raise RowError(reply["kind"], reply["error"].splitlines()[0][:200])
        return reply

    def _resident_mb(self) -> float:
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _last_words(self) -> str:
        code = self._process.wait()
        if code == -9:
            return "killed by the system, most likely out of memory"
        self._log.seek(0)
        lines = [line for line in self._log.read().splitlines() if line.strip()]
        return f"ended with code {code}: {lines[-1][:160] if lines else 'no message'}"
