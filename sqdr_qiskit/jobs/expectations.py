"""Expectation values that a run got from where it ran: kept, and held against the exact engine's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from sqdr_qiskit import records
from sqdr_qiskit.backends import Backend
from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.records import EXPECTATIONS

__all__ = [
    "MOST",
    "CircuitValues",
    "agreement",
    "keep_expectations",
    "read_expectations",
    "recorded",
]

MOST = 1000  # samples that are kept of a run


@dataclass(eq=False)
class CircuitValues:
    """What went through a circuit.

    Attributes:
        angles: Of the samples so far, radians; tensors of shape (batch, n_features).
        expectations: What came out; tensors of shape (batch, n_outputs).
    """

    angles: list[torch.Tensor] = field(default_factory=list)
    expectations: list[torch.Tensor] = field(default_factory=list)


@contextmanager
def recorded(model: SQDRCNN, values: CircuitValues | None = None) -> Iterator[CircuitValues]:
    """While the context lasts, note what goes through the network's circuit and what comes out."""
    values = values if values is not None else CircuitValues()

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        values.angles.append(inputs[0].detach().cpu())
        values.expectations.append(output.detach().cpu())

    handle = model.quantum.register_forward_hook(note)
    try:
        yield values
    finally:
        handle.remove()


def keep_expectations(
    folder: str | os.PathLike[str],
    values: CircuitValues,
    backend: Backend,
    *,
    images: Sequence[str],
    truths: Sequence[str] | None,
) -> Path | None:
    """Write the first `MOST` samples' angles and expectations into a run's folder.

    Args:
        folder: The folder.
        values: What was noted, of the images in order.
        backend: Where the expectations come from; of backend exact none are kept, they can be had again.
        images: What each image is called.
        truths: Name of each one's class, where it is known.

    Returns:
        The file, None if none was needed.
    """
    if backend.name == "exact":
        return None
    angles, expectations = torch.cat(values.angles)[:MOST], torch.cat(values.expectations)[:MOST]
    kept = {
        "schema": 1,
        "backend": backend.name,
        "shots": backend.shots,
        "images": list(images[:MOST]),
        "truths": None if truths is None else list(truths[:MOST]),
        "angles": angles,
        "expectations": expectations,
    }
    return records.write_json(Path(folder) / EXPECTATIONS, kept)


def read_expectations(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `keep_expectations` wrote; None if there is nothing.

    Raises:
        CheckpointError: If the file is damaged.
    """
    path = Path(folder) / EXPECTATIONS
    if not path.is_file():
        return None
    values = records.read_json(path, "record of expectation values")
    with records.intact(path, "record of expectation values"):
        angles, expectations = (np.asarray(values[key], dtype=float) for key in ("angles", "expectations"))
        n_samples = len(values["images"])
        whole = angles.ndim == expectations.ndim == 2 and len(angles) == len(expectations) == n_samples > 0
        whole = whole and bool(np.isfinite(angles).all() and np.isfinite(expectations).all())
        truths = values.get("truths")
        whole = whole and (truths is None or len(truths) == n_samples) and isinstance(values["backend"], str)
    if not whole:
        raise CheckpointError(f"{path.name}: is no intact record of expectation values.")
    return values


def agreement(kept: Mapping[str, Any], model: SQDRCNN, class_names: Sequence[str]) -> dict[str, Any]:
    """How far a run's expectation values are from exact ones, and what that does to its answers.

    With z_ran and z of all samples and outputs: `mean_error` = mean |z_ran - z|, `rms_error` = the root of
    the mean square, `sampling_error` = sqrt(mean (1 - z_ran^2) / shots), which shots alone would give (None
    without shots), and `slope` = sum z z_ran / sum z^2, how much of the signal is left.

    Args:
        kept: What `read_expectations` gave.
        model: The network, its circuit on backend exact.
        class_names: One per class.

    Returns:
        Those figures; `per_output`, each output's mean error; `ran` and `exact`, the expectation values, rows
        of n_outputs; `labels` and `exact_labels`, the classes they lead to; how many of these `agree`; with
        `truths` known, how many are `right` and `exact_right`; `images`, `truths`, `backend`, `shots`.

    Raises:
        CheckpointError: If the values do not fit the network.
    """
    angles = torch.tensor(kept["angles"], dtype=torch.float32)
    ran = torch.tensor(kept["expectations"], dtype=torch.float32)
    with torch.no_grad():
        if angles.ndim != 2 or angles.shape[1] != model.encoder.n_features:
            raise CheckpointError(
                f"{EXPECTATIONS}: field `angles` must have rows of {model.encoder.n_features} angles, the "
                f"network's, but has shape {tuple(angles.shape)}."
            )
        exact = model.expectations(angles).float()
        if exact.shape != ran.shape:
            raise CheckpointError(
                f"{EXPECTATIONS}: field `expectations` must have shape {tuple(exact.shape)}, the network's, "
                f"but has {tuple(ran.shape)}."
            )
        chances = functional.softmax(model.read_out(ran), dim=1)
        exact_chances = functional.softmax(model.read_out(exact), dim=1)
    labels, exact_labels = ([class_names[i] for i in c.argmax(1)] for c in (chances, exact_chances))
    error = (ran - exact).double()
    shots, truths = kept.get("shots"), kept.get("truths")
    spread = float((1.0 - ran.double() ** 2).clamp(min=0.0).mean())
    return {
        "backend": kept["backend"],
        "shots": shots,
        "n_samples": len(ran),
        "images": list(kept["images"]),
        "truths": truths,
        "ran": ran.tolist(),
        "exact": exact.tolist(),
        "labels": labels,
        "exact_labels": exact_labels,
        "probabilities": chances.tolist(),
        "mean_error": float(error.abs().mean()),
        "rms_error": float((error**2).mean().sqrt()),
        "sampling_error": (spread / shots) ** 0.5 if shots else None,
        "slope": float((ran * exact).sum() / (exact**2).sum().clamp(min=1e-12)),
        "per_output": error.abs().mean(dim=0).tolist(),
        "agree": sum(a == b for a, b in zip(labels, exact_labels, strict=True)),
        "right": None if truths is None else sum(a == b for a, b in zip(labels, truths, strict=True)),
        "exact_right": (
            None if truths is None else sum(a == b for a, b in zip(exact_labels, truths, strict=True))
        ),
    }
