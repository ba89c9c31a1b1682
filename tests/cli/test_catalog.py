"""`sqdr-qiskit catalog`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit import catalog
from sqdr_qiskit.cli import main
from sqdr_qiskit.specs.circuit import circuit_spec


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.err == ""
    value = json.loads(captured.out)
    assert isinstance(value, dict)
    return value


def test_the_list_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog"]) == 0
    out = capsys.readouterr().out
    for kind in catalog.KINDS:
        for name in catalog.list_names(kind):
            assert f"  {name} " in out
    assert "<b>b-<n>q" in out


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "--json"]) == 0
    listed = _json(capsys)
    assert {kind: tuple(sorted(entries)) for kind, entries in listed.items()} == {
        kind: catalog.list_names(kind) for kind in catalog.KINDS
    }


@pytest.mark.parametrize(
    ("name", "total"), [("2b-9q", 803), ("4b-9q", 857), ("2b-18q", 1190), ("4b-18q", 1298)]
)
def test_parameter_counts_of_table_3(name: str, total: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "show", name, "--json"]) == 0
    facts = _json(capsys)
    assert facts["parameters"]["total"] == total
    assert facts["name"] == name
    assert facts["n_gates"] == sum(facts["gates"].values())


def test_show_draws_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "show", "2b-3q", "--channels", "3", "--classes", "2"]) == 0
    out = capsys.readouterr().out
    assert "q_2: ┤ U(x[7],x[8],x[6]) ├" in out
    for line in (
        "  qubits                3",
        "  gates                18   (6 cz, 12 u)",
        "  conv               3402",
    ):
        assert line in out


@pytest.mark.parametrize("kind", ["noise_models", "jobs"])
def test_show_prints_other_files(kind: catalog.CatalogKind, capsys: pytest.CaptureFixture[str]) -> None:
    name = catalog.list_names(kind)[0]
    assert main(["catalog", "show", name]) == 0
    assert capsys.readouterr().out.rstrip() == catalog.find(kind, name).read_text().rstrip()
    assert main(["catalog", "show", name, "--json"]) == 0
    shown = _json(capsys)
    assert (shown["name"], shown["catalogue"]) == (name, kind)


def test_a_file_of_ones_own_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(catalog.find("circuits", "2b-9q").read_text().replace("n_qubits = 9", "n_qubits = 4"))
    assert main(["catalog", "show", str(path), "--json"]) == 0
    assert _json(capsys)["n_qubits"] == 4


@pytest.mark.parametrize("ending", ["qasm", "qpy"])
def test_export_writes_one_file(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"c.{ending}"
    assert main(["catalog", "export", "2b-9q", str(path), "--json"]) == 0
    assert _json(capsys)["circuit"] == "2b-9q"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "2b_9q"], "There is no circuit '2b_9q'; did you mean '2b-9q'?"),
        (["show", "digit"], "There is nothing called 'digit'; did you mean 'digits'?"),
        (
            ["show", "no/such.toml"],
            "There is no circuit file 'no/such.toml'; see `sqdr-qiskit catalog` for names.",
        ),
        (["show", "2b-9q", "--classes", "0"], "Option `--classes` must be at least 1, but is 0."),
        (["export", "2b-9q", "c.txt"], "Argument `path` must end in .qasm or .qpy, but is 'c.txt'."),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", *words]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {message}\n")
    assert main(["catalog", *words, "--json"]) == 2
    assert _json(capsys) == {"error": message}


def test_a_file_that_is_no_toml_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("schema")
    assert main(["catalog", "show", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error: mine.toml: is not valid TOML: ")


def test_json_before_a_sub_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "--json", "show", "2b-9q"]) == 2
    assert _json(capsys)["error"].startswith("Option `--json` must stand after")


@pytest.mark.parametrize("name", ["2b-9q", "hea-9q", "3b-12q"])
def test_a_circuit_as_the_file_to_begin_with(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalog", "show", name, "--toml"]) == 0
    path = tmp_path / f"{name}.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert circuit_spec(str(path)) == circuit_spec(name)


def test_a_noise_model_as_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "show", "paper", "--toml"]) == 0
    assert capsys.readouterr().out == catalog.find("noise_models", "paper").read_text(encoding="utf-8")


def test_a_file_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "show", "paper", "--toml", "--json"]) == 2
    assert "`--toml` must be left out with `--json`" in _json(capsys)["error"]
