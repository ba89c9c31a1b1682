"""`sqdr-qiskit noise`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqdr_qiskit.catalog import list_names
from sqdr_qiskit.cli import main
from sqdr_qiskit.devices.chip import fake_backend
from sqdr_qiskit.noise_models.calibration import snapshot
from sqdr_qiskit.specs.noise import NoiseSpec, noise_text, read_noise


def _json(capsys: pytest.CaptureFixture[str], err: str = "") -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.err == err
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


def test_noise_is_learnt_from_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A chip that reads three times worse than its calibration says, met by an inference of 40 digits."""
    monkeypatch.chdir(tmp_path)
    calibration = snapshot(fake_backend("fake_manila"))
    assert all(p is not None for p in calibration.p10)
    worse = tuple(min(3 * (p or 0.0), 0.3) for p in calibration.p10)
    truth = NoiseSpec("truth", "Reads badly", "a test", device=replace(calibration, p10=worse))
    Path("truth.toml").write_text(noise_text(truth), encoding="utf-8")
    words = ["infer", "digits-2b-9q", "--dataset", "digits", "--limit", "40", "--backend", "fake_manila"]
    assert main([*words, "--noise", "truth.toml", "--seed", "1", "--out", "run", "--json"]) == 0
    capsys.readouterr()
    assert main(["noise", "learn", "run", "--json"]) == 0
    found = _json(capsys, err="loading PyTorch and Qiskit\n")
    assert (found["file"], found["backend"], found["n_samples"]) == (
        "fake-manila-learnt.toml",
        "fake_manila",
        40,
    )
    assert found["fits"]
    assert found["after"] < found["before"] / 2
    learnt = read_noise("fake-manila-learnt.toml").device
    assert learnt is not None
    told = [e for e in found["estimates"] if e["what"] == "p10" and e["told"]]
    assert told
    for estimate in told:
        (qubit,) = estimate["qubits"]
        assert estimate["low"] <= worse[qubit] <= estimate["high"]
        assert learnt.p10[qubit] == pytest.approx(estimate["value"])
    assert learnt.angles("over_rotation")
    assert learnt.learnt == (2, 3, 4)
    html = Path("fake-manila-learnt.html").read_text(encoding="utf-8")
    assert main(["noise", "show", "fake-manila-learnt.toml"]) == 0
    shown = capsys.readouterr().out
    assert "Learnt on qubits 2, 3, 4." in shown
    assert "Pairs that turn too far (over_rotation, mrad):" in shown
    assert "What was learnt explains what was held out" in html
    assert "reads 0 for 1" in html
    assert main(["noise", "learn", "run"]) == 2
    assert "exists already" in capsys.readouterr().err
    Path("fake-manila-learnt.toml").unlink()
    assert main(["noise", "learn", "run"]) == 2
    assert "fake-manila-learnt.html' exists already" in capsys.readouterr().err
    assert main(["noise", "learn", "run", "run", "--force"]) == 0
    page = capsys.readouterr().out
    assert "80 samples of fake_manila in 4096 shots" in page
    assert "The data tell" in page
    assert main([*words, "--noise", "fake-manila-learnt.toml", "--json"]) == 0
    capsys.readouterr()
    words[-1] = "fake_lima"
    assert main([*words, "--noise", "fake-manila-learnt.toml"]) == 2
    assert "must be of device fake_lima (5 qubits), but is of fake_manila" in capsys.readouterr().err
    assert main([*words, "--noise", "paper"]) == 2
    assert "must be the calibration of a device" in capsys.readouterr().err


def test_noise_is_not_learnt_from_what_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["noise", "learn", "nowhere"]) == 2
    assert "There is no run in 'nowhere'" in capsys.readouterr().err
    words = ["infer", "digits-2b-9q", "--dataset", "digits", "--json", "--out"]
    assert main([*words, "exact", "--limit", "2"]) == 0
    assert main([*words, "sharp", "--limit", "2", "--backend", "fake_manila", "--shots", "0"]) == 0
    assert main([*words, "few", "--limit", "3", "--backend", "fake_manila"]) == 0
    capsys.readouterr()
    for run in ("exact", "sharp"):
        assert main(["noise", "learn", run]) == 2
        assert "with values of a device in shots" in capsys.readouterr().err
    assert main(["noise", "learn", "few"]) == 2
    assert "at least 5 samples" in capsys.readouterr().err
    assert main(["noise", "learn", "few", "--output", "x.txt"]) == 2
    assert "must end in .toml" in capsys.readouterr().err
    assert not list(Path().glob("*.toml"))


def test_probes_are_sent_once_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut short after they were chosen, after they ran, and after they were written down."""
    monkeypatch.chdir(tmp_path)
    words = ["infer", "digits-2b-9q", "--dataset", "digits", "--limit", "10", "--backend", "fake_manila"]
    assert main([*words, "--seed", "1", "--out", "run", "--json"]) == 0
    capsys.readouterr()
    ask = ["noise", "learn", "run", "--probe-seconds", "29", "--out", "probes"]
    monkeypatch.setattr("sqdr_qiskit.jobs.noise_learning.send_probes", _cut)
    assert main(ask) == 130
    planned = (tmp_path / "probes" / "probes.json").read_bytes()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(ask) == 2
    assert "holds something already" in capsys.readouterr().err
    assert main(["noise", "learn", "--resume", "probes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_probes"] == 2  # nine rounds on this chip, 12.9 s for each row
    assert found["n_samples"] == 12
    kept = json.loads((tmp_path / "probes" / "probes.json").read_text())
    assert kept["values"] == json.loads(planned)["values"]
    assert kept["rehearsal"]["planned_s"] <= 29
    Path("probes", "probes.json").write_bytes(planned)  # as if it had ended before they were written down
    assert main(["noise", "learn", "--resume", "probes", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    again = json.loads((tmp_path / "probes" / "probes.json").read_text())
    assert again == kept  # from the ledger, with their shots


def _cut(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_probes_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["infer", "digits-2b-9q", "--dataset", "digits", "--limit", "5", "--backend", "fake_manila"]
    assert main([*words, "--out", "run", "--json"]) == 0
    for ask, answer in (
        (["run", "--probe-seconds", "3", "--out", "probes"], "must be at least 14.90 for one probe"),
        (["run", "--probe-seconds", "30"], "must be given together"),
        (["run", "--resume", "probes"], "must be given alone"),
        (["--resume", "probes"], "There are no probes in 'probes'"),
        ([], "must name at least one run"),
    ):
        capsys.readouterr()
        assert main(["noise", "learn", *ask]) == 2
        assert answer in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
