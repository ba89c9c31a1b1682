"""The records of `run.py` as Markdown, which is also what the terminal shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.aims import NOISE_RATIO

__all__ = ["render"]


def render(report: dict[str, Any]) -> str:
    """What is reached, then every peer, then the price of noise; rates in samples per second."""
    parts = (
        _where(report["environment"]),
        _aims(report["summary"]),
        _noise(report["price_of_noise"]),
        _peers(report["rows"], noise=False),
        _peers(report["rows"], noise=True),
    )
    return "\n\n".join(part for part in parts if part)


def _where(environment: dict[str, Any]) -> str:
    names = ", ".join(f"{name} {number}" for name, number in environment["versions"].items() if number)
    return (
        f"{environment['cpu']}, {environment['threads']} threads, Python {environment['python']}; {names}. "
        f"Measured {environment['date']} in {environment['minutes']:.0f} minutes."
    )


def _aims(lines: list[dict[str, Any]]) -> str:
    header = ["circuit", "fastest peer", "batch", "peer", "ours, same batch", "ratio", "ours, its best batch",
              "ratio", "aim"]  # fmt: skip
    cells = []
    for line in lines:
        same = line["ratio_same_batch"]
        cells.append(
            [
                _circuit(line) + ("" if line["mode"] == "backward" else f", {line['mode']}"),
                line["peer"] + _share(line["extrapolated"]),
                str(line["batch"]),
                _number(line["peer_rate"]),
                "" if same is None else _number(same * line["peer_rate"]),
                "" if same is None else f"{_number(same)}x",
                f"{_number(line['ours_rate'])} ({line['ours_batch']})",
                f"**{_number(line['ratio'])}x**",
                ""
                if line["aim"] is None
                else f"{_number(line['aim'])}x" + ("" if line["reached"] else ", missed"),
            ]
        )
    return _table("## Ours against the fastest peer, forward + backward, samples/s", header, cells, left=2)


def _noise(rows: list[dict[str, Any]]) -> str:
    header = ["circuit", "batch", "exact", "exact_noisy", "noisy / noiseless", "by processor time", "aim"]
    cells = [
        [
            row["variant"],
            str(row["batch"]),
            _number(row["backward"]["exact"]),
            _number(row["backward"]["exact_noisy"]),
            f"**{row['backward']['ratio']:.2f}**",
            f"{row['backward']['processor_ratio']:.2f}",
            f"{NOISE_RATIO}" + ("" if row["backward"]["ratio"] <= NOISE_RATIO else ", missed"),
        ]
        for row in rows
    ]
    return _table("## Price of noise, forward + backward, samples/s", header, cells, left=1)


def _peers(rows: list[dict[str, Any]], *, noise: bool) -> str:
    chosen = [row for row in rows if row["noise"] == noise]
    header = ["circuit", "peer", "batch", "forward + backward", "ours, same batch", "ours, best batch"]
    header += ["ratio", "Jacobian", "ours", "ratio", "first call s", "MB", "differs by"]
    cells = []
    for row in chosen:
        best, mode = row["best"], row["mode"]
        if best is None:
            said = "; ".join(row["notes"]) or "no time left"
            cells.append([_circuit(row), row["peer"], "", said, *[""] * (len(header) - 4)])
            continue
        peer = row["peer"] + _share(best["extrapolated"]) + ("" if mode == "backward" else f", {mode} only")
        full = best.get("jacobian")
        deviation = row.get("deviation_from_ours")
        cells.append(
            [
                _circuit(row),
                peer,
                str(best["batch"]),
                *_pair(best[mode]),
                *(["", "", ""] if full is None else [_pair(full)[0], *_pair(full)[2:]]),
                f"{max(best['compile_s'].values()):.1f}" if best["compile_s"] else "",
                f"{best['peak_mb']:.0f}",
                "" if deviation is None else f"{deviation:.0e}",
            ]
        )
    title = "## All peers, with noise, samples/s" if noise else "## All peers, without noise, samples/s"
    return _table(title, header, cells, left=2)


def _circuit(record: dict[str, Any]) -> str:
    return str(record["variant"]) + (", noise" if record["noise"] else "")


def _pair(found: dict[str, Any]) -> list[str]:
    """A peer's rate, ours at its batch, ours at our best batch, and the last ratio."""
    same = found.get("ours_same")
    ratio = found["ours_best"] / found["rate"]
    return [
        _number(found["rate"]),
        "" if same is None else _number(same),
        _number(found["ours_best"]),
        f"{_number(ratio)}x",
    ]


def _share(extrapolated: Sequence[int] | None) -> str:
    return (
        "" if extrapolated is None else f" (extrapolated from {extrapolated[0]} of {extrapolated[1]:,} PUBs)"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(title: str, header: list[str], cells: list[list[str]], *, left: int) -> str:
    """Markdown with padded columns, the first `left` ones flush left; nothing where there are no rows."""
    if not cells:
        return ""
    widths = [
        max(len(row[k]) for row in (header, *cells) if not _is_note(row, k)) for k in range(len(header))
    ]
    lines = [
        "| " + " | ".join(
            text.ljust(width) if k < left or _is_note(row, k) else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ) + " |"
        for row in (header, *cells)
    ]  # fmt: skip
    rule = " | ".join("-" * width if k < left else "-" * (width - 1) + ":" for k, width in enumerate(widths))
    return "\n".join([title, "", lines[0], f"| {rule} |", *lines[1:]])


def _is_note(row: list[str], column: int) -> bool:
    """Whether a cell is a sentence in place of numbers; it does not widen its column."""
    return column == 3 and len(row) > 4 and row[2] == "" and row[3] != ""
