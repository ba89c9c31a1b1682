"""How derivatives of expectation values are found; each is a standard `BaseEstimatorGradient`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqdr_qiskit.backends import Backend
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients.exact import ExactGradient, PhysicsAwareGradient, TwinGradient
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest
from sqdr_qiskit.gradients.packing import Unit
from sqdr_qiskit.gradients.parameter_shift import Allocation, PackedParameterShift
from sqdr_qiskit.gradients.spsa import SPSAGradient
from sqdr_qiskit.simulators.exact import ExactEstimator
from sqdr_qiskit.specs.noise import NoiseSpec, noise_spec

if TYPE_CHECKING:  # an exact training waits neither for Aer nor for what lays circuits out
    from sqdr_qiskit.simulators.aer import Noise

__all__ = [
    "GRADIENTS",
    "BatchedEstimatorGradient",
    "ExactGradient",
    "GradientOptions",
    "GradientRequest",
    "PackedParameterShift",
    "PhysicsAwareGradient",
    "SPSAGradient",
    "TwinGradient",
    "is_device",
    "make_gradient",
    "noise_of",
]


@dataclass(frozen=True, kw_only=True)
class GradientOptions:
    """Choices that some gradients have; None leaves a choice to the gradient.

    Attributes:
        shots_per_step: Shots for one batch's gradient, in training its values too, split over executions.
        shot_allocation: How they are split: `even` or `proportional`.
        averages: Random perturbations averaged (spsa).
        step: Size of a perturbation, radians (spsa).
        seed: Seed of the perturbations (spsa).
        model_noise: Noise of the model that gives the derivatives (physics-aware), as a noise model's
            catalogue name or path, or `none` for a noiseless model; None takes the backend's own, which a
            device has not.
        control_every: Compare the model with a measurement at every so many steps (physics-aware).
    """

    shots_per_step: int | None = None
    shot_allocation: Allocation | None = None
    averages: int | None = None
    step: float | None = None
    seed: int | None = None
    model_noise: str | None = None
    control_every: int | None = None

    def given(self) -> dict[str, Any]:
        """The choices that are made."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


Maker = Callable[[Backend, GradientOptions], BatchedEstimatorGradient]


def _exact(backend: Backend, options: GradientOptions) -> BatchedEstimatorGradient:
    if backend.twin is not None:
        return TwinGradient(backend.twin)
    if is_device(backend):
        raise UnsupportedError(
            f"Gradient `exact` must run on a simulator whose noise is known, but backend {backend.name} is a "
            f"device or stands for one; `physics-aware` computes with a model of it."
        )
    # The backend's own estimator keeps its engines: a training then makes each of them once.
    if isinstance(backend.estimator, ExactEstimator):
        return ExactGradient(estimator=backend.estimator)
    return ExactGradient(ExactEstimator(backend.maker))


def _shift(unit: Unit) -> Maker:
    def make(backend: Backend, options: GradientOptions) -> BatchedEstimatorGradient:
        budget: dict[str, Any] = {
            "shots_per_step": options.shots_per_step,
            "allocation": options.shot_allocation or "even",
        }
        if is_device(backend):
            return PackedParameterShift(backend.estimator, assume="virtual-rz", unit=unit, **budget)
        noise = noise_of(backend)
        if noise is None:
            return PackedParameterShift(backend.estimator, assume="ideal", unit=unit, **budget)
        if unit == "gate":
            raise UnsupportedError(
                f"Gradient `gate-shift` must run on an ideal simulator or a device, but backend "
                f"{backend.name} has noise after single gates, which it would merge; use `parameter-shift`."
            )
        return PackedParameterShift(backend.estimator, assume="structural", noise=noise, **budget)

    return make


def _spsa(backend: Backend, options: GradientOptions) -> BatchedEstimatorGradient:
    return SPSAGradient(
        backend.estimator,
        averages=options.averages or 1,
        step=options.step,
        seed=options.seed or 0,
        tiling=None if noise_of(backend) is None else False,
    )


def _physics_aware(backend: Backend, options: GradientOptions) -> BatchedEstimatorGradient:
    if options.model_noise is not None:
        model = _model(backend, None if options.model_noise == "none" else noise_spec(options.model_noise))
    else:
        if is_device(backend) and backend.maker is None:
            raise ArgumentError(
                f"Argument `model_noise` must be given with gradient physics-aware on {backend.name}: a "
                "noise model such as fake-brisbane-median, or `none` for a model without noise."
            )
        model = ExactGradient(ExactEstimator(backend.maker))
    # The control measures by the ordinary rule, with the estimator's own shots: it is to be believed.
    every = options.control_every or 0
    control = _shift("rotation")(backend, GradientOptions()) if every else None
    return PhysicsAwareGradient(backend.estimator, model, control=control, control_every=every)


def _model(backend: Backend, noise: NoiseSpec | None) -> BatchedEstimatorGradient:
    """Derivatives under a noise model; under a device's own calibration, where its circuits stand on it."""
    from sqdr_qiskit.devices.estimator import DeviceEstimator
    from sqdr_qiskit.devices.twin import LocalSender, Twin
    from sqdr_qiskit.simulators.aer import noisy_engine

    if noise is None:
        return ExactGradient(ExactEstimator())
    if noise.device is None or not isinstance(backend.estimator, DeviceEstimator):
        return ExactGradient(ExactEstimator(noisy_engine(noise)))
    sender = LocalSender(backend.estimator.chip.under(noise.device), sampled=False)
    return TwinGradient(Twin(backend.estimator, sender))


# The one list of gradients: name on the command line -> maker, and the options that it has.
GRADIENTS: dict[str, tuple[Maker, frozenset[str]]] = {
    "exact": (_exact, frozenset()),
    "parameter-shift": (_shift("rotation"), frozenset({"shots_per_step", "shot_allocation"})),
    "gate-shift": (_shift("gate"), frozenset({"shots_per_step", "shot_allocation"})),
    "spsa": (_spsa, frozenset({"averages", "step", "seed"})),
    "physics-aware": (_physics_aware, frozenset({"model_noise", "control_every"})),
}


def make_gradient(
    name: str | None, backend: Backend, options: GradientOptions | None = None
) -> BatchedEstimatorGradient:
    """The gradient called `name` for `backend`; the backend's default if None.

    Args:
        name: A key of `GRADIENTS`.
        backend: What it runs on; its noise is the gradient's too.
        options: Choices that some gradients have.

    Raises:
        ArgumentError: No gradient of that name, or an option that it does not have.
        UnsupportedError: The gradient does not fit the backend.
    """
    chosen = backend.default_gradient if name is None else name
    if chosen not in GRADIENTS:
        raise ArgumentError(f"Argument `gradient` must be one of {', '.join(GRADIENTS)}, but is `{chosen}`.")
    maker, known = GRADIENTS[chosen]
    wanted = options or GradientOptions()
    for option in wanted.given():
        if option not in known:
            raise ArgumentError(
                f"Argument `{option}` must be left out with gradient {chosen}, which has no use for it."
            )
    return maker(backend, wanted)


def is_device(backend: Backend) -> bool:
    """Whether a backend is a quantum computer or stands for one: its RZ is a change of frame."""
    return backend.name.startswith(("fake_", "ibm_"))


def noise_of(backend: Backend) -> Noise | None:
    """The noise file or Aer noise model that a backend simulates."""
    noise: Noise | None = backend.noise or getattr(backend.estimator, "noise", None)
    return noise
