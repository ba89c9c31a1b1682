from __future__ import annotations

import math

import torch
from snntorch import SpikingNeuron

from sqdr_qiskit.encoder.reference import integrate_and_fire


def test_membrane_integrates_fires_above_one_and_resets_to_zero() -> None:
    currents = torch.tensor([0.6, 0.4, 0.2, 0.9, 0.2, 2.0, -1.0]).unsqueeze(1)
    # Membranes: 0.6, 1.0 (a tie: no spike), 1.2 (fires), 0.9, 1.1 (fires), 2.0 (fires), -1.0.
    assert integrate_and_fire(currents).flatten().tolist() == [0, 0, 1, 0, 1, 1, 0]


def test_gradient_of_one_step_is_the_arctangent_surrogate() -> None:
    currents = torch.tensor([[0.3, 1.0, 1.7]], requires_grad=True)
    integrate_and_fire(currents).sum().backward()
    assert currents.grad is not None
    expected = 1 / (1 + (math.pi * (currents.detach() - 1)) ** 2)
    torch.testing.assert_close(currents.grad, expected)


def test_gradient_does_not_pass_a_reset() -> None:
    currents = torch.tensor([[1.5], [0.25]], requires_grad=True)
    integrate_and_fire(currents)[1].sum().backward()
    assert currents.grad is not None
    assert currents.grad[0].item() == 0.0
    assert currents.grad[1].item() > 0.0


def test_no_neuron_stays_listed() -> None:
    before = len(SpikingNeuron.instances)
    integrate_and_fire(torch.zeros(2, 3))
    assert len(SpikingNeuron.instances) == before
