from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import ArgumentError, SpecError
from sqdr_qiskit.specs.device import LayoutSpec, read_layout
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.job_file import read_job

_TILED: dict[str, Any] = {
    "circuit": "2b-4q",
    "digest": "0" * 64,
    "device": "fake_manila",
    "layout": "tiled",
    "tiles": (((((0, 1, 2)),),), (((2, 1, 0),),)),
    "two_qubit_gates": 8,
    "title": 'a "good" one',
    "source": "a test",
}
_WHOLE = {
    **_TILED,
    "layout": "whole",
    "tiles": (((((0, 1, 2, 3)),),),),
    "level": 3,
    "seed": 5,
    "initial": (3, 0, 1, 2),
    "success": 0.5,
    "calibrated": "2026-01-02T03:04:05+00:00",
    "versions": {"qiskit": "2.6.1"},
}


def _written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "best.toml"
    path.write_text(LayoutSpec(**{**_TILED, **changes}).text(), encoding="utf-8")
    return path


@pytest.mark.parametrize("values", [_TILED, _WHOLE], ids=["tiled", "whole"])
def test_a_layout_survives_its_file_and_a_record(values: dict[str, Any], tmp_path: Path) -> None:
    spec = LayoutSpec(**values)
    path = tmp_path / "best.toml"
    path.write_text(spec.text(), encoding="utf-8")
    assert read_layout(path) == spec
    assert LayoutSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "wide"}, "Argument `layout` must be one of tiled, whole, but is 'wide'"),
        ({"digest": "abc"}, "Argument `digest` must be 64 hexadecimal digits, but is 'abc'"),
        ({"digest": "x" * 64}, "Argument `digest` must be 64 hexadecimal digits"),
        ({"tiles": ()}, "Argument `tiles` must be rounds of copies of tiles of qubits, but tiles is"),
        ({"tiles": (((0, 1),),)}, "Argument `tiles` must be rounds .* tiles: round 1, a tile is 0"),
        ({"tiles": ((((0, "1"),),),)}, "Argument `tiles` must hold numbers .* round 1 has '1'"),
        ({"tiles": ((((0, -1),),),)}, "Argument `tiles` must hold numbers of qubits, but .* has -1"),
        ({"tiles": ((((0, 1), (1, 2)),),)}, "must use a qubit once in a round, but round 1 has 1 twice"),
        ({"tiles": ((((0,), (1,)), ((2,),)),)}, "as many tiles in each copy, but round 1 has not"),
        ({"level": 1}, "Argument `level` must not be there where `layout` is tiled"),
        ({**_WHOLE, "seed": None}, "Argument `seed` must be there where `layout` is whole"),
        ({**_WHOLE, "level": 4}, "Argument `level` must be at most 3"),
        ({**_WHOLE, "tiles": _TILED["tiles"]}, "must hold one round, one copy and one list of qubits"),
        ({"success": 1.5}, "Argument `success` must be at most 1"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        LayoutSpec(**{**_TILED, **changes})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "layout"', 'kind = "noise"', "best.toml: key `kind` must be one of layout"),
        ('device = "fake_manila"\n', "", "best.toml: key `device` is missing"),
        ("two_qubit_gates", "two_qubit_gate", "best.toml: key `two_qubit_gates` is missing; did you write"),
        (
            "[2, 1, 0]",
            "[2, 1, 1]",
            "best.toml: key `tiles` must use a qubit once in a round, but round 2 has",
        ),
        ("[versions]", "[version]", "best.toml: key `version` is unknown; did you mean `versions`"),
        ("tiles = [", "tiles = ", "best.toml: is not valid TOML"),
    ],
)
def test_a_damaged_file_is_one_clear_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = _written(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        read_layout(path)


def test_a_job_keeps_what_the_file_said(tmp_path: Path) -> None:
    path = _written(tmp_path)
    job = JobSpec(backend="fake_manila", layout=str(path))
    assert job.layout == LayoutSpec(**_TILED)
    path.unlink()
    assert JobSpec.from_dict(json.loads(json.dumps(job.to_dict()))) == job
    with pytest.raises(SpecError, match=r"best\.toml: cannot be read: No such file"):
        JobSpec(layout=str(path))
    with pytest.raises(
        ArgumentError, match=r"must be tiled, whole or a layout file \(FILE.toml\), but is 'b"
    ):
        JobSpec(layout="best")


def test_a_job_file_names_a_layout_file(tmp_path: Path) -> None:
    path = _written(tmp_path)
    file = tmp_path / "job.toml"
    file.write_text(
        'schema = 1\nkind = "job"\ntitle = "t"\nsource = "s"\n[job]\ntask = "train"\n'
        f'[grid]\nlayout = ["tiled", {json.dumps(str(path))}]\n',
        encoding="utf-8",
    )
    assert [job.layout for job in read_job(file).jobs] == ["tiled", LayoutSpec(**_TILED)]


def test_a_damaged_record_names_the_field() -> None:
    values = {"layout": {**_TILED, "device": 3}}
    with pytest.raises(SpecError, match=r"run.json: layout: key `device` must be a text, but is 3"):
        JobSpec.from_dict(values, where="run.json")
