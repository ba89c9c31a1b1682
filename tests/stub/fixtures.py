"""The stub as a fixture: `from tests.stub.fixtures import stub`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qiskit_ibm_runtime.accounts import management

from tests.stub.server import StubServer
from tests.stub.service import Service

__all__ = ["stub"]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    """A service with ibm_kingston (7 qubits) and ibm_fez (5 qubits), the environment's account."""
    with StubServer(Service({"ibm_kingston": "nairobi", "ibm_fez": "manila"})) as server:
        for name, value in server.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SQDR_PATIENCE", "0.02")
        monkeypatch.setattr(
            management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "qiskit-ibm.json")
        )
        yield server
