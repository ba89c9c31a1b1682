"""What was learnt of a device's noise, as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqdr_qiskit.reports.figures import learnt_figure
from sqdr_qiskit.reports.page import render
from sqdr_qiskit.reports.style import figure_img
from sqdr_qiskit.reports.tables import Table

__all__ = ["learnt_noise_page", "learnt_noise_text", "noise_verdict"]

_WORDS = {
    "T1": ("T1", 1e6, "µs"),
    "T2": ("T2", 1e6, "µs"),
    "pulse": ("pulse, depolarizing", 1e2, "%"),
    "pair": ("two-qubit gate, depolarizing", 1e2, "%"),
    "over_rotation": ("two-qubit gate, over-rotation", 1e3, "mrad"),
    "zz": ("ZZ with a neighbouring tile, per gate", 1e3, "mrad"),
    "p01": ("reads 1 for 0", 1e2, "%"),
    "p10": ("reads 0 for 1", 1e2, "%"),
}
_NOTE = (
    "Intervals are the posterior's 95 %: the likelihood of the counts with a prior around the calibration. A "
    "parameter is told if its interval is clearly narrower than the prior's. Chi-square is per held-out "
    "value, in units of shot noise; 1 is what shots alone would give. Its p-value counts in how uncertain "
    "the prediction itself is."
)
Row = Mapping[str, Any]


def noise_verdict(found: Row) -> str:
    """Whether what was learnt can be relied on, in a sentence or two.

    Args:
        found: `before`, `after` (chi-square per held-out value), `p_value` and `fits`.
    """
    squares = (
        f"Chi-square per value held out: {found['before']:.2f} by the calibration, {found['after']:.2f} as "
        f"learnt (p = {found['p_value']:.2g})."
    )
    if found["fits"]:
        return squares
    return (
        f"{squares} The fit is bad: relaxation, depolarizing, readout errors, over-rotation of pairs and ZZ "
        "with neighbouring tiles do not explain what was measured (drift, leakage, coherent errors of single "
        "qubits, readout errors that qubits share?). Do not rely on the file."
    )


def learnt_noise_text(found: Row) -> str:
    """The same as the page in a few lines, for the terminal; `found` as in `learnt_noise_page`."""
    told = [one for one in found["estimates"] if one["told"]]
    return (
        f"{_samples(found)}: {found['n_fitted']} values fitted, {found['n_held_out']} held out.\n"
        f"{noise_verdict(found)}\n"
        f"The data tell {len(told)} of {len(found['estimates'])} parameters; the others stay near the "
        f"calibration.\n{_table(told).text()}".rstrip()
    )


def learnt_noise_page(found: Row) -> str:
    """One HTML page that needs nothing else: no network, no script.

    Args:
        found: `backend`, `circuit`, `calibrated`, `n_samples`, `n_probes`, `shots`, `file`; of what was
            learnt `estimates` (rows of `what`, `qubits`, `calibrated`, `value`, `low`, `high`, `told`),
            `n_fitted`, `n_held_out`, `before`, `after`, `p_value`, `fits`; `held_out` (rows of measured,
            by the calibration, as learnt, standard error); `made_by` (name -> value).
    """
    told = [one for one in found["estimates"] if one["told"]]
    kinds = [(_WORDS[what][0], [one for one in found["estimates"] if one["what"] == what]) for what in _WORDS]
    counts = Table(
        ("parameter", "in these circuits", "told by the data"),
        tuple((words, str(len(rows)), str(sum(r["told"] for r in rows))) for words, rows in kinds if rows),
        frozenset((1, 2)),
    )
    facts = [
        (f"{found['before']:.2f}", "chi-square per held-out value, by the calibration"),
        (f"{found['after']:.2f}", f"as learnt (p = {found['p_value']:.2g})"),
        (f"{len(told)} of {len(found['estimates'])}", "parameters that the data tell"),
        (f"{found['n_held_out']:,}", f"values held out, {found['n_fitted']:,} fitted"),
    ]
    figure = learnt_figure(found["held_out"]) if len(found["held_out"]) else None
    return render(
        "noise.html",
        {
            "title": f"Noise of {found['backend']}, learnt",
            "subtitle": f"{_samples(found)}; {found['circuit']}, calibrated {found['calibrated']}.",
            "verdict": noise_verdict(found),
            "fits": found["fits"],
            "facts": facts,
            "figure": None if figure is None else figure_img(figure, "Deviations from both predictions"),
            "moved": _table([one for one in told if not one["low"] <= one["calibrated"] <= one["high"]]),
            "kept": _table([one for one in told if one["low"] <= one["calibrated"] <= one["high"]]),
            "untold": _table([one for one in found["estimates"] if not one["told"]]),
            "counts": counts,
            "file": found["file"],
            "made_by": found["made_by"],
            "note": _NOTE,
        },
    )


def _samples(found: Row) -> str:
    probes = f", {found['n_probes']} of them probes," if found["n_probes"] else ""
    return f"{found['n_samples']} samples of {found['backend']}{probes} in {found['shots']} shots"


def _table(estimates: Sequence[Row]) -> Table:
    rows = []
    for one in estimates:
        words, factor, unit = _WORDS[one["what"]]

        def number(value: float, factor: float = factor) -> str:
            if value >= 100.0:  # a time without an upper end
                return "–"
            return f"{factor * value if abs(value) > 1e-9 else 0.0:.3g}"  # below: rounding of a 0

        rows.append(
            (
                words,
                "-".join(str(qubit) for qubit in one["qubits"]),
                number(one["calibrated"]),
                number(one["value"]),
                f"{number(one['low'])} to {number(one['high'])}",
                unit,
            )
        )
    headers = ("parameter", "qubits", "calibrated", "learnt", "95 % interval", "unit")
    return Table(headers, tuple(rows), frozenset((2, 3, 4)))
