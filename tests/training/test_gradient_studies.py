from __future__ import annotations

import numpy as np
import pytest
import torch

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.model.network import ModelSettings, build_model
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.specs.noise import noise_spec
from sqdr_qiskit.training.gradient_studies import check_gradients, gradient_variance, training_variance


def test_one_qubit_and_one_block_by_the_closed_form() -> None:
    # Var of -(sin t) z + (cos t) h, t uniform; (z, h) is the Bloch vector after the data and RZ(phi)
    (point,) = gradient_variance(
        [1], n_blocks=1, initialisations=["uniform-2pi"], observables=["local"], samples=20_000
    )
    # <Z> = cos(t) z - sin(t) h, (z, h) the Bloch vector after RZ(phi), z^2 + h^2 averaged over phi and x:
    # E over t of (sin(t) z + cos(t) h)^2 = (z^2 + h^2) / 2 with z = cos(x1), h = sin(x1) cos(random)
    rng = np.random.default_rng(1)
    x = rng.uniform(0.0, 1.0, 400_000)
    expected = np.mean(np.cos(x) ** 2 + np.sin(x) ** 2 / 2) / 2
    assert point.variance_first == pytest.approx(expected, abs=5 * point.standard_error)


def test_local_variance_does_not_fall_with_the_size_and_global_variance_does() -> None:
    points = gradient_variance([4, 8, 16, 64], initialisations=["uniform-2pi"], samples=300)
    local = [point.variance_first for point in points if point.observable == "local"]
    everywhere = [point.variance_first for point in points if point.observable == "global"]
    assert min(local) > 0.5 * max(local)
    assert everywhere[1] < 0.3 * everywhere[0]
    assert everywhere[3] < 1e-15


def test_noise_lowers_it() -> None:
    quiet, noisy = (
        gradient_variance(
            [5], initialisations=["uniform-2pi"], observables=["local"], samples=300, noise=noise
        )[0]
        for noise in (None, noise_spec("paper"))
    )
    assert noisy.variance_first < quiet.variance_first
    assert noisy.noise == "paper"


@pytest.mark.parametrize("head", [True, False])
def test_while_training_theorem_2_predicts_the_variance_with_a_head(head: bool) -> None:
    torch.manual_seed(0)
    model = build_model(ModelSettings(circuit=circuit_spec("2b-10q"), head=head), make_backend())
    images = torch.rand(6, 1, 8, 8)
    labels = torch.arange(6)
    model.train()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    found = training_variance(model, images, labels)
    assert model.training
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert found["circuit"] > 0.0
    assert found["loss"] > 0.0
    assert ("head" in found) == head
    if model.head is not None:
        assert found["head"] == pytest.approx(found["theorem_2"], rel=0.2)
        weight = model.head.weight.detach().double()
        assert found["condition"] == pytest.approx(float((weight**2).mean()))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`samples` must be at least 2"):
        gradient_variance([2], samples=1)
    with pytest.raises(ArgumentError, match="`observables` must be local or global"):
        gradient_variance([2], observables=["middling"])  # type: ignore[list-item]
    with pytest.raises(ArgumentError, match="`initialisation` must be one of"):
        gradient_variance([2], initialisations=["none"])


def test_the_logits_variance_is_that_of_their_derivatives_by_autograd() -> None:
    torch.manual_seed(0)
    model = build_model(ModelSettings(circuit=circuit_spec("2b-3q")), make_backend()).eval()
    images = torch.rand(2, 1, 8, 8)
    found = training_variance(model, images, torch.tensor([0, 1]))
    (weight,) = model.quantum.parameters()
    slopes = [
        torch.autograd.grad(logit, weight, retain_graph=True)[0]
        for image in images
        for logit in model(image[None])[0]
    ]
    assert found["logits"] == pytest.approx(float(torch.stack(slopes).double().var(correction=0)), rel=1e-4)


def test_all_ways_agree_without_noise() -> None:
    found = check_gradients("2b-4q", averages=2000)
    methods = {method.name.split(",")[0]: method for method in found.methods}
    assert {name: method.executions for name, method in methods.items()} == {
        "exact": 0,
        "packed parameter-shift": 26,
        "packed gate-shift": 12,
        "stock parameter shift": 48 * 2 * 4,
        "finite differences": 72,
        "spsa": 4000,
    }
    for name in ("packed parameter-shift", "packed gate-shift", "stock parameter shift"):
        assert methods[name].largest_error < 1e-10
    assert methods["finite differences"].largest_error < 1e-6
    assert methods["spsa"].largest_error < 0.2


def test_under_noise_the_noisy_engine_is_the_reference() -> None:
    found = check_gradients("2b-4q", backend="aer_noisy", noise="bit-flip", averages=1)
    methods = {method.name: method for method in found.methods}
    assert methods["packed parameter-shift"].largest_error < 1e-9
    assert methods["packed parameter-shift"].executions == 36
    assert [one["name"] for one in found.skipped] == ["gate-shift"]
    assert found.to_dict()["skipped"][0]["name"] == "gate-shift"


def test_averages_are_checked() -> None:
    with pytest.raises(ArgumentError, match="`averages` must be at least 1"):
        check_gradients("2b-4q", averages=0)
