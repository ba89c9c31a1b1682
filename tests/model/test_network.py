from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings, build_model
from sqdr_qiskit.specs.circuit import circuit_spec


def test_the_four_sizes_of_table_3_have_its_numbers_of_parameters() -> None:
    for name, total in (("2b-9q", 803), ("4b-9q", 857), ("2b-18q", 1190), ("4b-18q", 1298)):
        model = build_model(ModelSettings(circuit=circuit_spec(name)), make_backend("exact"))
        assert sum(weight.numel() for weight in model.parameters()) == total, name


def test_the_network_is_its_three_parts(rng: np.random.Generator) -> None:
    encoder = SpikingEncoder(n_features=6).eval()
    quantum = nn.Linear(6, 3)
    head = nn.Linear(3, 4)
    model = SQDRCNN(encoder, quantum, head, n_classes=4, angle_scale=1.7)
    images = torch.from_numpy(rng.integers(0, 256, (5, 1, 8, 8), dtype=np.uint8))
    with torch.no_grad():
        expected = head(quantum(1.7 * encoder(images)))
        assert torch.equal(model(images), expected)


def test_without_a_head_the_first_outputs_are_the_logits(rng: np.random.Generator) -> None:
    settings = ModelSettings(circuit=circuit_spec("2b-5q"), n_classes=3, head=False)
    model = build_model(settings, make_backend("exact")).eval()
    images = torch.from_numpy(rng.integers(0, 256, (2, 1, 8, 8), dtype=np.uint8))
    with torch.no_grad():
        logits = model(images)
        assert logits.shape == (2, 3)
        assert torch.equal(logits, model.expectations(model.encode(images))[:, :3])
    assert model.head is None


def test_uint8_and_floating_point_images_are_the_same(rng: np.random.Generator) -> None:
    model = build_model(ModelSettings(circuit=circuit_spec("2b-3q")), make_backend("exact")).eval()
    images = torch.from_numpy(rng.integers(0, 256, (3, 1, 8, 8), dtype=np.uint8))
    with torch.no_grad():
        assert torch.equal(model(images), model(images.double() / 255.0))


def test_settings_survive_their_record() -> None:
    settings = ModelSettings(circuit=circuit_spec("2b-12q"), in_channels=3, head=False, angle_scale=2.5)
    assert ModelSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(ArgumentError, match="differs in color"):
        ModelSettings.from_dict({**settings.to_dict(), "color": 1})


def test_more_classes_than_outputs_need_a_head() -> None:
    settings = ModelSettings(circuit=circuit_spec("2b-9q"))
    message = r"`head` must be true for circuit 2b-9q, .* need at least 10 qubits, and it has 9"
    with pytest.raises(ArgumentError, match=message):
        replace(settings, head=False)
    assert not replace(settings, head=False, n_classes=9).head


def test_settings_out_of_range_are_refused() -> None:
    settings = ModelSettings(circuit=circuit_spec("2b-9q"))
    with pytest.raises(ArgumentError, match="`n_classes` must be at least 2, but is 1"):
        replace(settings, n_classes=1)
    with pytest.raises(ArgumentError, match="`angle_scale` must be above 0, but is nan"):
        replace(settings, angle_scale=float("nan"))
