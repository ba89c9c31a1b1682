"""Speed of the circuit layer against other libraries, all in one run: a table on stderr, JSON on stdout.

Run `python -m benchmarks.run`, or `make bench`; benchmarks/README.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Contender, Settings, measure_row, start_ours
from benchmarks.peers import OURS, PEERS, Peer
from benchmarks.processes import RowError, memory_limit_mb
from benchmarks.table import render, summary
from benchmarks.task import VARIANTS, Noise, parse_variant

__all__ = ["main"]

_LIBRARIES = (
    "sqdr-qiskit", "numpy", "numba", "torch", "jax", "qiskit", "qiskit-aer", "qiskit-machine-learning",
    "pennylane", "pennylane-lightning", "tensorcircuit-ng", "qujax", "deepquantum",
)  # fmt: skip
_AGREE = 2e-3  # of the first sample, single against double precision; benchmarks.check is the strict test


def main() -> int:
    arguments = _arguments()
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    os.sched_setaffinity(0, cores)  # workers inherit it: every library gets the same cores
    settings = Settings(
        limit_s=arguments.limit_s,
        memory_mb=memory_limit_mb(),
        rounds=3 if arguments.quick else 7,
        burst_s=0.2 if arguments.quick else 0.5,
        threads=len(cores),
        batches=arguments.batches,
        first_batch_only=arguments.quick,
    )
    noise = Noise.from_file(arguments.noise_file) if arguments.noisy else None
    rows: list[dict[str, Any]] = []
    for variant in arguments.variants:
        rows += _variant(variant, noise, arguments.rows, settings)
    report = {
        "environment": _environment(len(cores)),
        "settings": vars(settings),
        "noise": noise,
        "rows": rows,
    }
    print(render(rows), summary(rows), sep="\n", file=sys.stderr)
    text = json.dumps(report, indent=1, default=lambda value: vars(value))
    if arguments.json is None:
        print(text)
    else:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n", encoding="utf-8")
        print(f"\nwritten: {arguments.json}", file=sys.stderr)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="batch 64 only, few repetitions")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), help="such as 2b-9q")
    parser.add_argument(
        "--rows", default="", help="only peers whose name contains one of these, comma-separated"
    )
    parser.add_argument("--noisy", action="store_true", help="with noise instead of without")
    parser.add_argument("--noise-file", type=Path, default=Path("noise_models/paper.toml"))
    parser.add_argument(
        "--limit-s", type=float, default=120.0, help="time limit of one peer, circuit and batch"
    )
    parser.add_argument("--batches", type=int, nargs="+", default=None, help="instead of each peer's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None, help="file for the JSON; stdout if not given")
    return parser.parse_args()


def _variant(variant: str, noise: Noise | None, rows: str, settings: Settings) -> list[dict[str, Any]]:
    n_qubits, n_blocks = parse_variant(variant)
    ours: Contender | None = None
    try:
        ours = start_ours(n_qubits, n_blocks, noise, settings)
    except RowError as failure:
        print(f"{variant}: ours: {failure}", file=sys.stderr)
    found: list[dict[str, Any]] = []
    try:
        if noise is not None and ours is not None:
            free = measure_row(OURS, n_qubits, n_blocks, None, ours, settings)
            found.append({**free, "peer": f"{OURS.name}, without noise", "noise": True, "is_ours": True})
        for peer in _chosen(rows, noisy=noise is not None):
            start = time.monotonic()
            row = measure_row(peer, n_qubits, n_blocks, noise, ours, settings)
            found.append(row)
            best = row["best"]
            said = "; ".join(row["notes"]) if best is None else f"{best['backward']['rate']:.4g} samples/s"
            print(
                f"{variant} {peer.name}: {said} ({time.monotonic() - start:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
        _compare(found, ours)
    finally:
        if ours is not None:
            ours.worker.close()
    return found


def _chosen(rows: str, *, noisy: bool) -> list[Peer]:
    words = [word.strip().lower() for word in rows.split(",")]
    return [p for p in PEERS if p.noisy in (None, noisy) and any(word in p.name.lower() for word in words)]


def _compare(rows: list[dict[str, Any]], ours: Contender | None) -> None:
    """Every row's first sample must agree with ours; else the row says so."""
    if ours is None:
        return
    expected = ours.worker.ask({"do": "digest"}, limit_s=600)
    for row in rows:
        digest = row["best"].pop("digest", None) if row["best"] is not None else None
        if digest is None or row.get("is_ours"):
            continue
        off = max(float(np.abs(np.subtract(digest[key], expected[key])).max()) for key in ("values", "d_x"))
        row["deviation_from_ours"] = off
        if off > _AGREE:
            row["notes"].append(f"OTHER NUMBERS: differs from ours by {off:.1e}")
            print(f"{row['variant']} {row['peer']}: {row['notes'][-1]}", file=sys.stderr)


def _environment(threads: int) -> dict[str, Any]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    info = (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if Path("/proc/cpuinfo").exists()
        else []
    )
    model = next(
        (line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.processor()
    )
    return {"cpu": model, "cores": os.cpu_count(), "threads": threads, "python": platform.python_version(),
            "system": platform.platform(), "load_at_end": os.getloadavg(), "versions": versions}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
