"""`sqdr-qiskit noise`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqdr_qiskit.catalog import list_names
from sqdr_qiskit.cli import main
from sqdr_qiskit.specs.noise import read_noise


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.err == ""
    value = json.loads(captured.out)
    assert isinstance(value, dict)
    return value


def test_show_has_operators_matrices_and_fidelities(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noise", "show", "paper", "--json"]) == 0
    facts = _json(capsys)
    assert [channel["channel"] for channel in facts["channels"]] == [
        "bit_flip",
        "depolarizing",
        "amplitude_damping",
    ]
    for channel in facts["channels"]:
        kraus = np.array(channel["kraus"]) @ [1, 1j]
        total = sum(k.conj().T @ k for k in kraus)
        np.testing.assert_allclose(total, np.eye(2), atol=1e-12)
        assert channel["completeness_error"] < 1e-12
    gates = {gate["gate"]: gate for gate in facts["gates"]}
    assert set(gates) == {"u", "cz"}
    x, y, z = 0.96 * np.sqrt(0.98), 0.96 * 0.96 * np.sqrt(0.98), 0.96 * 0.96 * 0.98
    expected = [[1, 0, 0, 0], [0, x, 0, 0], [0, 0, y, 0], [0.02, 0, 0, z]]
    np.testing.assert_allclose(gates["u"]["pauli_transfer_matrix"], expected, atol=1e-12)
    for side in gates["cz"]["on_each_qubit"]:
        np.testing.assert_allclose(side, expected, atol=1e-12)
    assert gates["u"]["average_gate_fidelity"] == pytest.approx((2 + x + y + z - 1 + 2) / 6)


@pytest.mark.parametrize("name", list_names("noise_models"))
def test_every_noise_model_has_a_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noise", "show", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{name}: ")
    assert "Not on 2b-9q" not in out


def test_the_page_shows_complex_numbers_and_places(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noise", "show", "released-code"]) == 0
    out = capsys.readouterr().out
    assert "-0.1i" in out
    assert "after layer_end, on qubits [-1]" in out
    assert "All that follows `layer_end` of 2b-9q (qubits 8):" in out
    assert "average gate fidelity = 0.980000" in out


def test_a_noise_that_does_not_fit_is_noted_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cx.toml"
    head = 'schema = 1\nkind = "noise"\ntitle = "t"\nsource = "s"\n'
    path.write_text(
        head + '[[error]]\nchannel = "depolarizing_2q"\np = 0.1\nafter = ["cx"]\npairs = [[0, 1]]\n',
        encoding="utf-8",
    )
    assert main(["noise", "show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "after cx, on pairs [[0, 1]]" in out
    assert "Not on 2b-9q: Noise `cx` attaches" in out
    assert main(["noise", "show", str(path), "--circuit", "sqnn-9q"]) == 0
    assert "All that follows `cx` of sqnn-9q (qubits 0-1):" in capsys.readouterr().out
    assert main(["noise", "show", str(path), "--circuit", "2b-9q"]) == 2
    assert "but the circuit has only cz, u" in capsys.readouterr().err


def test_from_device_writes_a_noise_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "manila.toml"
    assert main(["noise", "from-device", "fake_manila", "--output", str(path), "--json"]) == 0
    assert _json(capsys)["n_qubits"] == 5
    spec = read_noise(path)
    assert spec.device is not None
    assert spec.device.name == "fake_manila"
    assert spec.device.calibrated in spec.source
    assert main(["noise", "show", str(path)]) == 0
    assert "Median gate errors" in capsys.readouterr().out
    assert main(["noise", "from-device", "fake_manila", "--output", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["noise", "from-device", "fake_manila", "--output", str(path), "--median", "--force"]) == 0
    assert "Wrote" in capsys.readouterr().out
    assert read_noise(path).device is None


def test_from_device_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noise", "from-device", "fake_brisban"]) == 2
    assert "did you mean 'fake_brisbane'" in capsys.readouterr().err
    assert main(["noise", "from-device", "fake_manila", "--output", str(tmp_path / "x.txt")]) == 2
    assert "must end in .toml" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
