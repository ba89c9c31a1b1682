"""How a job runs on IBM Runtime, as frozen settings that check themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.runtime.ceiling import Ceiling

__all__ = ["DECOUPLING", "MODES", "RuntimeSettings"]

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
