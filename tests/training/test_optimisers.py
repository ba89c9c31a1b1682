from __future__ import annotations

import pytest
import torch

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.training.optimisers import OPTIMISERS, make_optimiser


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_goes_downhill_and_decays_weights(name: str) -> None:
    weight = torch.tensor([2.0], requires_grad=True)
    optimiser = make_optimiser(name, [[weight]], learning_rate=0.1, weight_decay=0.5)
    for _ in range(3):
        optimiser.zero_grad()
        (weight * 0.0).sum().backward()  # no slope: only the decay moves it
        optimiser.step()
    assert 0.0 < float(weight.detach()) < 2.0
    group = optimiser.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.5)


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`optimiser` must be one of adam, .*, but is 'lion'"):
        make_optimiser("lion", [], learning_rate=0.1, weight_decay=0.0)
