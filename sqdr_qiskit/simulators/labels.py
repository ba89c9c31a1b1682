"""One noise model for many small circuits: each distinct error under a label of its own."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from qiskit.quantum_info import Kraus
from qiskit_aer.noise import NoiseModel, QuantumError

from sqdr_qiskit.noise_models.attach import attach
from sqdr_qiskit.noise_models.channels import ptm_to_kraus
from sqdr_qiskit.noise_models.convert import error_ptm, split_product

__all__ = ["NoiseLabels"]


class NoiseLabels:
    """Labels for errors; equal errors (the same objects of a noise model) share one label."""

    def __init__(self) -> None:
        self._labels: dict[tuple[int, int | None], str | None] = {}
        self._errors: dict[str, QuantumError] = {}
        self._products: dict[int, bool] = {}
        self._alive: list[QuantumError] = []  # labels go by object, so the objects must stay

    def whole(self, gate: str, error: QuantumError) -> str:
        """The label for a gate that is followed by `error`."""
        place = (id(error), None)
        if place not in self._labels:
            self._labels[place] = self._new(gate, error)
            self._alive.append(error)
        label = self._labels[place]
        assert label is not None
        return label

    def part(self, gate: str, error: QuantumError, position: int) -> str | None:
        """The label for what `error` does to one of its two qubits; None if that is nothing.

        Right where the other qubit is not looked at afterwards: it is traced out.
        """
        place = (id(error), position)
        if place not in self._labels:
            blocks = error_ptm(error).reshape(4, 4, 4, 4)
            ptm = np.ascontiguousarray(blocks[:, 0, :, 0] if position == 0 else blocks[0, :, 0, :])
            nothing = np.array_equal(ptm, np.eye(4))
            kraus = None if nothing else QuantumError(Kraus(list(ptm_to_kraus(ptm))))
            self._labels[place] = None if kraus is None else self._new(gate, kraus)
            self._alive.append(error)
        return self._labels[place]

    def is_product(self, error: QuantumError) -> bool:
        """Whether a two-qubit error acts on each qubit by itself, so that `part` of both is all of it."""
        if error.num_qubits != 2:
            return False
        if id(error) not in self._products:
            parts = split_product(error_ptm(error))
            self._products[id(error)] = parts is not None and len(parts) == 2
            self._alive.append(error)
        return self._products[id(error)]

    def readout(self, p01: float, p10: float) -> str:
        """The label for reading a qubit with errors: a channel right before a perfect measurement.

        Reading 1 for |0> with probability p01 and 0 for |1> with p10 has the same counts as flipping the
        qubit with these probabilities before it is measured.
        """
        label = f"read~{p01!r}~{p10!r}"
        if label not in self._errors:
            kraus = [
                np.array([[np.sqrt(1 - p01), 0], [0, 0]]),
                np.array([[0, 0], [np.sqrt(p01), 0]]),
                np.array([[0, np.sqrt(p10)], [0, 0]]),
                np.array([[0, 0], [0, np.sqrt(1 - p10)]]),
            ]
            self._errors[label] = QuantumError(Kraus(kraus))
            self.__dict__.pop("model", None)
        return label

    @cached_property
    def model(self) -> NoiseModel | None:
        """Noise model with each error as the all-qubit error of its label; None without errors."""
        if not self._errors:
            return None
        model = NoiseModel()
        for label, error in self._errors.items():
            attach(model, error, label, None)
        return model

    def _new(self, gate: str, error: QuantumError) -> str:
        label = f"{gate}~{len(self._errors)}"
        self._errors[label] = error
        self.__dict__.pop("model", None)
        return label
