"""Speed of the circuit layer against other libraries, without noise and with it, all in one run.

Run `python -m benchmarks.run`, or `make bench`; benchmarks/README.md says what is measured and how. Progress
goes to stderr, the table to stdout; `--json` and `--markdown` name files, written anew after every circuit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.aims import summarise
from benchmarks.contender import Contender, Settings, start_ours
from benchmarks.measure import empty_row, measure_noise, measure_row
from benchmarks.peers import AER_CONES, AER_REGISTER, OURS, OURS_LAYER, PEERS, Peer
from benchmarks.processes import RowError, memory_limit_mb
from benchmarks.table import render
from benchmarks.task import VARIANTS, Noise, parse_variant

__all__ = ["main"]

_LIBRARIES = (
    "sqdr-qiskit", "numpy", "numba", "torch", "jax", "qiskit", "qiskit-aer", "qiskit-machine-learning",
    "pennylane", "pennylane-lightning", "tensorcircuit-ng", "qujax", "deepquantum",
)  # fmt: skip
_AGREE = 2e-3  # of the first sample, single against double precision; benchmarks.check is the strict test
_REGISTERS = ("2b-9q",)  # a density matrix of 9 qubits is what Aer holds in reasonable time


def main() -> int:
    arguments = _arguments()
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    os.sched_setaffinity(0, cores)  # workers inherit it: every library gets the same cores
    settings = Settings(
        limit_s=arguments.limit_s or (20.0 if arguments.quick else 60.0),
        memory_mb=memory_limit_mb(),
        rounds=3 if arguments.quick else 5,
        burst_s=0.2 if arguments.quick else 0.4,
        threads=len(cores),
        batches=arguments.batches or ((64, 256, 512) if arguments.all and not arguments.quick else None),
        first_batch_only=arguments.quick,
    )
    noise = Noise.from_file(arguments.noise_file)
    report: dict[str, Any] = {
        "settings": vars(settings),
        "noise": vars(noise),
        "rows": [],
        "price_of_noise": [],
    }
    begin = time.monotonic()
    for part in ("noiseless", "noisy") if arguments.part == "both" else (arguments.part,):
        for variant in arguments.variants:
            _variant(variant, noise if part == "noisy" else None, arguments, settings, report)
            report["environment"] = _environment(len(cores), time.monotonic() - begin)
            report["summary"] = summarise(report["rows"])
            _write(arguments.json, json.dumps(report, indent=1))
            _write(arguments.markdown, render(report))
    print(render(report))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="each peer's first batch, few repetitions, short limits"
    )
    parser.add_argument(
        "--all", action="store_true", help="also rows and circuits known to be slower or not to finish"
    )
    parser.add_argument("--part", choices=("both", "noiseless", "noisy"), default="both")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), help="such as 2b-9q")
    parser.add_argument(
        "--rows", default="", help="only peers whose name contains one of these, comma-separated"
    )
    parser.add_argument("--noise-file", type=Path, default=Path("noise_models/paper.toml"))
    parser.add_argument(
        "--limit-s", type=float, default=None, help="time limit of one request (60; 20 if quick)"
    )
    parser.add_argument("--batches", type=int, nargs="+", default=None, help="instead of each peer's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--against", type=Path, default=None, help="folder of another state of this project: two rows more"
    )
    parser.add_argument("--json", type=Path, default=None, help="file for all records")
    parser.add_argument("--markdown", type=Path, default=None, help="file for the tables")
    return parser.parse_args()


def _variant(
    variant: str,
    noise: Noise | None,
    arguments: argparse.Namespace,
    settings: Settings,
    report: dict[str, Any],
) -> None:
    """All rows of one circuit, appended to the report."""
    n_qubits, n_blocks = parse_variant(variant)
    with _ours(OURS, variant, noise, settings, mode="backward") as ours:
        if noise is not None and _wanted("price of noise", arguments.rows):
            prices = measure_noise(ours, settings)
            report["price_of_noise"] += prices
            ratios = [f"{price['backward']['ratio']:.2f}" for price in prices]
            _say(f"{variant} price of noise: {', '.join(ratios)}")
        for peer in (OURS_LAYER, *_earlier(arguments.against), *PEERS):
            if peer.noisy not in (None, noise is not None) or not _wanted(peer.name, arguments.rows):
                continue
            if peer.extra and not arguments.all:
                continue
            reason = _why_not(peer, variant, report["rows"], everything=arguments.all)
            start = time.monotonic()
            if reason is None:
                row = measure_row(peer, n_qubits, n_blocks, noise, ours, settings)
            else:
                row = empty_row(peer, n_qubits, n_blocks, noise)
                row["notes"].append(reason)
            _finish(row, ours, report, start)
    if noise is not None and variant in _REGISTERS and _wanted(AER_REGISTER.name, arguments.rows):
        start = time.monotonic()
        with _ours(AER_CONES, variant, noise, settings, mode="forward") as ours:
            row = measure_row(AER_REGISTER, n_qubits, n_blocks, noise, ours, settings, mode="forward")
            _finish(row, ours, report, start)


def _earlier(checkout: Path | None) -> list[Peer]:
    """Another state of this project, at a small batch and at its best."""
    if checkout is None:
        return []
    name, folder = f"{OURS.name} of {checkout.name}", checkout.resolve()
    small = replace(OURS, name=f"{name}, small batch", batches=(64,), wide_batches=(64,), checkout=folder)
    return [small, replace(OURS, name=name, checkout=folder)]


def _ours(peer: Peer, variant: str, noise: Noise | None, settings: Settings, *, mode: str) -> Contender:
    n_qubits, n_blocks = parse_variant(variant)
    try:
        return start_ours(peer, n_qubits, n_blocks, noise, settings, mode=mode)
    except RowError as failure:
        raise SystemExit(f"error: {variant}: ours failed: {failure}") from None


def _wanted(name: str, rows: str) -> bool:
    return any(word.strip() in name.lower() for word in rows.lower().split(","))


def _why_not(peer: Peer, variant: str, rows: list[dict[str, Any]], *, everything: bool) -> str | None:
    """Why a row is not worth trying: the peer cannot do so much, or could not do less."""
    if everything:
        return None
    if peer.variants is not None and variant not in peer.variants:
        return "not tried: known to lack time or memory (--all tries it)"
    n_qubits, n_blocks = parse_variant(variant)
    for row in rows:
        qubits, blocks = parse_variant(row["variant"])
        if row["peer"] == peer.name and row["best"] is None and qubits <= n_qubits and blocks <= n_blocks:
            return f"not tried: gave no number at {row['variant']}"
    return None


def _finish(row: dict[str, Any], ours: Contender, report: dict[str, Any], start: float) -> None:
    """Compare the first sample with ours, say what came out, and keep the row."""
    best, mode = row["best"], row["mode"]
    digest = None if best is None else best.pop("digest", None)
    if digest is not None:
        expected = ours.digest(mode, limit_s=60)
        off = max(float(np.abs(np.subtract(digest[key], expected[key])).max()) for key in digest)
        row["deviation_from_ours"] = off
        if off > _AGREE:
            row["notes"].append(f"OTHER NUMBERS: differs from ours by {off:.1e}")
    report["rows"].append(row)
    said = [] if best is None else [f"{best[mode]['rate']:.4g} samples/s at batch {best['batch']}"]
    where = f"{row['variant']}{' with noise' if row['noise'] else ''}"
    _say(f"{where} {row['peer']}: {'; '.join([*said, *row['notes']])} ({time.monotonic() - start:.0f} s)")


def _write(path: Path | None, text: str) -> None:
    """Whole or not at all."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _environment(threads: int, seconds: float) -> dict[str, Any]:
    versions: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "system": platform.platform(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "minutes": seconds / 60,
        "load_at_end": os.getloadavg(),
        "versions": versions,
    }


if __name__ == "__main__":
    sys.exit(main())
