from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_runs.py")
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "SQDR_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["whole"] == 0
    assert len(found["runs"]) >= 12
    for run in found["runs"]:
        assert run["killed"] == -signal.SIGKILL, run
        assert run["resumed"] == 0, run
        assert run["differ"] == [], run
