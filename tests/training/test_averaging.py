from __future__ import annotations

import pytest
import torch
from torch import nn

from sqdr_qiskit.training.averaging import MovingAverage, with_weights


def test_the_average_follows_its_formula_for_weights_and_buffers() -> None:
    model = nn.BatchNorm1d(2)
    average = MovingAverage(model, 0.5)
    expected = {"weight": 1.0, "running_mean": 0.0}
    for step, value in enumerate((3.0, -1.0, 2.0)):
        with torch.no_grad():
            model.weight.fill_(value)
            assert model.running_mean is not None
            assert model.num_batches_tracked is not None
            model.running_mean.fill_(10 * value)
            model.num_batches_tracked.fill_(step)
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected["weight"] = decay * expected["weight"] + (1 - decay) * value
        expected["running_mean"] = decay * expected["running_mean"] + (1 - decay) * 10 * value
    for name, value in expected.items():
        assert average.values[name].tolist() == pytest.approx([value, value])
    assert int(average.values["num_batches_tracked"]) == 2


def test_without_decay_the_average_is_the_latest_weights() -> None:
    model = nn.Linear(2, 2)
    average = MovingAverage(model, 0.0)
    with torch.no_grad():
        model.weight.mul_(1.7)
    average.update(model, 0)
    assert torch.equal(average.values["weight"], model.weight)


def test_other_weights_hold_for_a_while_even_if_something_fails() -> None:
    model = nn.Linear(1, 1)
    own = model.weight.detach().clone()
    values = {"weight": torch.full((1, 1), 9.0), "bias": torch.zeros(1)}

    def fail() -> None:
        with with_weights(model, values):
            assert model.weight.tolist() == [[9.0]]
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert torch.equal(model.weight, own)
