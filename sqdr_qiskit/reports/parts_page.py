"""One page about a list of parts on a quantum computer: what was sent, what it cost, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqdr_qiskit.reports.tables import Table

__all__ = ["parts_markdown"]

_NOTE = (
    "z: (measured - expected) / standard error by shots; mean z^2 is 1 where the twin explains all but the "
    "shots. Error: root mean square of (measured - noiseless) expectation values of all images and outputs."
)


def parts_markdown(record: Mapping[str, Any]) -> str:
    """The page in Markdown.

    Args:
        record: As `jobs.parts.parts_record` makes it.
    """
    rows: list[Mapping[str, Any]] = record["parts"]
    ran = [row for row in rows if row["state"] == "done" and "learning" not in row]
    planned, used = (sum(float(row.get(key) or 0.0) for row in ran) for key in ("planned_s", "used_s"))
    devices = ", ".join(
        dict.fromkeys(
            f"{row.get('device') or row['backend']}"
            + (f" (calibrated {row['calibrated']})" if row.get("calibrated") else "")
            for row in ran
        )
    )
    n_jobs = sum(len(jobs) if isinstance(jobs := row.get("jobs"), list) else int(jobs or 0) for row in ran)
    lines = [
        f"# {record['title']}",
        "",
        f"{devices or 'Nothing ran yet'}: {n_jobs} jobs, "
        f"{sum(int(row.get('executions') or 0) for row in ran):,} executions, {planned:.1f} s of quantum "
        f"time planned, {used:.1f} s used, {record['max_qpu_seconds']:g} s allowed.",
        "",
        Table(
            ("part", "what", "state", "jobs", "planned s", "used s", "result"),
            tuple(_row(row) for row in rows),
            frozenset({3, 4, 5}),
        ).markdown(),
    ]
    measured = [row for row in ran if "rms_error" in row]
    if measured:
        lines += [
            "Expectation values:",
            "",
            Table(
                (
                    "part",
                    "layout",
                    "error",
                    "by shots",
                    "slope",
                    "mean z^2, calibration",
                    "mean z^2, as learnt",
                ),
                tuple(
                    (
                        row["part"],
                        str(row["layout"]),
                        f"{row['rms_error']:.4f}",
                        _figure(row.get("sampling_error"), ".4f"),
                        f"{row['slope']:.3f}",
                        _figure((row.get("twin") or {}).get("chi_square"), ".2f"),
                        _figure((row.get("learnt") or {}).get("chi_square"), ".2f"),
                    )
                    for row in measured
                ),
                frozenset(range(2, 7)),
            ).markdown(),
            _NOTE,
            "",
        ]
    jobs = [f"- {row['part']}: {', '.join(row['jobs'])}" for row in ran if isinstance(row.get("jobs"), list)]
    lines += [*(["Job ids:", "", *jobs, ""] if jobs else [])]
    lines += [f"- {key}: {value}" for key, value in record["made_by"].items()]
    lines += [f"- source: {record['source']}", ""]
    return "\n".join(lines)


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
