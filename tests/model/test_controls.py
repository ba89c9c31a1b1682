from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.model.controls import MODELS, GroupedTanh, LocalCosines, PlainEncoder, mismatched
from sqdr_qiskit.model.network import (
    Checkpoint,
    ModelSettings,
    build_model,
    count_parameters,
    named_weights,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.specs.job import JOB_OPTIONS
from sqdr_qiskit.specs.noise import noise_spec
from sqdr_qiskit.training.optimisation import initialise

# Parameters with 2b-9q, one channel and ten classes.
COUNTS = {
    "circuit": 803,
    "circuit-frozen": 803 - 54,
    "circuit-no-entangler": 803,
    "circuit-no-weights": 803 - 54,
    "circuit-mismatched": 803,
    "local-cosines": 803,
    "grouped-tanh": 803,
    "features": 378 + 28 + 243 + 28 * 10,
    "features-matched": 378 + 28 + 20 * 9 + 21 * 10,
    "plain-encoder": 803,
    "convnet": 793,
}


def of_kind(model: str, circuit: str = "2b-9q", **settings: int) -> ModelSettings:
    return ModelSettings(circuit=circuit_spec(circuit), model=model, **settings)  # type: ignore[arg-type]


def test_every_control_has_its_number_of_parameters() -> None:
    exact = make_backend("exact")
    assert {name: count_parameters(build_model(of_kind(name), exact)) for name in MODELS} == COUNTS


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("circuit", "channels", "classes"), [("2b-3q", 1, 3), ("3b-4q", 3, 10)])
def test_every_control_survives_a_checkpoint_and_learns(
    name: str,
    circuit: str,
    channels: int,
    classes: int,
    tmp_path: pytest.TempPathFactory,
    rng: np.random.Generator,
) -> None:
    settings = of_kind(name, circuit, in_channels=channels, n_classes=classes)
    exact = make_backend("exact")
    model = build_model(settings, exact)
    initialise(model, circuit="uniform-2pi", seed=3)
    images = torch.from_numpy(rng.integers(0, 256, (5, channels, 9, 8), dtype=np.uint8))
    logits = model.train()(images)
    assert logits.shape == (5, classes)
    logits.sum().backward()
    reached = {weight for weight, value in model.named_parameters() if value.grad is not None and len(value)}
    trained = {weight for weight, value in model.named_parameters() if value.requires_grad and len(value)}
    assert reached == trained
    path = save_checkpoint(
        tmp_path / "control.safetensors",  # type: ignore[operator]
        Checkpoint(settings=settings, weights=named_weights(model)),
    )
    again = restore(read_checkpoint(path), exact)
    with torch.no_grad():
        assert torch.equal(again(images), model.eval()(images))
    assert again.state_dict().keys() == model.state_dict().keys()
    assert count_parameters(again) == count_parameters(model)


def test_a_job_can_name_every_control() -> None:
    assert JOB_OPTIONS["model"].choices == tuple(MODELS)


def test_paired_runs_start_from_the_same_encoder() -> None:
    exact, states = make_backend("exact"), {}
    for name in MODELS:
        model = build_model(of_kind(name, "2b-3q"), exact)
        initialise(model, circuit="uniform-2pi", seed=8, positive=True)
        states[name] = model.encoder.state_dict()
    for name in set(MODELS) - {"features-matched", "convnet"}:
        for weight, value in states["circuit"].items():
            if "running" not in weight and "tracked" not in weight:
                assert torch.equal(states[name][weight], value), (name, weight)
    assert torch.equal(states["features-matched"]["convs.2.weight"], states["circuit"]["convs.2.weight"])


def test_a_frozen_circuit_has_random_weights() -> None:
    model = build_model(of_kind("circuit-frozen", "2b-3q"), make_backend("exact"))
    initialise(model, circuit="uniform-2pi", seed=8)
    (weight,) = model.quantum.parameters()
    assert len(weight) == 18
    assert 1.0 < float(weight.detach().std()) < 3.0
    assert not weight.requires_grad


def test_circuits_are_changed_where_everybody_sees_it() -> None:
    bare = build_circuit(of_kind("circuit-no-entangler").circuit)
    assert bare.circuit.count_ops() == {"u": 36}
    data = build_circuit(of_kind("circuit-no-weights").circuit)
    assert data.circuit.count_ops() == {"u": 18, "cz": 18}
    assert (data.n_features, data.n_weights) == (27, 0)
    whole = build_circuit("2b-9q").circuit
    zero = whole.assign_parameters({p: 0.0 for p in whole.parameters if p.name.startswith("w")})
    assert zero.count_ops() == {"u": 36, "cz": 18}


def test_without_entangler_an_output_depends_on_its_own_qubit_alone(rng: np.random.Generator) -> None:
    quantum = build_model(of_kind("circuit-no-entangler", "2b-3q"), make_backend("exact")).quantum
    angles = torch.tensor(rng.normal(size=(1, 9)), dtype=torch.float32)
    jacobian = torch.autograd.functional.jacobian(quantum, angles)[0, :, 0].abs()
    for qubit in range(3):
        own = slice(3 * qubit, 3 * qubit + 3)
        assert float(jacobian[qubit, own].max()) > 1e-3
        jacobian[qubit, own] = 0.0
    assert float(jacobian.max()) < 1e-7


@pytest.mark.parametrize("layer", [LocalCosines, GroupedTanh])
@pytest.mark.parametrize(("n_qubits", "n_blocks"), [(9, 2), (18, 4), (3, 2), (2, 3), (1, 1)])
def test_layers_have_the_circuits_weights_and_see_no_more_than_its_cone(
    layer: type[LocalCosines] | type[GroupedTanh], n_qubits: int, n_blocks: int, rng: np.random.Generator
) -> None:
    made = layer(n_qubits, n_blocks)
    assert count_parameters(made) == build_circuit(f"{n_blocks}b-{n_qubits}q").n_weights
    angles = torch.tensor(rng.uniform(0, math.pi, (1, 3 * n_qubits)), dtype=torch.float32)
    outputs = made(angles)
    assert outputs.shape == (1, n_qubits)
    assert float(outputs.detach().abs().max()) <= 1.0
    jacobian = torch.autograd.functional.jacobian(made, angles)[0, :, 0]
    seen = jacobian.reshape(n_qubits, n_qubits, 3).abs().sum(dim=2) > 0
    for j in range(n_qubits):
        for i in range(n_qubits):
            away = min((i - j) % n_qubits, (j - i) % n_qubits)
            assert away < n_blocks or not seen[j, i]
        assert seen[j, j]


def test_local_cosines_are_what_they_say(rng: np.random.Generator) -> None:
    layer = LocalCosines(5, 2)
    x, w = rng.normal(size=(5, 3)), rng.normal(size=(2, 5, 3))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w).reshape(-1))
        found = layer(torch.tensor(x.reshape(1, -1), dtype=torch.float32))[0].numpy()
    local = np.cos(x + w).mean(axis=2)
    expected = [(local[0, j] + local[1, j - 1] * local[1, j] * local[1, (j + 1) % 5]) / 2 for j in range(5)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_grouped_tanh_is_what_it_says(rng: np.random.Generator) -> None:
    layer = GroupedTanh(5, 2)
    x, w = rng.normal(size=(5, 3)), rng.normal(size=(2, 5, 3))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w).reshape(-1))
        found = layer(torch.tensor(x.reshape(1, -1), dtype=torch.float32))[0].numpy()
    expected = np.tanh([w[0, j] @ x[j] + w[1, j] @ x[(j + 1) % 5] for j in range(5)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("n_samples", [2, 3, 64])
def test_mismatched_outputs_are_all_there_and_none_is_ones_own(n_samples: int) -> None:
    outputs = torch.arange(n_samples)[:, None].float()
    moved = mismatched(outputs)
    assert sorted(moved.flatten().tolist()) == list(range(n_samples))
    assert not bool((moved == outputs).any())
    assert torch.equal(moved, mismatched(outputs))


def test_a_plain_encoder_has_the_spiking_ones_weights(rng: np.random.Generator) -> None:
    plain, spiking = PlainEncoder(3, 6), SpikingEncoder(3, 6)
    assert {n: v.shape for n, v in plain.state_dict().items()} == {
        n: v.shape for n, v in spiking.state_dict().items()
    }
    images = torch.from_numpy(rng.integers(0, 256, (2, 3, 9, 8), dtype=np.uint8))
    features = plain.eval()(images)
    assert bool(((features > 0) & (features < 1)).all())
    torch.testing.assert_close(plain(images.double() / 255.0), features)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"`model` must be one of circuit, .* did you mean 'grouped-tanh'"
    ):
        of_kind("group-tanh")
    with pytest.raises(ArgumentError, match="`model` must not be local-cosines with circuit hea-9q"):
        of_kind("local-cosines", "hea-9q")
    with pytest.raises(ArgumentError, match="`head` must be true with model features"):
        replace(of_kind("features", n_classes=9), head=False)
    noisy = make_backend("exact_noisy", noise=noise_spec("paper"))
    with pytest.raises(ArgumentError, match=r"`backend` must be exact with model convnet, .* is exact_noisy"):
        build_model(of_kind("convnet"), noisy)
    with pytest.raises(ArgumentError, match=r"`gradient` must be exact with model features, .* is spsa"):
        build_model(of_kind("features"), make_backend("exact"), gradient="spsa")
    assert isinstance(build_model(of_kind("plain-encoder", "hea-9q"), noisy).quantum, nn.Module)


def test_checkpoints_from_before_the_controls_are_of_the_network_itself() -> None:
    settings = of_kind("circuit")
    old = {name: value for name, value in settings.to_dict().items() if name != "model"}
    old["circuit"] = {name: value for name, value in old["circuit"].items() if name != "trained_rotations"}
    assert ModelSettings.from_dict(old) == settings
