"""What a run cost, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Card", "cost_card", "cost_of", "duration", "rehearsed"]

Record = Mapping[str, Any]


class Card(NamedTuple):
    """A question, its answer at a glance, and a few lines more."""

    question: str
    answer: str
    lines: tuple[str, ...]


def cost_of(jobs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums over jobs: `planned_s` of those not refused, `used_s`, `executions`, and how many are `done`."""
    sent = [job for job in jobs if job["state"] != "refused"]
    return {
        "planned_s": sum(job["planned_s"] for job in sent),
        "used_s": sum(job["used_s"] or 0.0 for job in jobs),
        "executions": sum(job["executions"] or 0 for job in jobs if job["state"] == "done"),
        "done": sum(job["state"] == "done" for job in jobs),
    }


def cost_card(record: Record) -> Card:
    """What it cost: quantum seconds where there were any, else time on the clock."""
    time, results = _seconds(record), record["results"]
    lines = []
    plan = results.get("rehearsal")
    if rehearsed(record) and plan is None:
        sums = cost_of(record["hardware"]["jobs"])
        plan = {"jobs": sums["done"], "executions": sums["executions"], "planned_s": sums["planned_s"]}
    if record.get("hardware") and not rehearsed(record):
        jobs = record["hardware"]["jobs"]
        sums = cost_of(jobs)
        lines.append(f"quantum time used; estimated {sums['planned_s']:.1f} s")
        done = "" if sums["done"] == len(jobs) else f" done of {len(jobs)}"
        lines.append(f"{_jobs(sums['done'])}{done}, {sums['executions']:,.0f} circuit executions")
        if time:
            lines.append(f"{duration(time)} on the clock")
        so_far = "" if record["finished"] else " so far"
        return Card("What it cost", f"{sums['used_s']:.1f} QPU s{so_far}", tuple(lines))
    if results.get("samples_per_s"):
        shares = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in results["shares"].items())
        lines.append(f"{results['samples_per_s']:,.0f} samples/s in training steps ({shares})")
    if plan is not None:
        lines.append(
            f"a rehearsal: the device would take about {plan['planned_s']:.1f} s of quantum time in "
            f"{_jobs(plan['jobs'])}, {plan['executions']:,.0f} circuit executions"
        )
    else:
        lines.append("no quantum time: simulated")
    so_far = "" if record["finished"] else " so far"
    return Card("What it cost", f"{duration(time)}{so_far}" if time else "not known yet", tuple(lines))


def rehearsed(record: Record) -> bool:
    """Whether the ledger is that of a rehearsal on a device's snapshot, where nothing is spent."""
    return str((record.get("hardware") or {}).get("device", "")).startswith("fake_")


def _jobs(number: float) -> str:
    return "1 job" if number == 1 else f"{number:.0f} jobs"


def _seconds(record: Record) -> float:
    """Seconds on the clock: of one sitting all of it, of several what was measured by stage; of a run that is
    not finished, from the writing of its record to that of its newest file.
    """
    timings = record["timings_s"]
    if not record["finished"]:
        return float(record["since_record_s"])
    if record["results"].get("sittings", 1) == 1:
        return float(timings.get("this_sitting", 0.0))
    return float(sum(value for stage, value in timings.items() if stage != "this_sitting"))


def duration(seconds: float) -> str:
    """Seconds as one reads them: `8.2 s`, `4 min 10 s`, `2 h 05 min`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
