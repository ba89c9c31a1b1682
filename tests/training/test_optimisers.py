from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, OneCycleLR

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.training.optimisers import (
    OPTIMISERS,
    RESTART_EPOCHS,
    SCHEDULES,
    make_optimiser,
    one_cycle,
    warm_restarts,
)


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


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_stays_between_its_end_and_one(name: str) -> None:
    factors = [SCHEDULES[name](step / 200, 0.25, 0.01) for step in range(200)]
    assert max(factors) == pytest.approx(1.0)
    assert min(factors) >= 0.01
    assert SCHEDULES[name](1.0, 0.25, 0.01) == pytest.approx(1.0 if name == "constant" else 0.01)


def test_one_cycle_is_torchs_one_cycle() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = OneCycleLR(
        optimiser, 1.0, total_steps=101, pct_start=0.26, div_factor=10, final_div_factor=10
    )
    for step in range(100):
        # torch stretches both legs to whole numbers of steps: 0 to 25.26 and 25.26 to 100.
        peak = 0.26 * 101 - 1
        done = step / peak * 0.25 if step < peak else 0.25 + (step - peak) / (100 - peak) * 0.75
        assert one_cycle(done, 0.25, 0.01) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
        optimiser.step()
        scheduler.step()


def test_warm_restarts_are_torchs() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = CosineAnnealingWarmRestarts(optimiser, T_0=RESTART_EPOCHS)
    optimiser.step()
    for quarter in range(4 * 25):
        scheduler.step(quarter / 4)
        assert warm_restarts(quarter / 4) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
