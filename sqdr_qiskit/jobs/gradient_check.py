"""All gradients on one sample of a circuit, side by side: values, errors, executions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.backends.interface import Backend
from sqdr_qiskit.circuits import CircuitModel, build_circuit
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients import make_gradient
from sqdr_qiskit.gradients.parameter_shift import PackedParameterShift
from sqdr_qiskit.gradients.shifts.plans import execute
from sqdr_qiskit.gradients.spsa import SPSAGradient
from sqdr_qiskit.tiles.tiles import whole_register

__all__ = ["GradientCheck", "Method", "check_gradients"]

_STEP = 1e-4  # of finite differences: error about step^2 / 6 without shots


@dataclass(frozen=True, kw_only=True, eq=False)
class Method:
    """One way to the Jacobian.

    Attributes:
        name: What it is called.
        jacobian: Shape (n_observables, n_params), per radian.
        executions: Circuit executions it took, all observables of one circuit read together where it can; for
            the exact engine 0.
        largest_error: Largest difference from the reference.
        mean_square_error: Root mean square of the differences.
    """

    name: str
    jacobian: NDArray[np.float64]
    executions: int
    largest_error: float
    mean_square_error: float


@dataclass(frozen=True, kw_only=True, eq=False)
class GradientCheck:
    """The comparison.

    Attributes:
        circuit: The circuit's name.
        backend: The backend's name.
        shots: Samples per expectation value, None if exact.
        reference: Name of the method that the others are compared with.
        parameters: Names of the circuit's parameters, in order.
        methods: What was compared.
        skipped: What does not apply here, and why.
    """

    circuit: str
    backend: str
    shots: int | None
    reference: str
    parameters: tuple[str, ...]
    methods: tuple[Method, ...]
    skipped: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "circuit": self.circuit,
            "backend": self.backend,
            "shots": self.shots,
            "reference": self.reference,
            "parameters": list(self.parameters),
            "methods": [
                {
                    "name": method.name,
                    "executions": method.executions,
                    "largest_error": method.largest_error,
                    "root_mean_square_error": method.mean_square_error,
                    "jacobian": method.jacobian.tolist(),
                }
                for method in self.methods
            ],
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
        }


def check_gradients(
    circuit: str,
    *,
    backend: str = "exact",
    noise: str | None = None,
    shots: int | None = None,
    seed: int = 0,
    averages: int = 100,
) -> GradientCheck:
    """Compare the exact gradient with all ways of measuring it, at one random point of the circuit.

    Args:
        circuit: A catalogue name, `<b>b-<n>q`, or a path.
        backend: Name of a simulator; the exact engine, under its noise, is the reference.
        noise: Noise model of a noisy simulator.
        shots: Samples per expectation value, for backends that sample.
        seed: Draws the point, and all samples.
        averages: Perturbations of SPSA.

    Raises:
        InputError: The circuit or the backend cannot be.
    """
    if averages < 1:
        raise ArgumentError(f"Argument `averages` must be at least 1, but is {averages}.")
    model = build_circuit(circuit)
    source = make_backend(backend, noise=noise, shots=shots, seed=seed)
    point = np.random.default_rng(seed).uniform(0.0, 2 * np.pi, (1, model.circuit.num_parameters))
    reference = make_gradient("exact", source).jacobian(model.circuit, model.observables, point)[0]
    found: list[tuple[str, NDArray[np.float64], int]] = [("exact", reference, 0)]
    skipped: list[tuple[str, str]] = []
    for name in ("parameter-shift", "gate-shift"):
        try:
            gradient = make_gradient(name, source)
        except UnsupportedError as error:
            skipped.append((name, str(error)))
            continue
        assert isinstance(gradient, PackedParameterShift)
        measured = gradient.jacobian(model.circuit, model.observables, point)[0]
        found.append((f"packed {name}", measured, gradient.executions))
    found.append(("stock parameter shift", *_stock(model, source.estimator, point)))
    found.append(("finite differences", *_differences(model, source, point)))
    spsa = SPSAGradient(
        source.estimator,
        averages=averages,
        seed=seed,
        step=None if shots is None else 0.2,
        tiling=False if source.noise is not None else None,
    )
    found.append(
        (
            f"spsa, {averages} averages",
            spsa.jacobian(model.circuit, model.observables, point)[0],
            spsa.executions,
        )
    )
    return GradientCheck(
        circuit=model.name,
        backend=source.name,
        shots=source.shots,
        reference="exact",
        parameters=tuple(parameter.name for parameter in model.circuit.parameters),
        methods=tuple(
            Method(
                name=name,
                jacobian=jacobian,
                executions=executions,
                largest_error=float(np.abs(jacobian - reference).max(initial=0.0)),
                mean_square_error=float(np.sqrt(np.mean((jacobian - reference) ** 2))),
            )
            for name, jacobian, executions in found
        ),
        skipped=tuple(skipped),
    )


def _stock(
    model: CircuitModel, estimator: BaseEstimatorV2, point: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """The ordinary rule: every rotation turned alone, every observable for itself.

    The same numbers as Qiskit Machine Learning's `ParamShiftEstimatorGradient`, which takes 1,944 circuits
    for 2b-9q; here they are rows of one parameter array for each observable.
    """
    tiled = whole_register(model.circuit, model.observables)
    turned = np.flatnonzero((tiled.coefficients != 0.0).any(axis=1))
    angles = np.repeat(tiled.angles(point), 2 * len(turned), axis=0)
    for place, rotation in enumerate(turned):
        angles[2 * place, rotation] += np.pi / 2
        angles[2 * place + 1, rotation] -= np.pi / 2
    rows = tiled.bind(angles)
    found = []
    for observable in tiled.observables:
        result = estimator.run([(tiled.circuit, observable, rows)]).result()[0]
        values = np.asarray(result.data.evs)
        found.append(((values[0::2] - values[1::2]) / 2) @ tiled.coefficients[turned])
    return np.array(found), len(rows) * len(found)


def _differences(
    model: CircuitModel, source: Backend, point: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """Central differences, with a step that suits the shots."""
    step = _STEP if source.shots is None else 0.3
    tiled = whole_register(model.circuit, model.observables)
    n_params = point.shape[1]
    rows = np.concatenate([point + step * np.eye(n_params), point - step * np.eye(n_params)])
    found = execute(source.estimator, tiled, tiled.bind(tiled.angles(rows)), None).values
    slopes = (found[:, :n_params] - found[:, n_params:]) / (2 * step)
    return np.asarray(tiled.weights @ slopes), len(rows)
