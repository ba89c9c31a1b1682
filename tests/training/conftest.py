"""A small network and small data to train it on."""

from __future__ import annotations

import numpy as np
import pytest

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.data import DataSplits, ImageSet
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings, build_model
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.training.recipes import Recipe, find_recipe


@pytest.fixture
def data() -> DataSplits:
    """Images of three classes: a bright bar at the left, in the middle or at the right, on noise."""
    rng = np.random.default_rng(5)

    def images(n: int) -> ImageSet:
        labels = np.arange(n, dtype=np.int64) % 3
        pixels = rng.integers(0, 90, (n, 1, 8, 8), dtype=np.uint8)
        for number, label in enumerate(labels):
            pixels[number, :, :, 3 * label : 3 * label + 2] = 250
        return ImageSet(pixels, labels)

    return DataSplits(
        "bars", "drawn by the test", ("left", "middle", "right"), images(48), images(24), images(12)
    )


@pytest.fixture
def settings() -> ModelSettings:
    """A network of three qubits and three classes."""
    return ModelSettings(circuit=circuit_spec("2b-3q"), n_classes=3)


@pytest.fixture
def model(settings: ModelSettings) -> SQDRCNN:
    """That network, its circuit computed exactly."""
    return build_model(settings, make_backend("exact"))


@pytest.fixture
def recipe() -> Recipe:
    """A few epochs with averaging, flips and a schedule."""
    return find_recipe("ours").changed(
        epochs=3, batch_size=13, learning_rate=0.02, averaging=0.9, angle_scale=1.0, flip=True
    )
