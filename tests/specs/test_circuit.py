"""Descriptions of circuits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit import catalog
from sqdr_qiskit.errors import ArgumentError, CatalogError, SpecError
from sqdr_qiskit.specs.circuit import CircuitSpec, circuit_spec, parameter_counts, read_circuit

_TEXT = """schema = 1
kind = "reupload"
title = "Mine"
source = "Me"
[circuit]
n_qubits = 3
n_blocks = 2
"""


@pytest.mark.parametrize("name", catalog.list_names("circuits"))
def test_every_circuit_file_reads_and_survives_a_round_trip(name: str) -> None:
    spec = circuit_spec(name)
    assert spec.name == name
    assert spec.title
    assert spec.source
    assert CircuitSpec.from_dict(spec.to_dict()) == spec
    assert circuit_spec(spec) is spec


@pytest.mark.parametrize("name", ["2b-9q", "4b-9q", "2b-18q", "4b-18q"])
def test_the_pattern_means_what_the_files_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = circuit_spec(name)
    monkeypatch.setattr(catalog, "list_names", lambda kind: ())
    by_pattern = circuit_spec(name)
    same = ("name", "kind", "n_qubits", "n_blocks", "entangler", "last_entangler", "observables", "title")
    assert [getattr(by_pattern, key) for key in same] == [getattr(from_file, key) for key in same]


def test_any_size_goes_by_its_name() -> None:
    spec = circuit_spec("3b-127q")
    assert (spec.kind, spec.n_blocks, spec.n_qubits) == ("reupload", 3, 127)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0b-9q", "There is no circuit '0b-9q'"),
        ("2b-9q ", "There is no circuit '2b-9q '; did you mean '2b-9q'"),
        ("2b-100000q", "There is no circuit '2b-100000q'; blocks and qubits must be at most 1000"),
    ],
)
def test_an_impossible_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        circuit_spec(name)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_TEXT + 'entangler = "line"\nlast_entangler = false\n')
    assert circuit_spec(path) == read_circuit(path)
    assert circuit_spec(str(path)) == CircuitSpec(
        name="mine",
        kind="reupload",
        n_qubits=3,
        n_blocks=2,
        entangler="line",
        last_entangler=False,
        title="Mine",
        source="Me",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "n_qubits = 3",
            "n_qubits = 0",
            r"^mine\.toml: table `circuit`: key `n_qubits` must be at least 1, but is 0\.$",
        ),
        ("n_blocks", "n_block", r"table `circuit`: key `n_blocks` is missing; did you write `n_block`\?$"),
        ("[circuit]", "[circuits]", r"^mine\.toml: key `circuit` is missing; did you write `circuits`\?$"),
        (
            "n_blocks = 2",
            "n_blocks = 2\nentangle = 'ring'",
            r"`entangle` is unknown; did you mean `entangler`\?$",
        ),
        (
            "n_blocks = 2",
            "n_blocks = 2\nentangler = 'star'",
            "must be one of ring, line, none, but is 'star'",
        ),
        ('"reupload"', '"job"', "key `kind` must be one of reupload, hea, sqnn, but is 'job'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_TEXT.replace(old, new))
    with pytest.raises(SpecError, match=message):
        read_circuit(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_qubits": 0}, "Argument `n_qubits` must be at least 1, but is 0"),
        ({"n_blocks": 2.0}, "Argument `n_blocks` must be a whole number, but is 2.0"),
        ({"kind": "other"}, "Argument `kind` must be one of reupload, hea, sqnn, but is 'other'"),
        ({"name": ""}, "Argument `name` must be a text"),
        ({"entangler": "star"}, "Argument `entangler` must be one of ring, line"),
    ],
)
def test_a_description_checks_itself(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"name": "a", "kind": "reupload", "n_qubits": 2, "n_blocks": 2}
    with pytest.raises(ArgumentError, match=message):
        CircuitSpec(**{**good, **change})


@pytest.mark.parametrize(
    ("n_qubits", "n_blocks", "total"), [(9, 2, 803), (9, 4, 857), (18, 2, 1190), (18, 4, 1298)]
)
def test_table_3(n_qubits: int, n_blocks: int, total: int) -> None:
    counts = parameter_counts(n_features=3 * n_qubits, n_weights=3 * n_qubits * n_blocks, n_outputs=n_qubits)
    assert counts["conv"] == 378
    assert counts["batch_norm"] == 28
    assert counts["linear"] == 27 * n_qubits
    assert counts["circuit"] == 3 * n_qubits * n_blocks
    assert counts["head"] == 10 * (n_qubits + 1)
    assert counts["total"] == total == sum(counts.values()) - counts["total"]


def test_without_a_head_it_counts_nothing() -> None:
    assert parameter_counts(n_features=27, n_weights=54, n_outputs=9, head=False)["total"] == 803 - 100


def test_colour_images_have_larger_convolutions() -> None:
    counts = parameter_counts(n_features=27, n_weights=54, n_outputs=9, n_channels=3)
    assert (counts["conv"], counts["batch_norm"], counts["linear"]) == (378 * 9, 28 * 3, 25 * 27)


def test_a_wrong_number_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Argument `n_classes` must be at least 1, but is 0"):
        parameter_counts(n_features=27, n_weights=54, n_outputs=9, n_classes=0)
