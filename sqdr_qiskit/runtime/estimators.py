"""How jobs run on IBM Runtime, and one adapter over its estimators: the client-side one where it is, else the
server-side one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import PauliLindbladMap
from qiskit_ibm_runtime import Batch, IBMBackend
from qiskit_ibm_runtime.utils.validations import validate_isa_circuits

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.mitigation import DRAWING, Mitigation, pauli_rates
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.runtime.budget import Ceiling
from sqdr_qiskit.runtime.client import quiet_client

__all__ = [
    "DECOUPLING",
    "ESTIMATORS",
    "MODES",
    "RuntimeSettings",
    "add_noise",
    "check_isa",
    "make_estimator",
]

MODES = ("job", "batch")
_OF_METHODS = ("noise_factors", "extrapolator", "max_overhead")
DECOUPLING = ("XX", "XpXm", "XY4")
# What of its settings a method uses: the others change no number.
_ACTING = {
    "zne": ("noise_factors", "extrapolator"),
    "pea": ("noise_factors", "extrapolator"),
    "pec": ("max_overhead",),
}


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """Settings of the jobs of one run.

    Attributes:
        mode: `job` sends each job by itself; `batch` sends those that belong together in one batch. (A
            session would bill the time between jobs too, and is not on the Open plan.)
        resilience: 0 no mitigation, 1 readout mitigation, 2 gate twirling and zero-noise extrapolation too.
        mitigation: A method of `devices.mitigation`, in place of `resilience`; None leaves it to that.
        noise_factors: Of the method, see there, as for the next two; None is its default.
        extrapolator: What is fitted to them.
        max_overhead: Of `pec`.
        dynamical_decoupling: Pulse sequence on idle qubits, `XX`, `XpXm` or `XY4`; None for none.
        twirling: Whether two-qubit gates are twirled; None leaves it to `resilience`.
        fractional: Whether circuits turn qubits with RX of any angle. IBM takes it with nothing that twirls
            two-qubit gates (its issue 2001), which is `twirling`, `resilience` 2, `pec` and `pea`.
        max_execution_s: Quantum seconds after which IBM ends a job; None is IBM's own limit.
        job_tags: Put on every job, beside its own unique one.
        max_qpu_seconds: Quantum seconds that the whole run may use; nothing is sent that would exceed it.
        max_executions: Circuit executions that it may use; None is no limit.

    Raises:
        ArgumentError: A setting is out of range or has no effect.
    """

    mode: str = "job"
    resilience: int = 1
    mitigation: str | None = None
    noise_factors: tuple[float, ...] | None = None
    extrapolator: str | None = None
    max_overhead: float | None = None
    dynamical_decoupling: str | None = None
    twirling: bool | None = None
    fractional: bool = False
    max_execution_s: int | None = None
    job_tags: tuple[str, ...] = ()
    max_qpu_seconds: float = 60.0
    max_executions: int | None = None

    @property
    def draws_paulis(self) -> bool:
        """Whether Pauli operations are drawn by a model of the noise."""
        return self.mitigation in DRAWING

    @property
    def method(self) -> Mitigation | None:
        """The method with its settings, if one is named."""
        if self.mitigation is None:
            return None
        given = {name: getattr(self, name) for name in _OF_METHODS}
        return Mitigation(method=self.mitigation, **{n: v for n, v in given.items() if v is not None})

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
        method = self.method  # checks its settings
        if method is not None:
            object.__setattr__(self, "resilience", int(method.method != "none"))
        how = self.mitigation or f"resilience {self.resilience}"
        if self.twirling is not None and (self.twirling == (self.resilience == 2) or self.draws_paulis):
            state = "already on" if self.twirling else "needed" if self.draws_paulis else "off anyway"
            raise ArgumentError(
                f"Argument `twirling` must be left out with {how}, where it is {state}, but is "
                f"{self.twirling}."
            )
        if self.fractional and (self.twirling or self.resilience == 2 or self.draws_paulis):
            raise ArgumentError(
                f"Argument `fractional` must be left out with {'twirling' if self.twirling else how}, which "
                f"twirls two-qubit gates: IBM runs no fractional gates between them."
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
        for name in (
            "mitigation",
            *_OF_METHODS,
            "mode",
            "job_tags",
            "max_qpu_seconds",
            "max_executions",
            "max_execution_s",
            *(() if self.fractional else ("fractional",)),
        ):
            del values[name]
        return {**values, **_acting(self.method)}


def _acting(mitigation: Mitigation | None) -> dict[str, Any]:
    """What of a mitigation's settings acts, by name; without one there is nothing to say."""
    if mitigation is None:
        return {}
    plain = {name: getattr(mitigation, name) for name in _ACTING.get(mitigation.method, ())}
    if "noise_factors" in plain:
        plain["noise_factors"] = list(plain["noise_factors"])  # as JSON gives it back
    return {"mitigation": mitigation.method, **plain}


_Mode: TypeAlias = "IBMBackend | Batch"


def _options(settings: RuntimeSettings, tags: list[str]) -> dict[str, Any]:
    """What both estimators call the same."""
    options: dict[str, Any] = {"resilience_level": settings.resilience, "environment": {"job_tags": tags}}
    if settings.dynamical_decoupling is not None:
        options["dynamical_decoupling"] = {"enable": True, "sequence_type": settings.dynamical_decoupling}
    if settings.twirling is not None:
        options["twirling"] = {"enable_gates": settings.twirling}
    if settings.max_execution_s is not None:
        options["max_execution_time"] = settings.max_execution_s
    return options


def _client_side(mode: _Mode, settings: RuntimeSettings, tags: list[str]) -> Any:
    from qiskit_ibm_runtime.executor_estimator import Estimator

    options, chosen = _options(settings, tags), settings.method
    if chosen is not None and chosen.method in ("zne", "pea"):
        zne = {
            "amplifier": "pea" if chosen.method == "pea" else "gate_folding",
            "noise_factors": list(chosen.noise_factors),
            "extrapolator": chosen.extrapolator,
        }
        options["resilience"] = {"zne_mitigation": True, "zne": zne}
    if chosen is not None and chosen.method == "pec":
        options["resilience"] = {"pec_mitigation": True, "pec": {"max_overhead": chosen.max_overhead}}
    if settings.draws_paulis:  # as rehearsed: shots that share a draw share its error
        options["twirling"] = {"shots_per_randomization": 1}
    return Estimator(mode, options)


def _server_side(mode: _Mode, settings: RuntimeSettings, tags: list[str]) -> Any:
    try:
        from qiskit_ibm_runtime.server_side.estimator import EstimatorV2
    except ImportError:
        from qiskit_ibm_runtime import EstimatorV2

    if settings.mitigation not in (None, "none", "readout"):
        raise UnsupportedError(
            f"Mitigation {settings.mitigation} must go through the client-side estimator of "
            "qiskit-ibm-runtime, which this version lacks; install a version that pyproject.toml names."
        )
    return EstimatorV2(mode, options=_options(settings, tags))


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


def add_noise(estimator: Any, pubs: Sequence[EstimatorPub], chip: Chip) -> None:
    """Tell an estimator the noise of its circuits' layers of two-qubit gates, by the chip's calibration.

    A layer's noise is its gates' own, twirled; the client wants it as a Pauli-Lindblad map for each layer.
    """
    number = {qubit: i for pub in pubs for i, qubit in enumerate(pub.circuit.qubits)}
    estimator.options.resilience.layer_noise_model = [
        (layer, _layer_noise(layer, [number[qubit] for qubit in layer.qubits], chip))
        for layer in estimator.find_unique_layers(pubs)
    ]


def _layer_noise(layer: Any, device: Sequence[int], chip: Chip) -> PauliLindbladMap:
    body = layer.operation.body
    place = {qubit: number for number, qubit in enumerate(sorted(device))}
    terms = []
    for item in body.data:
        if len(item.qubits) != 2:
            continue
        where = tuple(device[body.find_bit(qubit).index] for qubit in item.qubits)
        for word, rate in pauli_rates(chip.channels_after(item.operation.name, where)).items():
            acting = [
                (letter, place[qubit]) for letter, qubit in zip(word, where, strict=True) if letter != "I"
            ]
            terms.append(("".join(letter for letter, _ in acting), [qubit for _, qubit in acting], rate))
    return PauliLindbladMap.from_sparse_list(terms, num_qubits=len(device))


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
