"""Studies of the circuit's gradient: all ways to it side by side, and its variance.

The variance is studied against the circuit's size (figure 5), and while training (figure 4). Barren plateaus
show as a variance that falls exponentially with the number of qubits. Light cones of local observables do not
grow with it, so theirs stays; a global observable's falls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp
from torch.nn import functional

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.circuits import CircuitModel, build_circuit
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients import make_gradient
from sqdr_qiskit.gradients.parameter_shift import PackedParameterShift
from sqdr_qiskit.gradients.plans import execute
from sqdr_qiskit.gradients.spsa import SPSAGradient
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.specs.noise import NoiseSpec
from sqdr_qiskit.tiles import whole_register
from sqdr_qiskit.training.optimisation import INITIALISATIONS, draw, initial_circuit_weights

__all__ = [
    "check_gradients",
    "gradient_variance",
    "GradientCheck",
    "Method",
    "OBSERVABLES",
    "training_variance",
    "VariancePoint",
]


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
        root_mean_square_error: Root mean square of the differences.
    """

    name: str
    jacobian: NDArray[np.float64]
    executions: int
    largest_error: float
    root_mean_square_error: float


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
        skipped: `name` of what does not apply here, and the `reason`.
    """

    circuit: str
    backend: str
    shots: int | None
    reference: str
    parameters: tuple[str, ...]
    methods: tuple[Method, ...]
    skipped: tuple[Mapping[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, for a record."""
        return asdict(self)


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
    skipped = []
    for name in ("parameter-shift", "gate-shift"):
        try:
            gradient = make_gradient(name, source)
        except UnsupportedError as error:
            skipped.append({"name": name, "reason": str(error)})
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
    measured = spsa.jacobian(model.circuit, model.observables, point)[0]
    found.append((f"spsa, {averages} averages", measured, spsa.executions))
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
                root_mean_square_error=float(np.sqrt(np.mean((jacobian - reference) ** 2))),
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


# ---- variance ----------------------------------------------------------------------------------------------

Observable: TypeAlias = Literal["local", "global"]
OBSERVABLES: tuple[Observable, ...] = ("local", "global")


@dataclass(frozen=True, kw_only=True)
class VariancePoint:
    """Variance over random weights and data.

    Attributes:
        n_qubits: Qubits.
        n_blocks: Blocks.
        initialisation: Distribution of the weights.
        observable: `local` is Z on the first qubit, `global` Z on all qubits.
        noise: Name of the noise model, None for none.
        samples: Draws.
        variance_first: Variance of the derivative by the first weight that has one: theta of the first
            block's Rot on the first qubit (the paper's theta_{1,1}).
        variance_mean: Mean over all weights of their derivatives' variances.
        variance_reached: The same, over the weights within the light cone alone.
        standard_error: Of `variance_first`, over draws.
    """

    n_qubits: int
    n_blocks: int
    initialisation: str
    observable: str
    noise: str | None
    samples: int
    variance_first: float
    variance_mean: float
    variance_reached: float
    standard_error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def gradient_variance(
    n_qubits: Sequence[int],
    *,
    n_blocks: int = 2,
    initialisations: Sequence[str] = tuple(INITIALISATIONS),
    observables: Sequence[Observable] = OBSERVABLES,
    noise: NoiseSpec | None = None,
    samples: int = 1000,
    seed: int = 0,
    progress: Callable[[VariancePoint], None] | None = None,
) -> list[VariancePoint]:
    """Variance of the gradient of re-uploading circuits against their size.

    Data angles are uniform on [0, 1], as firing rates are; weights come from each initialisation.

    Args:
        n_qubits: Numbers of qubits.
        n_blocks: Blocks b.
        initialisations: Names in `INITIALISATIONS`.
        observables: `local`, `global`.
        noise: A noise model; None for none.
        samples: Random draws for each point.
        seed: Draws them.
        progress: Told of each point.

    Raises:
        ArgumentError: A name or a number that cannot be.
        UnsupportedError: A global observable's cone that is too deep to compute.

    Source: Luu et al., arXiv 2512.03895, figure 5; McClean et al., Nat. Commun. 9, 4812 (2018).
    """
    if samples < 2:
        raise ArgumentError(f"Argument `samples` must be at least 2, but is {samples}.")
    for observable in observables:
        if observable not in OBSERVABLES:
            raise ArgumentError(f"Argument `observables` must be local or global, but has {observable!r}.")
    from sqdr_qiskit.simulators.aer import (
        noisy_engine,  # a training, which is measured here too, needs no Aer
    )

    points = []
    for n in n_qubits:
        model = build_circuit(f"{n_blocks}b-{n}q")
        column = {parameter: i for i, parameter in enumerate(model.circuit.parameters)}
        weights, data = [column[w] for w in model.w], [column[x] for x in model.x]
        for observable in observables:
            operator = SparsePauliOp.from_sparse_list(
                [("Z", [0], 1.0)] if observable == "local" else [("Z" * n, list(range(n)), 1.0)], n
            )
            make = ExactEngine if noise is None else noisy_engine(noise)
            engine = make(model.circuit, [operator])
            for name in initialisations:
                rng = draw(seed, "weights", step=n)
                values = np.zeros((samples, model.circuit.num_parameters))
                values[:, data] = rng.uniform(0.0, 1.0, (samples, model.n_features))
                values[:, weights] = initial_circuit_weights(
                    name, samples * model.n_weights, rng=rng
                ).reshape(samples, -1)
                _, jacobian = engine.jacobian(values)
                point = _point(jacobian[:, 0, weights], n, n_blocks, name, observable, noise)
                points.append(point)
                if progress is not None:
                    progress(point)
    return points


def _point(
    gradients: NDArray[np.float64],
    n: int,
    n_blocks: int,
    initialisation: str,
    observable: str,
    noise: NoiseSpec | None,
) -> VariancePoint:
    variances = gradients.var(axis=0, ddof=1)
    reached = variances[np.abs(gradients).max(axis=0) > 0.0]
    squared = (gradients[:, 1] - gradients[:, 1].mean()) ** 2  # w[1] is theta: w[0], phi, shares x's RZ
    return VariancePoint(
        n_qubits=n,
        n_blocks=n_blocks,
        initialisation=initialisation,
        observable=observable,
        noise=None if noise is None else noise.name,
        samples=len(gradients),
        variance_first=float(variances[1]),
        variance_mean=float(variances.mean()),
        variance_reached=float(reached.mean()) if len(reached) else 0.0,
        standard_error=float(squared.std(ddof=1) / np.sqrt(len(gradients))),
    )


def training_variance(model: SQDRCNN, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Variance of the circuit's gradient on a batch, with head and without, and what theorem 2 says of them.

    For every image, weight w and output i, without a head: f' = d<Z_i>/dw. With it, as the theorem writes it,
    the product of two numbers: W_ci f' for every class c; and the derivative of a logit, their sum
    dy_c/dw = sum_i W_ci d<Z_i>/dw. Theorem 2: if factor and derivative are independent and
    Var[W] + E[W]^2 >= 1, Var[W f'] >= Var[f']; its equation 11 gives Var[W f'] itself.

    Args:
        model: The network; its head may be missing. Left as it was. Its circuit is computed without noise,
            wherever it runs, so nothing is sent anywhere.
        images: A batch.
        labels: Its classes.

    Returns:
        `circuit`: variance of d<Z_i>/dw over images, outputs and weights: the theorem's bound. `loss`:
        variance of the loss's gradient over images and weights (figure 4). With a head also `head`: variance
        of W_ci d<Z_i>/dw over images, classes, outputs and weights, which the theorem bounds; `theorem_2`:
        what equation 11 predicts for it from the two factors; `condition`: Var[W] + E[W]^2, at least 1 where
        the theorem promises more variance with the head; `logits`: variance of dy_c/dw over images, classes
        and weights, of which the theorem does not speak.

    Source: Luu et al., arXiv 2512.03895, theorem 2, equations 8 to 12, figure 4.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            angles = model.encode(images).cpu().double().numpy()
        quantum: Any = model.quantum
        network, weight = quantum.neural_network, quantum.weight.detach().cpu().double().numpy()
        circuit: QuantumCircuit = network.circuit
        column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
        trained = [column[parameter] for parameter in network.weight_params]
        values = np.zeros((len(angles), len(column)))
        values[:, [column[parameter] for parameter in network.input_params]] = angles
        values[:, trained] = weight
        found_values, jacobian = ExactEngine(circuit, network.operators).jacobian(values)
        slopes = jacobian[:, :, trained]  # (batch, outputs, weights)
        device = next(model.parameters()).device
        expectations = torch.from_numpy(found_values).float().to(device)
        free = expectations.detach().requires_grad_()
        loss = functional.cross_entropy(model.read_out(free), labels, reduction="sum")
        (upstream,) = torch.autograd.grad(loss, free)
        per_image = np.einsum("bo,bow->bw", upstream.cpu().double().numpy(), slopes)
    finally:
        model.train(was_training)
    found = {"circuit": float(slopes.var()), "loss": float(per_image.var())}
    if model.head is not None:
        factors = model.head.weight.detach().cpu().double().numpy()  # (classes, outputs)
        scaled = factors[None, :, :, None] * slopes[:, None]
        found["head"] = float(scaled.var())
        found["theorem_2"] = float(
            factors.var() * slopes.var()
            + factors.var() * slopes.mean() ** 2
            + slopes.var() * factors.mean() ** 2
        )
        found["condition"] = float(factors.var() + factors.mean() ** 2)
        found["logits"] = float(scaled.sum(axis=2).var())
    return found
