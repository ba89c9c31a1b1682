"""Sends two requests in children that kill themselves at a chosen moment, resumes each, prints what came out.

Run by test_kill.py in a process of its own, which must not have started any thread before it forks. The stub
service runs elsewhere; the environment says where.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qiskit_ibm_runtime.executor_estimator  # noqa: F401 (before forking)
import requests

from sqdr_qiskit.devices.estimator import Request
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.estimators import RuntimeSettings
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.runtime.sender import RuntimeSender
from tests.runtime.native import native_pub

DEVICE = "ibm_kingston"
PRECISION = 0.2  # 25 shots

# Where a child can die: what it is about to do or has just done, and which time.
MOMENTS = [
    f"{when} {what} {time}"
    for time, whats in (
        (1, ("plan", "usage", "POST", "sent", "state", "results", "metrics", "done")),
        (2, ("POST", "sent", "done")),
    )
    for what in whats
    for when in ("before", "after")
]


class Moments:
    def __init__(self, last: str | None) -> None:
        self.met: Counter[str] = Counter()
        self.last = last

    def __call__(self, name: str) -> None:
        self.met[name] += 1
        if f"{name} {self.met[name]}" == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: Callable[..., str | None], function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            what = name(*args, **kwargs)
            if what is None:
                return function(*args, **kwargs)
            self(f"before {what}")
            result = function(*args, **kwargs)
            self(f"after {what}")
            return result

        return watched


def request_name(session: Any, request: requests.PreparedRequest, **kwargs: Any) -> str | None:
    path = str(request.path_url).split("?")[0]
    if path.endswith("/jobs"):
        return "POST" if request.method == "POST" else "tag"
    for ending in ("/results", "/metrics", "/usage"):
        if path.endswith(ending):
            return ending[1:]
    return "state" if "/jobs/" in path else None


def run(folder: Path, moment: str | None) -> list[Any]:
    moments = Moments(moment)
    requests.Session.send = moments.around(request_name, requests.Session.send)  # type: ignore[method-assign]
    for name in ("plan", "sent", "done"):
        setattr(Ledger, name, moments.around(lambda *_, _name=name, **__: _name, getattr(Ledger, name)))
    with Ledger(folder) as book:
        sender = RuntimeSender(Connection(DEVICE), book, RuntimeSettings(resilience=0))
        pubs = [native_pub(seed=1), native_pub(seed=2)]
        sender.announce([Request([pub], PRECISION, 100) for pub in pubs])
        handles = [
            sender.send([pub], precision=PRECISION, label=f"part {n}/2") for n, pub in enumerate(pubs, 1)
        ]
        return [np.asarray(sender.collect(handle)[0].data.evs).tolist() for handle in handles]


def forked(work: Callable[[], object]) -> int:
    """Exit status of a child that does some work; negative if a signal ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(folder: Path, moment: str | None) -> int:
    """Exit status of a child that runs."""
    folder.mkdir(exist_ok=True)
    return forked(lambda: (folder / "values.json").write_text(json.dumps(run(folder, moment))))


def n_jobs() -> int:
    """Jobs that the stub has seen."""
    with urllib.request.urlopen(os.environ["IAM_URL"] + "/stub") as answer:
        return int(json.load(answer)["jobs"])


def main(root: Path) -> None:
    status = in_child(root / "whole", None)
    whole = json.loads((root / "whole" / "values.json").read_text())
    found = []
    for number, moment in enumerate(MOMENTS):
        folder = root / f"run-{number}"
        before = n_jobs()
        killed = in_child(folder, moment)
        resumed = in_child(folder, None)
        values = json.loads((folder / "values.json").read_text()) if resumed == 0 else None
        found.append(
            {
                "moment": moment,
                "killed": killed,
                "resumed": resumed,
                "jobs": n_jobs() - before,
                "same": values == whole,
            }
        )
    print(json.dumps({"whole": status, "runs": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
