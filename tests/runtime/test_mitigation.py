"""Mitigation by name, from its options to the client's, through the stub and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.cli import main
from sqdr_qiskit.devices.chip import chip_of
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.mitigation import Mitigation, gamma_of, rehearse
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.hardware import runtime_settings
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.estimators import RuntimeSettings, make_estimator
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.runtime.sender import RuntimeSender
from sqdr_qiskit.specs.job import JobSpec
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]

SHOTS = 128


@pytest.mark.parametrize("method", ["readout", "zne", "pec", "pea"])
def test_a_method_comes_back_within_its_rehearsed_error_and_is_planned_for(
    stub: StubServer, tmp_path: Path, method: str
) -> None:
    chosen = Mitigation(method=method, noise_factors=(1.0, 3.0))
    model = build_circuit("2b-3q")
    first = list(model.observables)[:1]
    values = np.random.default_rng(3).uniform(0, 2 * np.pi, (1, model.circuit.num_parameters))
    with Ledger(tmp_path) as ledger:
        connection = Connection("ibm_fez")
        chip = chip_of(connection.device)
        sender = RuntimeSender(
            connection, ledger, RuntimeSettings(mitigation=method, noise_factors=(1.0, 3.0))
        )
        estimator = DeviceEstimator(chip, sender, shots=SHOTS, options=LayoutOptions(copies=1))
        found = np.ravel(estimator.run([(model.circuit, first, values[0])]).result()[0].data.evs)
        (entry,) = ledger.entries()
    assert stub.service.n_jobs == 1
    program = estimator.program(model.circuit, first)
    bias, variance = rehearse(model.circuit, program, chip, values, chosen).moments(SHOTS)
    ideal = Statevector(model.circuit.assign_parameters(values[0])).expectation_value(first[0]).real
    assert abs(found[0] - ideal - bias[0, 0]) < 4.0 * np.sqrt(variance[0, 0])
    gamma = gamma_of(program.rounds[0].circuit, chip)
    rows = {"readout": 2, "zne": 3, "pea": 3, "pec": 1 + gamma**2}[method]
    assert entry.facts["executions"] == pytest.approx(rows * SHOTS, abs=1)
    assert entry.facts["mitigation"] == method
    assert ("noise_factors" in entry.facts) == (method in ("zne", "pea"))


def test_options_reach_the_client(stub: StubServer) -> None:
    device = Connection("ibm_fez").device
    for words, wanted in (
        ({"mitigation": "none"}, (0, None, False)),
        ({"mitigation": "readout"}, (1, None, False)),
        ({"mitigation": "zne", "noise_factors": "1,3,7"}, (1, True, False)),
        ({"mitigation": "pea", "noise_factors": "1,1.5,2"}, (1, True, False)),
        ({"mitigation": "pec", "max_overhead": 9.0}, (1, None, True)),
    ):
        settings = runtime_settings(JobSpec(task="infer", backend="ibm_fez", **words))
        options = make_estimator(device, settings, []).options
        resilience = options.resilience
        assert (options.resilience_level, resilience.zne_mitigation, resilience.pec_mitigation) == wanted
        if "noise_factors" in words:
            assert ",".join(f"{k:g}" for k in resilience.zne.noise_factors) == words["noise_factors"]
            assert resilience.zne.amplifier == ("pea" if words["mitigation"] == "pea" else "gate_folding")
        if "max_overhead" in words:
            assert resilience.pec.max_overhead == 9.0


def test_a_method_is_part_of_what_defines_a_run() -> None:
    def facts(**words: str) -> dict[str, object]:
        found: dict[str, object] = runtime_settings(
            JobSpec(task="infer", backend="ibm_fez", **words)  # type: ignore[arg-type]
        ).facts()
        return found

    assert "mitigation" not in facts()
    assert facts(mitigation="zne") != facts(mitigation="pea") != facts(mitigation="readout")
    assert facts(mitigation="zne") != facts(mitigation="zne", noise_factors="1,3")
    plain, other = (JobSpec(task="infer", backend="ibm_fez", mitigation=m) for m in (None, "zne"))
    assert plain.defining() != other.defining()
    assert [JobSpec(task="infer", mitigation=m).mitigated for m in (None, "none", "pec")] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--mitigation", "zne"], "which has none: the client mitigates on quantum computers only"),
        (["--mitigation", "zne", "--resilience", "1"], "`--resilience` must be left out with `--mitigation`"),
        (["--max-overhead", "9"], "must come with `--mitigation` pec"),
        (["--mitigation", "pec", "--noise-factors", "1,3"], "must come with `--mitigation` zne or pea"),
        (["--mitigation", "zne", "--noise-factors", "1,x"], "such as 1,3,5"),
        (["--fractional", "--layout", "whole", "--mitigation", "zne"], "which has none: the client"),
        (["--mitigation", "magic"], "none, readout, zne, pec, pea"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", "digits-2b-9q", "--backend", "fake_kingston", "--limit", "2", *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert told in lines[0]


def test_settings_that_clash_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`twirling` must be left out with pec, where it is already on"):
        RuntimeSettings(mitigation="pec", twirling=True)
    with pytest.raises(ArgumentError, match="odd whole numbers for zne"):
        runtime_settings(JobSpec(task="infer", backend="ibm_fez", mitigation="zne", noise_factors="1,2"))
