from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from snntorch import SpikingNeuron

from sqdr_qiskit.encoder import SpikingEncoder, phase_code
from sqdr_qiskit.encoder.reference import integrate_and_fire, max_pool, reference_spikes


def test_membrane_integrates_fires_above_one_and_resets_to_zero() -> None:
    currents = torch.tensor([0.6, 0.4, 0.2, 0.9, 0.2, 2.0, -1.0]).unsqueeze(1)
    # Membranes: 0.6, 1.0 (a tie: no spike), 1.2 (fires), 0.9, 1.1 (fires), 2.0 (fires), -1.0.
    assert integrate_and_fire(currents)[0].flatten().tolist() == [0, 0, 1, 0, 1, 1, 0]


def test_gradient_of_one_step_is_the_arctangent_surrogate() -> None:
    currents = torch.tensor([[0.3, 1.0, 1.7]], requires_grad=True)
    integrate_and_fire(currents)[0].sum().backward()
    assert currents.grad is not None
    expected = 1 / (1 + (math.pi * (currents.detach() - 1)) ** 2)
    torch.testing.assert_close(currents.grad, expected)


@pytest.mark.parametrize("slope", [math.pi, 2 * math.pi, 1.0])
def test_surrogate_is_the_derivative_of_an_arctangent(slope: float) -> None:
    currents = torch.tensor([[0.3, 1.0, 1.7]], dtype=torch.float64, requires_grad=True)
    integrate_and_fire(currents, surrogate_slope=slope)[0].sum().backward()
    smooth = torch.tensor([[0.3, 1.0, 1.7]], dtype=torch.float64, requires_grad=True)
    (torch.atan(slope * (smooth - 1)) / math.pi).sum().backward()
    torch.testing.assert_close(currents.grad, smooth.grad)


def test_pooling_hands_the_gradient_to_the_first_that_fired_or_to_the_largest() -> None:
    # Windows: two fired, the second is larger; none fired, the third is largest; all equal.
    membranes = torch.tensor(
        [[[[1.2, 1.9, 0.1, 0.2, 0.5, 0.5], [0.0, 0.0, 0.8, -1.0, 0.5, 0.5]]]], dtype=torch.float64
    )
    for pool_gradient, places in (("first", [(0, 0), (0, 2), (0, 4)]), ("largest", [(0, 1), (1, 2), (0, 4)])):
        spikes = (membranes > 1).double().requires_grad_()
        pooled = max_pool(spikes, membranes, pool_gradient)  # type: ignore[arg-type]
        assert pooled.flatten().tolist() == [1, 0, 0]
        pooled.sum().backward()
        expected = torch.zeros(2, 6, dtype=torch.float64)
        for place in places:
            expected[place] = 1
        assert spikes.grad is not None
        assert torch.equal(spikes.grad[0, 0], expected)


def test_gradient_does_not_pass_a_reset() -> None:
    currents = torch.tensor([[1.5], [0.25]], requires_grad=True)
    integrate_and_fire(currents)[0][1].sum().backward()
    assert currents.grad is not None
    assert currents.grad[0].item() == 0.0
    assert currents.grad[1].item() > 0.0


def test_no_neuron_stays_listed() -> None:
    before = len(SpikingNeuron.instances)
    integrate_and_fire(torch.zeros(2, 3))
    assert len(SpikingNeuron.instances) == before


def test_spikes_of_all_layers_lead_to_the_encoders_rates(rng: np.random.Generator) -> None:
    encoder = SpikingEncoder(1, 6).eval()
    images = torch.from_numpy(rng.integers(0, 256, (3, 1, 16, 16), dtype=np.uint8))
    with torch.no_grad():
        code, *maps, features = reference_spikes(
            images, list(encoder.convs), list(encoder.norms), encoder.linear, n_steps=10, n_phases=8
        )
        assert torch.equal(features.mean(dim=0), encoder(images))
    assert torch.equal(code, phase_code(images))
    assert [tuple(layer.shape) for layer in maps] == [(10, 3, 2, 8, 8), (10, 3, 4, 4, 4), (10, 3, 8, 2, 2)]
    assert all(set(layer.unique().tolist()) <= {0.0, 1.0} for layer in [*maps, features])
