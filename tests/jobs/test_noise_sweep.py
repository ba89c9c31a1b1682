from __future__ import annotations

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.noise_sweep import parse_sweep


def test_strengths_are_evenly_spaced_with_both_ends() -> None:
    assert parse_sweep("0:0.1:11") == (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1)
    assert parse_sweep("0.3:0.3:1") == (0.3,)
    assert parse_sweep("1:0:3") == (1.0, 0.5, 0.0)


@pytest.mark.parametrize(
    "text", ["", "0:1", "0:1:0", "0:2:3", "-1:1:3", "a:b:c", "0:1:2.5", "0:1:9999", "nan:1:3"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="Argument `noise-sweep` must be first:last:number"):
        parse_sweep(text)
