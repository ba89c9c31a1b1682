"""Expectation values from where a run ran, held against the exact engine's at the same angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional

from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.jobs.expectations import EXPECTATIONS
from sqdr_qiskit.model.network import SQDRCNN

__all__ = ["agreement"]


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
