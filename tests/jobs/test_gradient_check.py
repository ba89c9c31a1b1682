from __future__ import annotations

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.training.gradient_studies import check_gradients


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
    assert [name for name, _ in found.skipped] == ["gate-shift"]
    assert found.to_dict()["skipped"][0]["name"] == "gate-shift"


def test_averages_are_checked() -> None:
    with pytest.raises(ArgumentError, match="`averages` must be at least 1"):
        check_gradients("2b-4q", averages=0)
