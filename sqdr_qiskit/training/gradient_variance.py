"""Variance of the circuit's gradient: against its size (figure 5), and while training (figure 4).

Barren plateaus show as a variance that falls exponentially with the number of qubits. Light cones of local
observables do not grow with it, so theirs stays; a global observable's falls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from torch.nn import functional

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.simulators.aer import noisy_engine
from sqdr_qiskit.specs.noise import NoiseSpec
from sqdr_qiskit.training.initialisation import INITIALISATIONS, draw, initial_circuit_weights

__all__ = [
    "OBSERVABLES",
    "VariancePoint",
    "gradient_variance",
    "training_variance",
]

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
        return dict(self.__dict__)


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
