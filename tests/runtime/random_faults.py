"""Runs of two requests with random faults of the whole table at random moments, and a random kill.

    python -m tests.runtime.random_faults --runs 1000 --seed 20261121

prints each seed whose run broke a promise, with what broke, and at the end a line of JSON. test_random.py
runs a few; SQDR_RANDOM_RUNS sets how many. Each sitting is a process of its own, forked from this one, which
therefore must not start a thread; the stub service runs beside it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import qiskit_ibm_runtime.executor_estimator  # noqa: F401 (before forking)
import requests
from urllib3.util.retry import Retry

from sqdr_qiskit.devices.estimator import Request
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.client import Patience
from sqdr_qiskit.runtime.estimators import RuntimeSettings
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.runtime.sender import RuntimeSender
from tests.runtime.native import native_pub
from tests.stub.faults import FAULTS

DEVICE = "ibm_kingston"
PRECISION = 0.2  # 25 shots
_LATE_S = 0.15
_MOST_SITTINGS = 25
# Faults that need what these runs do not do.
_LEFT_OUT = {"session-1352", "cancel-500", "cancel-ignored"}


def serve(port: Any, stop: Any) -> None:
    """The stub, in a process of its own."""
    from tests.stub.server import StubServer
    from tests.stub.service import Service

    service = Service({DEVICE: "manila"}, late_s=_LATE_S, hang_s=20.0)
    with StubServer(service) as server:
        port.send(server.environment())
        stop.wait()


def one_sitting(folder: Path, kill_at: int | None) -> None:
    """Send two requests and write the values down; die at the so-many-th request or change of the ledger."""
    left = [kill_at]

    def counted(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            for _ in range(2):  # once before and once after
                if left[0] is not None:
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                if _ == 0:
                    result = function(*args, **kwargs)
            return result

        return call

    requests.Session.send = counted(requests.Session.send)  # type: ignore[method-assign]
    for name in ("plan", "posting", "posted", "sent", "done", "ended", "used"):
        setattr(Ledger, name, counted(getattr(Ledger, name)))
    Retry.get_backoff_time = lambda self: 0.0  # type: ignore[method-assign]
    times = {"silence_s": 0.3, "answer_s": 5.0, "post_s": 12.0, "unreadable_s": 20.0, "settle_s": 0.6}
    patience = replace(Patience.usual(), start_s=1.0, **times)
    with Ledger(folder) as ledger:
        connection = Connection(
            DEVICE, calibrated=ledger.kept("calibrated"), instance=ledger.kept("instance"), patience=patience
        )
        sender = RuntimeSender(
            connection,
            ledger,
            RuntimeSettings(resilience=0, max_qpu_seconds=10_000.0),
            patience=patience,
            watch=lambda now: print(now.text, flush=True),
        )
        pubs = [native_pub(seed=1), native_pub(seed=2)]
        sender.announce([Request([pub], PRECISION, 50) for pub in pubs])
        handles = [sender.send([pub], precision=PRECISION, label=f"{n}") for n, pub in enumerate(pubs)]
        values = [np.asarray(sender.collect(handle)[0].data.evs).tolist() for handle in handles]
    (folder / "values.json").write_text(json.dumps(values))


def in_child(folder: Path, kill_at: int | None = None) -> int:
    """Exit status of a sitting; negative if it was killed."""
    folder.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        with (folder / "said.txt").open("a") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.stdout = sys.stderr = said
            try:
                one_sitting(folder, kill_at)
                code = 0
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", flush=True)
                code = 1
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ask(path: str, method: str = "GET") -> Any:
    """Ask the stub itself."""
    request = urllib.request.Request(os.environ["IAM_URL"] + path, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or "null")


def one_run(folder: Path, seed: int, expected: Any) -> list[str]:
    """What broke; nothing if every promise was kept."""
    rng = random.Random(seed)
    names = sorted(set(FAULTS) - _LEFT_OUT)
    for name in rng.sample(names, rng.randint(1, 5)):
        ask(f"/stub/faults/{name}/{rng.randint(1, 3)}/{rng.choice((0, 0, 1, 2, 3))}", "POST")
    before = ask("/stub")
    kill_at = rng.choice((None, rng.randint(0, 80), rng.randint(0, 80)))
    sittings = [in_child(folder, kill_at)]
    while sittings[-1] and len(sittings) < _MOST_SITTINGS:
        sittings.append(in_child(folder))
    after = ask("/stub")
    for name in names:
        ask(f"/stub/faults/{name}/0/0", "POST")
    if not sittings[-1] and _unknown(folder):  # what is not known yet is asked for again
        in_child(folder)
        after = {**ask("/stub"), "faults_taken": after["faults_taken"]}
    states = after["states"][before["jobs"] :]
    needed = 2 + sum(state not in ("Completed", "Queued", "Running") for state in states)
    broken = []
    if sittings[-1] != 0:
        broken.append(f"it did not end in {len(sittings)} sittings")
    elif json.loads((folder / "values.json").read_text()) != expected:
        broken.append("the values differ")
    if len(states) != needed:
        broken.append(f"{len(states)} jobs were seen where {needed} were needed")
    with Ledger(folder, read_only=True) as ledger:
        counted, billed = ledger.committed_s(), after["billed_s"] - before["billed_s"]
    if counted < billed:
        broken.append(f"{counted} s were counted where {billed} s were billed")
    for path in folder.iterdir():
        content = path.read_bytes()
        for secret in (os.environ["QISKIT_IBM_TOKEN"].encode(), b"11111111-2222", b"\x1b["):
            if secret in content:
                broken.append(f"{path.name} holds {secret!r}")
    return [f"{why} (faults {after['faults_taken'][len(before['faults_taken']) :]})" for why in broken]


def _unknown(folder: Path) -> bool:
    with Ledger(folder, read_only=True) as ledger:
        return any(entry.job_id and entry.used_s is None for entry in ledger.entries())


def main() -> None:
    """Run as many as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261121, help="of the first run; then one more each")
    parser.add_argument("--keep", action="store_true", help="keep the folders of runs that broke a promise")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    stop = context.Event()
    server = context.Process(target=serve, args=(there, stop), daemon=True)
    server.start()
    root = Path(tempfile.mkdtemp(prefix="sqdr-random-"))
    os.environ.update(here.recv(), HOME=str(root), SQDR_PATIENCE="0.01", OMP_NUM_THREADS="1")
    try:
        whole = in_child(root / "whole")
        assert whole == 0, (root / "whole" / "said.txt").read_text()
        expected = json.loads((root / "whole" / "values.json").read_text())
        broken: dict[int, list[str]] = {}
        for seed in range(options.seed, options.seed + options.runs):
            found = one_run(root / f"run-{seed}", seed, expected)
            if found:
                broken[seed] = found
                print(f"seed {seed}: {'; '.join(found)}", flush=True)
            if not (found and options.keep):
                shutil.rmtree(root / f"run-{seed}")
        print(json.dumps({"runs": options.runs, "first_seed": options.seed, "broken": broken}))
    finally:
        stop.set()
        server.join(10)
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
