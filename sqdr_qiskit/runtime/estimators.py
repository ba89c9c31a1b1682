"""One adapter over the runtime's estimators: the client-side one where it is, else the server-side one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_ibm_runtime import Batch, IBMBackend
from qiskit_ibm_runtime.utils.validations import validate_isa_circuits

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.runtime.accounts import quiet_client
from sqdr_qiskit.runtime.options import RuntimeSettings

__all__ = ["ESTIMATORS", "check_isa", "make_estimator"]

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
