"""What the speed is held against: ours over a peer's, from the best peer of each circuit."""

from __future__ import annotations

from typing import Any

__all__ = ["NOISE_RATIO", "summarise"]

_NOISELESS = {"2b-9q": 40.0, "4b-9q": 20.0, "2b-18q": 150.0, "4b-18q": 5000.0}
_NOISY: tuple[tuple[str, dict[str, float]], ...] = (  # beginning of the peer's name, aim of each circuit
    ("TensorCircuit-NG", {"2b-9q": 150.0, "2b-18q": 700.0, "4b-9q": 2000.0}),
    ("PennyLane default.mixed", {"2b-9q": 10_000.0}),
    ("EstimatorQNN", {"2b-9q": 10_000.0}),
    ("Aer", {"2b-9q": 200.0}),
)
NOISE_RATIO = 1.3
"""Largest price of noise: seconds with it over seconds without."""


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line an aim: the fastest peer it speaks of, ours at its own best batch and at the peer's."""
    lines = []
    for variant in dict.fromkeys(row["variant"] for row in rows if not row["noise"]):
        lines += _line(rows, variant, noise=False, prefix="", aim=_NOISELESS.get(variant))
    for variant in dict.fromkeys(row["variant"] for row in rows if row["noise"]):
        for prefix, aims in _NOISY:
            lines += _line(rows, variant, noise=True, prefix=prefix, aim=aims.get(variant))
    return lines


def _line(
    rows: list[dict[str, Any]], variant: str, *, noise: bool, prefix: str, aim: float | None
) -> list[dict[str, Any]]:
    found = [
        row
        for row in rows
        if (row["variant"], row["noise"]) == (variant, noise)
        and row["peer"].startswith(prefix)
        and row["best"] is not None
        and not row["peer"].startswith("sqdr-qiskit")
    ]
    if not found:
        return []
    fastest = max(found, key=lambda row: float(row["best"][row["mode"]]["rate"]))
    speed = fastest["best"][fastest["mode"]]
    ratio = speed["ours_best"] / speed["rate"]
    return [
        {
            "variant": variant,
            "noise": noise,
            "mode": fastest["mode"],
            "peer": fastest["peer"],
            "batch": fastest["best"]["batch"],
            "peer_rate": speed["rate"],
            "extrapolated": fastest["best"]["extrapolated"],
            "ours_rate": speed["ours_best"],
            "ours_batch": speed["ours_best_batch"],
            "ratio": ratio,
            "ratio_same_batch": speed["ours_same"] / speed["rate"] if "ours_same" in speed else None,
            "aim": aim,
            "reached": None if aim is None else ratio >= aim,
        }
    ]
