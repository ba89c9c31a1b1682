"""One page about a list of parts on a quantum computer: what was sent, what it cost, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqdr_qiskit.reports.page import render
from sqdr_qiskit.reports.tables import Table

__all__ = ["parts_markdown", "parts_page"]

_NOTE = (
    "z: (measured - expected) / standard error by shots; mean z^2 is 1 where the twin explains all but the "
    "shots. Error: root mean square of (measured - noiseless) expectation values of all images and outputs."
)


def parts_page(record: Mapping[str, Any]) -> str:
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
            "note": _NOTE,
            "made_by": {**record["made_by"], "source": record["source"]},
        },
    )


def parts_markdown(record: Mapping[str, Any]) -> str:
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
        *(["Expectation values:", "", values.markdown(), _NOTE, ""] if values.rows else []),
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


def _ran(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in record["parts"] if row["state"] == "done" and "learning" not in row]


def _sums(record: Mapping[str, Any]) -> _Sums:
    ran = _ran(record)
    planned, used = (sum(float(row.get(key) or 0.0) for row in ran) for key in ("planned_s", "used_s"))
    devices = ", ".join(
        dict.fromkeys(
            f"{row.get('device') or row['backend']}"
            + (f" (calibrated {row['calibrated']})" if row.get("calibrated") else "")
            for row in ran
        )
    )
    n_jobs = sum(len(jobs) if isinstance(jobs := row.get("jobs"), list) else int(jobs or 0) for row in ran)
    return _Sums(devices, n_jobs, sum(int(row.get("executions") or 0) for row in ran), planned, used)


def _job_ids(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (row["part"], ", ".join(row["jobs"])) for row in _ran(record) if isinstance(row.get("jobs"), list)
    ]


def _parts_table(record: Mapping[str, Any]) -> Table:
    headers = ("part", "what", "state", "jobs", "planned s", "used s", "result")
    return Table(headers, tuple(map(_row, record["parts"])), frozenset({3, 4, 5}))


def _values_table(record: Mapping[str, Any]) -> Table:
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


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    jobs = row.get("jobs")
    return (
        row["part"],
        row["title"],
        row["state"],
        "" if jobs is None else str(len(jobs) if isinstance(jobs, list) else jobs),
        _figure(row.get("planned_s"), ".1f"),
        _figure(row.get("used_s"), ".1f"),
        _result(row),
    )


def _result(row: Mapping[str, Any]) -> str:
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
