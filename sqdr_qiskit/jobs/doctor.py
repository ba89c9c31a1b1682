"""Whether the way to a quantum computer is open: account, instance, plan, seconds left, device, costs."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip, chip_of
from sqdr_qiskit.devices.names import DEVICES_2026, fake_name, is_hardware
from sqdr_qiskit.devices.programs import layout_options
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError, SqdrError
from sqdr_qiskit.jobs.cost import OPEN_PLAN_S, place_of, plan_cost
from sqdr_qiskit.jobs.hardware import Watch
from sqdr_qiskit.runtime import nobody
from sqdr_qiskit.specs.job import JobSpec

if TYPE_CHECKING:
    from sqdr_qiskit.runtime.accounts import Connection

__all__ = ["Examination", "Finding", "examine", "smoke_job"]

GOOD, WARNING, BAD = "good", "warning", "bad"

_DISTRIBUTION = "sqdr-qiskit"
_SMOKE_CHECKPOINT, _SMOKE_IMAGES, _SMOKE_SHOTS = "digits-2b-9q", 4, 64
_SMOKE_S = 2
_STALE_H = 48.0  # a calibration is made about once a day
_LITTLE_S = 60.0  # what a run may spend where it does not say


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What: `versions`, `account`, `instance`, `plan`, `limits`, `device`, `calibration`, `circuit`,
            `rehearsal` or `cost`.
        state: `good`, `warning` (it will run) or `bad` (it will not).
        says: What was found.
        advice: What to do; empty where nothing is.
    """

    check: str
    state: str
    says: str
    advice: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Examination:
    """All findings, in the order in which things were looked at; what rests on something bad is left out.

    Attributes:
        device: The device's name, as asked for where it was not found.
        findings: The findings.
    """

    device: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is bad."""
        return all(finding.state != BAD for finding in self.findings)


def examine(device: str, *, watch: Watch = nobody, now: datetime | None = None) -> Examination:
    """Look at everything that a job on a device needs; nothing is sent.

    Args:
        device: `ibm_...` or `least_busy`.
        watch: Told of outages.
        now: The moment that a calibration's age counts to.

    Raises:
        ArgumentError: Not a quantum computer's name.
    """
    from sqdr_qiskit.runtime.accounts import LEAST_BUSY, Connection
    from sqdr_qiskit.runtime.client import quiet_client

    if not is_hardware(device):
        raise ArgumentError(
            f"Argument `backend` must be ibm_<device> or least_busy, the way to which is examined, but is "
            f"`{device}`, which needs no account."
        )
    findings = [_versions()]
    with quiet_client():
        account = Connection(LEAST_BUSY, watch=watch)
        try:
            service = account.service
        except SqdrError as error:
            findings.append(Finding("account", BAD, str(error), "Nothing else can be looked at before."))
            return Examination(device, tuple(findings))
        saved = "environment variable QISKIT_IBM_TOKEN" if os.environ.get("QISKIT_IBM_TOKEN") else "saved"
        findings.append(Finding("account", GOOD, f"IBM Quantum takes the account ({saved})."))
        findings += [*_instance(service), _limits(service)]
        connection = Connection(device, watch=watch)
        try:
            chip, found = _device(connection, now or datetime.now(UTC))
        except SqdrError as error:
            advice = "`sqdr-qiskit backends` lists what there is; `--backend least_busy` takes the next."
            findings.append(Finding("device", BAD, str(error), advice))
            return Examination(device, tuple(findings))
        findings += [*found, *_smoke(chip, connection.name)]
    return Examination(connection.name, tuple(findings))


def smoke_job(device: str) -> JobSpec:
    """The least that shows whether all works: four digits in few shots, ended by IBM after 2 s."""
    return JobSpec(
        task="infer",
        checkpoint=_SMOKE_CHECKPOINT,
        dataset="digits",
        limit=_SMOKE_IMAGES,
        backend=device,
        shots=_SMOKE_SHOTS,
        resilience=0,
        max_execution_s=_SMOKE_S,
        max_qpu_seconds=2.0 * _SMOKE_S,
    )


def _versions() -> Finding:
    """Whether what is installed is what the package asks for."""
    wrong = []
    try:
        needed = [Requirement(text) for text in requires(_DISTRIBUTION) or ()]
    except PackageNotFoundError:  # run from a folder of sources
        needed = []
    for one in needed:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            here = version(one.name)
        except PackageNotFoundError:
            wrong.append(f"{one.name} is missing")
            continue
        if not one.specifier.contains(here, prereleases=True):
            wrong.append(f"{one.name} {here} is not {one.specifier}")
    told = ", ".join(f"{name} {version(name)}" for name in ("qiskit", "qiskit-ibm-runtime", "qiskit-aer"))
    if not wrong:
        return Finding("versions", GOOD, f"{told}.")
    return Finding(
        "versions",
        WARNING,
        f"{told}; {'; '.join(wrong)}.",
        "Install what pyproject.toml names: pip install -U sqdr-qiskit.",
    )


def _instance(service: Any) -> list[Finding]:
    """The instance that jobs will be charged to, and its plan."""
    entries = list(service.instances())
    active = str(service.active_instance() or "")
    named = bool(os.environ.get("QISKIT_IBM_INSTANCE") or (service.active_account() or {}).get("instance"))
    own = next((entry for entry in entries if entry["crn"] == active), entries[0] if entries else None)
    if own is None:
        return [
            Finding(
                "instance",
                BAD,
                "The account has no instance.",
                "Make one at https://quantum.cloud.ibm.com/instances.",
            )
        ]
    name, plan = str(own.get("name") or "without a name"), str(own.get("plan") or "")
    if named or len(entries) == 1:
        found = [Finding("instance", GOOD, f"Jobs are charged to instance {name!r}.")]
    else:
        found = [
            Finding(
                "instance",
                WARNING,
                f"The account has {len(entries)} instances and none is named; now it is {name!r}.",
                "Name one: QISKIT_IBM_INSTANCE=<CRN>, or QiskitRuntimeService.save_account(instance=...).",
            )
        ]
    if "open" in plan.lower():
        says = (
            f"Plan {plan}: {OPEN_PLAN_S:.0f} s of quantum time in 28 days, no sessions; `--mode batch` works."
        )
        return [*found, Finding("plan", GOOD, says)]
    if plan and str(own.get("pricing_type") or "") != "free":
        says = f"Plan {plan}: quantum seconds cost money."
        return [*found, Finding("plan", WARNING, says, "Give every run a --max-qpu-seconds.")]
    return [*found, Finding("plan", WARNING, "The plan is not said.", "Give every run a --max-qpu-seconds.")]


def _limits(service: Any) -> Finding:
    """Quantum seconds that are left."""
    needed = _SMOKE_S * 1.5
    advice = "`sqdr-qiskit jobs list` says what each run used; --max-qpu-seconds holds the next."
    try:
        usage = dict(service.usage())
        limit = usage.get("usage_limit_seconds") or usage.get("usage_allocation_seconds")
        left = None if limit is None else float(limit) - float(usage.get("usage_consumed_seconds") or 0.0)
    except Exception:  # it hinders nothing: the ceiling of the run is another
        limit = left = None
    if left is None:
        return Finding("limits", WARNING, "How many quantum seconds are left is not said.", advice)
    says = f"{max(left, 0.0):.0f} s of {float(limit or 0):.0f} s are left."
    if left < needed:
        return Finding("limits", BAD, says, "Wait: seconds come back 28 days after they were used.")
    return Finding("limits", WARNING if left < _LITTLE_S else GOOD, says, advice if left < _LITTLE_S else "")


def _device(connection: Connection, now: datetime) -> tuple[Chip, list[Finding]]:
    """The device, what it does just now, and how fresh its calibration is."""
    from sqdr_qiskit.runtime.client import translating

    device = connection.device
    with translating(f"reading the state of {device.name}"):
        chip, status = chip_of(device), device.status()
    known = DEVICES_2026.get(str(device.name))
    kind = "" if known is None else f", {known.processor}"
    says = f"{device.name}{kind}: {chip.n_qubits} qubits, gate {chip.entangler}"
    waiting = f"{int(status.pending_jobs)} jobs wait"
    if status.operational:
        found = [Finding("device", GOOD, f"{says}; {waiting}.")]
    else:
        word = re.sub(r"[^\w .-]", "", str(status.status_msg or "away"))[:60]
        advice = "Wait, or take another: `sqdr-qiskit backends`."
        found = [Finding("device", BAD, f"{says}; it takes no jobs just now ({word}).", advice)]
    found.append(_calibration(chip, now))
    fake = fake_name(str(device.name))
    if fake is None:
        says = f"There is no snapshot of {device.name} on this machine."
        advice = "Rehearse on a device of its kind: `sqdr-qiskit backends --offline`."
        found.append(Finding("rehearsal", WARNING, says, advice))
    else:
        says = f"`--backend {fake}` rehearses it on this machine, for nothing."
        found.append(Finding("rehearsal", GOOD, says))
    return chip, found


def _calibration(chip: Chip, now: datetime) -> Finding:
    pairs = [qubits for qubits in chip.target[chip.entangler] if qubits is not None]
    broken = sum(chip.gate_error(chip.entangler, qubits) >= 0.5 for qubits in pairs)
    errors = sorted(edge.error for edge in chip.edges.values())
    median = errors[len(errors) // 2] if errors else float("nan")
    faults = f", {broken} of {len(pairs)} out of order" if broken else ""
    says = f"Median error of {chip.entangler} {100 * median:.2f} %{faults}"
    advice = "Learn its noise from runs: `sqdr-qiskit noise learn RUN`; or wait for the next calibration."
    if not chip.calibrated:
        return Finding("calibration", WARNING, f"{says}; when that was measured is not said.", advice)
    hours = (now - datetime.fromisoformat(chip.calibrated)).total_seconds() / 3600
    age = f"{hours:.0f} h" if hours < _STALE_H else f"{hours / 24:.0f} days"
    state = WARNING if hours > _STALE_H else GOOD
    return Finding("calibration", state, f"{says}; calibrated {age} ago.", advice if state == WARNING else "")


def _smoke(chip: Chip, name: str) -> list[Finding]:
    """Whether the smoke job's circuit fits the device, and what it costs."""
    model = build_circuit(_SMOKE_CHECKPOINT.partition("-")[2])
    try:
        program = compile_for_device(model.circuit, model.observables, chip, layout_options(None))
    except SqdrError as error:
        advice = "Take a larger device, or a circuit of fewer qubits (`--circuit 2b-5q`)."
        return [Finding("circuit", BAD, str(error), advice)]
    place = place_of(program, name, chip)
    plan = plan_cost(model.name, task="infer", samples=_SMOKE_IMAGES, shots=_SMOKE_SHOTS, place=place)
    copies = f"{place.copies} samples side by side on {place.qubits} qubits"
    fits = f"{model.name} fits: {copies}, {place.rounds} round{'s' * (place.rounds > 1)}."
    cost = (
        f"`doctor --send` sends one job: {_SMOKE_IMAGES} images, {plan.packed.shots:,} executions, about "
        f"{plan.packed.qpu_seconds:.1f} s by IBM's rule, ended by IBM after {_SMOKE_S} s."
    )
    return [Finding("circuit", GOOD, fits), Finding("cost", GOOD, cost)]
