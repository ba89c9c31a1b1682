"""Expectation values that a run got from where it ran, kept so that they can be held against exact ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sqdr_qiskit import records
from sqdr_qiskit.backends import Backend
from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.model.network import SQDRCNN

__all__ = ["EXPECTATIONS", "MOST", "Seen", "keep_expectations", "read_expectations", "watched"]

EXPECTATIONS = "expectations.json"
MOST = 1000  # samples that are kept of a run


@dataclass(eq=False)
class Seen:
    """What went through a circuit.

    Attributes:
        angles: Of the samples so far, radians; tensors of shape (batch, n_features).
        expectations: What came out; tensors of shape (batch, n_outputs).
    """

    angles: list[torch.Tensor] = field(default_factory=list)
    expectations: list[torch.Tensor] = field(default_factory=list)


@contextmanager
def watched(model: SQDRCNN, seen: Seen | None = None) -> Iterator[Seen]:
    """While the context lasts, note what goes through the network's circuit and what comes out."""
    seen = seen if seen is not None else Seen()

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.angles.append(inputs[0].detach().cpu())
        seen.expectations.append(output.detach().cpu())

    handle = model.quantum.register_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def keep_expectations(
    folder: str | os.PathLike[str],
    seen: Seen,
    backend: Backend,
    *,
    images: Sequence[str],
    truths: Sequence[str] | None,
) -> Path | None:
    """Write the first `MOST` samples' angles and expectations into a run's folder.

    Args:
        folder: The folder.
        seen: What was noted, of the images in order.
        backend: Where the expectations come from; of backend exact none are kept, they can be had again.
        images: What each image is called.
        truths: Name of each one's class, where it is known.

    Returns:
        The file, None if none was needed.
    """
    if backend.name == "exact":
        return None
    angles, expectations = torch.cat(seen.angles)[:MOST], torch.cat(seen.expectations)[:MOST]
    values = {
        "schema": 1,
        "backend": backend.name,
        "shots": backend.shots,
        "images": list(images[:MOST]),
        "truths": None if truths is None else list(truths[:MOST]),
        "angles": angles,
        "expectations": expectations,
    }
    return records.write_json(Path(folder) / EXPECTATIONS, values)


def read_expectations(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `keep_expectations` wrote; None if there is nothing.

    Raises:
        CheckpointError: If the file is damaged.
    """
    path = Path(folder) / EXPECTATIONS
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        n_samples = len(values["expectations"])
        whole = len(values["angles"]) == len(values["images"]) == n_samples > 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path.name}: is no intact record of expectation values.") from error
    if not whole or values.get("schema") != 1:
        raise CheckpointError(f"{path.name}: is no record of expectation values that this version reads.")
    return dict(values)
