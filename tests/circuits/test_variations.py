from __future__ import annotations

from dataclasses import replace

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.circuits.variations import variations
from sqdr_qiskit.specs.circuit import circuit_spec


def test_one_thing_changes_at_a_time() -> None:
    found = variations(circuit_spec("2b-9q"))
    assert {name: model.circuit.count_ops()["cz"] for name, model in found.items()} == {
        "entangler line": 16,
        "last layer off": 9,
    }
    assert all(model.n_weights == build_circuit("2b-9q").n_weights for model in found.values())


def test_the_other_way_round() -> None:
    spec = replace(circuit_spec("2b-9q"), entangler="line", last_entangler=False)
    assert list(variations(spec)) == ["entangler ring", "last layer on"]


def test_what_changes_nothing_is_left_out() -> None:
    assert list(variations(circuit_spec("2b-2q"))) == ["last layer off"]
