from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stub.server import StubServer
from tests.stub.service import Service


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_killed_at_any_stage_no_job_is_lost_or_paid_twice(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_senders.py")
    root = Path(__file__).resolve().parents[2]
    with StubServer(Service({"ibm_kingston": "manila"})) as server:
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path)],
            env={
                **os.environ,
                **server.environment(tmp_path),
                "SQDR_PATIENCE": "0.01",
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(root),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["whole"] == 0
    assert len(found["runs"]) == 22
    for run in found["runs"]:
        assert run["killed"] == -signal.SIGKILL, run
        assert run["resumed"] == 0, (run, done.stderr)
        assert run["jobs"] == 2, run  # what is needed, no more
        assert run["same"], run
