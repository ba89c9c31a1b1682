from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, OneCycleLR

from sqdr_qiskit.training.schedules import RESTART_EPOCHS, SCHEDULES, one_cycle, warm_restarts


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
