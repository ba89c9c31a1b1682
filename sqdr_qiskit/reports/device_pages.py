"""Pages about work on a device: a list of parts that was carried out there, and what was learnt of its noise.

A list of parts: what was sent, what it cost, what came of it. Noise: the calibration beside what was learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqdr_qiskit.reports.figures import learnt_figure
from sqdr_qiskit.reports.page import figure_img, render
from sqdr_qiskit.reports.tables import NONE, Table

__all__ = ["learnt_noise_page", "learnt_noise_text", "parts_markdown", "parts_page"]

Row = Mapping[str, Any]

# ---- a list of parts ---------------------------------------------------------------------------------------


_PARTS_NOTE = (
    "z: (measured - expected) / standard error by shots; mean z^2 is 1 where the twin explains all but the "
    "shots. Error: root mean square of (measured - noiseless) expectation values of all images and outputs."
)


def parts_page(record: Row) -> str:
    """One HTML page that needs nothing else: no network, no script.

    Args:
        record: As `jobs.parts.parts_record` makes it.
    """
    sums = _sums(record)
    return render(
        "parts.html",
        {
            "title": record["title"],
            "subtitle": sums.devices or "Nothing ran yet",
            "facts": [
                (f"{sums.planned_s:.1f} s", f"quantum time planned, {record['max_qpu_seconds']:g} s allowed"),
                (f"{sums.used_s:.1f} s", "quantum time used"),
                (f"{sums.n_jobs}", "jobs"),
                (f"{sums.executions:,}", "executions"),
            ],
            "parts": _parts_table(record),
            "values": _values_table(record),
            "jobs": _job_ids(record),
            "note": _PARTS_NOTE,
            "made_by": {**record["made_by"], "source": record["source"]},
        },
    )


def parts_markdown(record: Row) -> str:
    """The same in Markdown; `record` as in `parts_page`."""
    sums = _sums(record)
    values, jobs = _values_table(record), _job_ids(record)
    lines = [
        f"# {record['title']}",
        "",
        f"{sums.devices or 'Nothing ran yet'}: {sums.n_jobs} jobs, {sums.executions:,} executions, "
        f"{sums.planned_s:.1f} s of quantum time planned, {sums.used_s:.1f} s used, "
        f"{record['max_qpu_seconds']:g} s allowed.",
        "",
        _parts_table(record).markdown(),
        *(["Expectation values:", "", values.markdown(), _PARTS_NOTE, ""] if values.rows else []),
        *(["Job ids:", "", *(f"- {part}: {ids}" for part, ids in jobs), ""] if jobs else []),
        *(f"- {key}: {value}" for key, value in record["made_by"].items()),
        f"- source: {record['source']}",
        "",
    ]
    return "\n".join(lines)


class _Sums(NamedTuple):
    """What all parts together took."""

    devices: str
    n_jobs: int
    executions: int
    planned_s: float
    used_s: float


def _ran(record: Row) -> list[Row]:
    return [row for row in record["parts"] if row["state"] == "done" and "learning" not in row]


def _sums(record: Row) -> _Sums:
    ran = _ran(record)
    planned, used = (sum(float(row.get(key) or 0.0) for row in ran) for key in ("planned_s", "used_s"))
    devices = ", ".join(
        dict.fromkeys(
            f"{row.get('device') or row['backend']}"
            + (f" (calibrated {row['calibrated']})" if row.get("calibrated") else "")
            for row in ran
        )
    )
    n_jobs, executions = (
        sum(_n_jobs(row) or 0 for row in ran),
        sum(int(row.get("executions") or 0) for row in ran),
    )
    return _Sums(devices, n_jobs, executions, planned, used)


def _n_jobs(row: Row) -> int | None:
    """A rehearsal's jobs are counted, a device's named."""
    jobs: list[str] | int | None = row.get("jobs")
    return len(jobs) if isinstance(jobs, list) else jobs


def _job_ids(record: Row) -> list[tuple[str, str]]:
    return [
        (row["part"], ", ".join(row["jobs"])) for row in _ran(record) if isinstance(row.get("jobs"), list)
    ]


def _parts_table(record: Row) -> Table:
    headers = ("part", "what", "state", "jobs", "planned s", "used s", "result")
    return Table(headers, tuple(map(_row, record["parts"])), frozenset({3, 4, 5}))


def _values_table(record: Row) -> Table:
    headers = ("part", "layout", "error", "by shots", "slope", "mean z^2, calibration", "mean z^2, as learnt")
    cells = tuple(
        (
            row["part"],
            str(row["layout"]),
            f"{row['rms_error']:.4f}",
            _figure(row.get("sampling_error"), ".4f"),
            f"{row['slope']:.3f}",
            _figure((row.get("twin") or {}).get("chi_square"), ".2f"),
            _figure((row.get("learnt") or {}).get("chi_square"), ".2f"),
        )
        for row in _ran(record)
        if "rms_error" in row
    )
    return Table(headers, cells, frozenset(range(2, 7)))


def _row(row: Row) -> tuple[str, ...]:
    n_jobs = _n_jobs(row)
    return (
        row["part"],
        row["title"],
        row["state"],
        "" if n_jobs is None else str(n_jobs),
        _figure(row.get("planned_s"), ".1f"),
        _figure(row.get("used_s"), ".1f"),
        _result(row),
    )


def _result(row: Row) -> str:
    if row["state"] != "done":
        return ""
    if "learning" in row:
        told = row["learning"]
        fits = "" if told["fits"] else ", the fit is bad"
        return f"chi-square held out {told['before']:.2f}, as learnt {told['after']:.2f}{fits}"
    if row["task"] == "train":
        return f"{row['steps']} steps, test accuracy {100 * float(row['test_accuracy'] or 0.0):.1f} %"
    if row.get("right") is None:
        return f"{row['images']} images"
    exact = "" if row.get("exact_right") is None else f", noiseless {row['exact_right']}"
    return f"{row['right']} of {row['images']} right{exact}"


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


# ---- noise that was learnt ---------------------------------------------------------------------------------

_PARAMETERS = {
    "T1": ("T1", 1e6, "µs"),
    "T2": ("T2", 1e6, "µs"),
    "pulse": ("pulse, depolarizing", 1e2, "%"),
    "pair": ("two-qubit gate, depolarizing", 1e2, "%"),
    "over_rotation": ("two-qubit gate, over-rotation", 1e3, "mrad"),
    "zz": ("ZZ with a neighbouring tile, per gate", 1e3, "mrad"),
    "p01": ("reads 1 for 0", 1e2, "%"),
    "p10": ("reads 0 for 1", 1e2, "%"),
}
_NOISE_NOTE = (
    "Intervals are the posterior's 95 %: the likelihood of the counts with a prior around the calibration. A "
    "parameter is told if its interval is clearly narrower than the prior's. Chi-square is per held-out "
    "value, in units of shot noise; 1 is what shots alone would give. Its p-value counts in how uncertain "
    "the prediction itself is."
)


def _noise_verdict(found: Row) -> str:
    """Whether what was learnt can be relied on, in a sentence or two."""
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
        f"{_noise_verdict(found)}\n"
        f"The data tell {len(told)} of {len(found['estimates'])} parameters; the others stay near the "
        f"calibration.\n{_estimates_table(told).text()}".rstrip()
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
    moved = [one for one in told if not one["low"] <= one["calibrated"] <= one["high"]]
    counts = Table(
        ("parameter", "in these circuits", "told by the data"),
        tuple(
            (words, str(len(own)), str(sum(one["told"] for one in own)))
            for what, (words, _, _) in _PARAMETERS.items()
            if (own := [one for one in found["estimates"] if one["what"] == what])
        ),
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
            "verdict": _noise_verdict(found),
            "fits": found["fits"],
            "facts": facts,
            "figure": None if figure is None else figure_img(figure, "Deviations from both predictions"),
            "moved": _estimates_table(moved),
            "kept": _estimates_table([one for one in told if one not in moved]),
            "untold": _estimates_table([one for one in found["estimates"] if not one["told"]]),
            "counts": counts,
            "file": found["file"],
            "made_by": found["made_by"],
            "note": _NOISE_NOTE,
        },
    )


def _samples(found: Row) -> str:
    probes = f", {found['n_probes']} of them probes," if found["n_probes"] else ""
    return f"{found['n_samples']} samples of {found['backend']}{probes} in {found['shots']} shots"


def _estimates_table(estimates: Sequence[Row]) -> Table:
    rows = []
    for one in estimates:
        words, factor, unit = _PARAMETERS[one["what"]]

        def number(value: float, factor: float = factor) -> str:
            if value >= 100.0:  # a time without an upper end
                return NONE
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
