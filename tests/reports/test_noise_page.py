"""The page of a noise that was learnt, from plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqdr_qiskit.reports.device_pages import learnt_noise_page, learnt_noise_text


def _found(*, fits: bool, told: bool) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    held_out = np.stack([*rng.uniform(-1, 1, (3, 20)), np.full(20, 0.01)], axis=1)
    estimate = {"qubits": (3, 4), "calibrated": 0.0, "value": 0.03, "low": 0.02, "high": 0.04, "told": told}
    t1 = {"what": "T1", "qubits": (3,), "calibrated": 1e-4, "value": 9e-5, "low": 4e-5, "high": 1e3}
    return {
        "backend": "ibm_<b>kingston",
        "circuit": "2b-9q",
        "calibrated": "2026-11-01",
        "n_samples": 160,
        "n_probes": 8,
        "shots": 4096,
        "file": "learnt.toml",
        "estimates": [{"what": "over_rotation", **estimate}, {**t1, "told": False}],
        "n_fitted": 80,
        "n_held_out": 20,
        "before": 3.456,
        "after": 1.02 if fits else 2.5,
        "p_value": 0.4 if fits else 1e-9,
        "fits": fits,
        "held_out": held_out.tolist(),
        "made_by": {"command": "noise learn"},
    }


def test_the_page_says_what_is_known_and_what_is_not() -> None:
    page = learnt_noise_page(_found(fits=True, told=True))
    assert "What was learnt explains what was held out" in page
    assert "3.46" in page
    assert "1.02" in page
    assert "two-qubit gate, over-rotation" in page
    assert "20 to 40" in page
    assert "mrad" in page
    assert "40 to –" in page  # a relaxation time without an upper end, among those that are not told
    assert "<b>kingston" not in page
    assert page.count("<img") + page.count("<svg") >= 1
    assert 'src="http' not in page


def test_a_bad_fit_is_said_on_the_page_and_in_the_terminal() -> None:
    found = _found(fits=False, told=False)
    page = learnt_noise_page(found)
    assert '<section class="refused"><h2>The fit is bad</h2>' in page
    assert "Do not rely on the file" in page
    assert "The data tell no parameter apart from its prior" in page
    text = learnt_noise_text(found)
    assert "The fit is bad" in text
    assert "The data tell 0 of 2 parameters" in text
    assert "160 samples of ibm_<b>kingston, 8 of them probes, in 4096 shots: 80 values fitted" in text
