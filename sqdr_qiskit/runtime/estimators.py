"""How jobs run on IBM Runtime, and one adapter over its estimators: the client-side one where it is, else the
server-side one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_ibm_runtime import Batch, IBMBackend
from qiskit_ibm_runtime.utils.validations import validate_isa_circuits

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.runtime.budget import Ceiling
from sqdr_qiskit.runtime.waiting import quiet_client

__all__ = ["DECOUPLING", "ESTIMATORS", "MODES", "RuntimeSettings", "check_isa", "make_estimator"]

MODES = ("job", "batch")
DECOUPLING = ("XX", "XpXm", "XY4")


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """Settings of the jobs of one run.

    Attributes:
        mode: `job` sends each job by itself; `batch` sends those that belong together in one batch. (A
            session would bill the time between jobs too, and is not on the Open plan.)
        resilience: 0 no mitigation, 1 readout mitigation, 2 gate twirling and zero-noise extrapolation too.
        dynamical_decoupling: Pulse sequence on idle qubits, `XX`, `XpXm` or `XY4`; None for none.
        twirling: Whether two-qubit gates are twirled; None leaves it to `resilience`.
        max_execution_s: Quantum seconds after which IBM ends a job; None is IBM's own limit.
        job_tags: Put on every job, beside its own unique one.
        max_qpu_seconds: Quantum seconds that the whole run may use; nothing is sent that would exceed it.
        max_executions: Circuit executions that it may use; None is no limit.

    Raises:
        ArgumentError: A setting is out of range or has no effect.
    """

    mode: str = "job"
    resilience: int = 1
    dynamical_decoupling: str | None = None
    twirling: bool | None = None
    max_execution_s: int | None = None
    job_tags: tuple[str, ...] = ()
    max_qpu_seconds: float = 60.0
    max_executions: int | None = None

    @property
    def ceiling(self) -> Ceiling:
        """What the run may spend."""
        return Ceiling(max_qpu_seconds=self.max_qpu_seconds, max_executions=self.max_executions)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ArgumentError(f"Argument `mode` must be one of {', '.join(MODES)}, but is {self.mode!r}.")
        if self.resilience not in (0, 1, 2):
            raise ArgumentError(f"Argument `resilience` must be 0, 1 or 2, but is {self.resilience!r}.")
        if self.dynamical_decoupling is not None and self.dynamical_decoupling not in DECOUPLING:
            raise ArgumentError(
                f"Argument `dynamical_decoupling` must be one of {', '.join(DECOUPLING)}, but is "
                f"{self.dynamical_decoupling!r}."
            )
        if self.twirling is not None and self.twirling == (self.resilience == 2):
            state = "already on" if self.twirling else "off anyway"
            raise ArgumentError(
                f"Argument `twirling` must be left out with resilience {self.resilience}, where it is "
                f"{state}, but is {self.twirling}."
            )
        if self.max_execution_s is not None and self.max_execution_s < 1:
            raise ArgumentError(
                f"Argument `max_execution_s` must be at least 1, but is {self.max_execution_s}."
            )
        assert self.ceiling  # checks its limits
        for tag in self.job_tags:
            if not tag or len(tag) > 86:
                raise ArgumentError(
                    f"Argument `job_tags` must hold tags of 1 to 86 characters, but has {tag!r}."
                )

    def facts(self) -> dict[str, Any]:
        """What changes the numbers that come back: part of a request's digest."""
        values = asdict(self)
        for name in ("mode", "job_tags", "max_qpu_seconds", "max_executions", "max_execution_s"):
            del values[name]
        return values


_Mode: TypeAlias = "IBMBackend | Batch"


def _client_side(mode: _Mode, settings: RuntimeSettings, tags: list[str]) -> Any:
    from qiskit_ibm_runtime.executor_estimator import Estimator

    estimator = Estimator(mode)
    options = estimator.options
    options.resilience_level = settings.resilience
    if settings.dynamical_decoupling is not None:
        options.dynamical_decoupling.enable = True
        options.dynamical_decoupling.sequence_type = settings.dynamical_decoupling
    if settings.twirling is not None:
        options.twirling.enable_gates = settings.twirling
    if settings.max_execution_s is not None:
        options.max_execution_time = settings.max_execution_s
    options.environment.job_tags = tags
    return estimator


def _server_side(mode: _Mode, settings: RuntimeSettings, tags: list[str]) -> Any:
    try:
        from qiskit_ibm_runtime.server_side.estimator import EstimatorV2
    except ImportError:
        from qiskit_ibm_runtime import EstimatorV2

    options: dict[str, Any] = {
        "resilience_level": settings.resilience,
        "environment": {"job_tags": tags},
    }
    if settings.dynamical_decoupling is not None:
        options["dynamical_decoupling"] = {"enable": True, "sequence_type": settings.dynamical_decoupling}
    if settings.twirling is not None:
        options["twirling"] = {"enable_gates": settings.twirling}
    if settings.max_execution_s is not None:
        options["max_execution_time"] = settings.max_execution_s
    return EstimatorV2(mode, options=options)


# Name -> maker, in the order in which they are tried. (IBM removes the second from about the end of 2026.)
ESTIMATORS: Mapping[str, Callable[[_Mode, RuntimeSettings, list[str]], Any]] = {
    "client-side": _client_side,
    "server-side": _server_side,
}


def make_estimator(
    mode: _Mode, settings: RuntimeSettings, tags: Sequence[str], *, which: str | None = None
) -> Any:
    """The runtime's estimator, ready to `run(pubs, precision=...)` one job.

    Args:
        mode: A device, or a batch on one.
        settings: How the job runs.
        tags: The job's tags.
        which: A name in `ESTIMATORS`; None takes the first that this version of the client has.

    Raises:
        ArgumentError: No estimator of that name.
        UnsupportedError: The client has none of them.
    """
    if which is not None and which not in ESTIMATORS:
        raise ArgumentError(f"Argument `which` must be one of {', '.join(ESTIMATORS)}, but is {which!r}.")
    for name in ESTIMATORS if which is None else (which,):
        with quiet_client():
            try:
                return ESTIMATORS[name](mode, settings, list(tags))
            except ImportError:
                continue
    raise UnsupportedError(
        "Package qiskit-ibm-runtime must offer an estimator, but this version has none that is known here; "
        "install a version that pyproject.toml names."
    )


def check_isa(pubs: Sequence[EstimatorPub], device: IBMBackend) -> None:
    """Refuse circuits that the device cannot run, before anything is sent (the new estimator would not).

    Raises:
        UnsupportedError: A gate, a coupling or a qubit that the device lacks or that is out of order.
    """
    for pub in {id(pub.circuit): pub for pub in pubs}.values():
        try:
            validate_isa_circuits([pub.circuit], device.target)
            device.check_faulty(pub.circuit)
        except ValueError as error:  # the client's own error for it is one, too
            reason = str(error).strip("'").split(" Circuits that do not match")[0]
            raise UnsupportedError(
                f"Device {device.name} cannot run circuit {pub.circuit.name}: {reason}"
            ) from error
