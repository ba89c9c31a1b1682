from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_random_faults_and_kills_break_no_promise() -> None:
    runs = int(os.environ.get("SQDR_RANDOM_RUNS", "6"))
    seed = int(os.environ.get("SQDR_RANDOM_SEED", str(int(time.time()))))
    words = ["-m", "tests.runtime.random_faults", "--runs", str(runs), "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)  # the seeds, where it fails
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["runs"] == runs
    assert found["broken"] == {}
