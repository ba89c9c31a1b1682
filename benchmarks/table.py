"""Records of `run.py` as a table for people."""

from __future__ import annotations

from typing import Any

__all__ = ["render", "summary"]

_HEADER = (
    f"{'peer':44}{'batch':>6}{'fwd+bwd':>11}{'ours':>11}{'ratio':>9}{'Jacobian':>11}{'ours':>11}{'ratio':>9}"
    f"{'compile s':>11}{'MB':>7}"
)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cells(record: dict[str, Any], mode: str) -> str:
    if mode not in record:
        return f"{'-':>11}{'':>11}{'':>9}"
    found = record[mode]
    ours = found.get(f"ours_{mode}")
    if ours is None:
        return f"{_number(found['rate']):>11}{'':>11}{'':>9}"
    return f"{_number(found['rate']):>11}{_number(ours):>11}{_number(ours / found['rate']):>9}"


def render(rows: list[dict[str, Any]]) -> str:
    """One block a variant; rates in samples per second."""
    lines = []
    for variant, noise in dict.fromkeys((row["variant"], row["noise"]) for row in rows):
        lines += ["", f"{variant}{', noisy' if noise else ''}  (samples/s)", _HEADER]
        for row in rows:
            if (row["variant"], row["noise"]) != (variant, noise):
                continue
            best = row["best"]
            if best is None:
                lines.append(f"{row['peer']:44}  {'; '.join(row['notes'])}")
                continue
            compiled = max(best["compile_s"].values(), default=0.0)
            cells = _cells(best, "backward") + _cells(best, "jacobian")
            lines.append(f"{row['peer']:44}{best['batch']:>6}{cells}{compiled:>11.1f}{best['peak_mb']:>7.0f}")
    return "\n".join(lines)


def summary(rows: list[dict[str, Any]]) -> str:
    """Ours against the fastest peer of each variant in forward + backward, and our Jacobian against that."""
    lines = ["", "Against the fastest peer of each row:"]
    for variant, noise in dict.fromkeys((row["variant"], row["noise"]) for row in rows):
        found = [
            row
            for row in rows
            if (row["variant"], row["noise"]) == (variant, noise)
            and row["best"] is not None
            and "ours_backward" in row["best"]["backward"]
            and not row.get("is_ours")
        ]
        if not found:
            continue
        fastest = max(found, key=lambda row: row["best"]["backward"]["rate"])
        speed = fastest["best"]["backward"]
        lines.append(
            f"  {variant}{' noisy' if noise else ''}: {fastest['peer']}, forward + backward"
            f" {_number(speed['rate'])}/s; ours"
            f" {_number(speed['ours_backward'])}/s ({_number(speed['ours_backward'] / speed['rate'])} x),"
            f" with the full Jacobian {_number(speed['ours_jacobian'])}/s"
            f" ({_number(speed['ours_jacobian'] / speed['rate'])} x)"
        )
    return "\n".join(lines)
