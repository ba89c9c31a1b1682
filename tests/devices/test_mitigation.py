"""Error mitigation on the twin, against the methods carried out on Aer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.mitigation import check
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import chip_of, fake_backend
from sqdr_qiskit.devices.chip_noise import twirled
from sqdr_qiskit.devices.mitigation import Mitigation, gamma_of, overhead_of, pauli_rates, rehearse, undone
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.specs.channels import ChannelSpec


@pytest.mark.parametrize(
    ("circuit", "device", "method", "instances"),
    [
        ("2b-9q", "fake_brisbane", "none", 0),
        ("2b-9q", "fake_kingston", "readout", 0),
        ("2b-9q", "fake_brisbane", "zne", 0),
        ("2b-9q", "fake_brisbane", "pec", 100),
        ("2b-9q", "fake_brisbane", "pea", 30),
    ],
)
def test_rehearsed_bias_and_variance_are_those_of_the_method_on_aer(
    circuit: str, device: str, method: str, instances: int
) -> None:
    found = check(circuit, device, method, instances=instances, seed=1)
    assert np.abs(found.z).max() < 4.0, found
    assert found.bias_error < (0.05 if instances else 2e-4)  # it would be seen if it were otherwise


def test_rates_give_back_the_fidelities_of_a_twirled_gate() -> None:
    chip = chip_of(fake_backend("fake_brisbane"))
    edge = next(iter(chip.edges.values()))
    channels = chip.channels_after(edge.name, edge.qubits)
    fidelities, rates = twirled(channels), pauli_rates(channels)
    for first, a in enumerate("IXYZ"):
        for second, b in enumerate("IXYZ"):
            against = sum(
                rate
                for word, rate in rates.items()
                if sum(x != "I" != y and x != y for x, y in zip(word, a + b, strict=True)) % 2
            )
            assert np.exp(-2 * against) == pytest.approx(fidelities[first, second], abs=1e-9)


def test_gamma_of_depolarizing_noise_in_closed_form() -> None:
    p = 0.01  # each of 15 Paulis with p / 15: all fidelities 1 - 16 p / 15, rates -ln(f) / 16
    rates = pauli_rates(((ChannelSpec("depolarizing_2q", (("p", p),)), (0, 1)),))
    assert len(rates) == 15
    assert sum(rates.values()) == pytest.approx(-15 / 16 * np.log(1 - 16 * p / 15), rel=1e-9)


def test_pec_pays_for_all_tiles_and_stops_at_the_largest_overhead() -> None:
    chip, model = chip_of(fake_backend("fake_kingston")), build_circuit("2b-5q")
    gammas = []
    for copies in (1, 2):
        options = LayoutOptions(copies=copies)
        program = compile_for_device(model.circuit, model.observables, chip, options)
        gammas.append(gamma_of(program.rounds[0].circuit, chip))
    assert np.log(gammas[1]) == pytest.approx(2 * np.log(gammas[0]), rel=0.3)
    tight = Mitigation(method="pec", max_overhead=1.05)
    assert overhead_of(gammas[0], tight) == pytest.approx(1.05)
    assert undone(gammas[0], Mitigation(method="pec"))[1] == 0.0
    program = compile_for_device(model.circuit, model.observables, chip, LayoutOptions(copies=1))
    values = np.random.default_rng(0).uniform(0, 6, (4, model.circuit.num_parameters))
    errors = {
        name: np.abs(rehearse(model.circuit, program, chip, values, one).moments(10**9)[0]).mean()
        for name, one in {
            "full": Mitigation(method="pec"),
            "part": tight,
            "readout": Mitigation(method="readout"),
        }.items()
    }
    assert errors["full"] < errors["part"] < errors["readout"]
    often = Mitigation(method="zne", noise_factors=(1.0, 3.0, 7.0))
    with pytest.raises(UnsupportedError, match=r"at most 5 times, but zne's noise factors go up to 7"):
        rehearse(model.circuit, program, chip, values, often)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"method": "magic"}, "none, readout, zne, pec, pea"),
        ({"method": "zne", "noise_factors": (1.0, 2.0)}, "odd whole numbers"),
        ({"noise_factors": (1.0,)}, "at least 2 different"),
        ({"noise_factors": (1.0, 3.0), "extrapolator": "polynomial_degree_2"}, "at least 3 different"),
        ({"noise_factors": (0.5, 3.0)}, "from 1"),
        ({"extrapolator": "exponential"}, "`extrapolator` must be one of"),
        ({"max_overhead": 1.0}, "above 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        Mitigation(**settings)
