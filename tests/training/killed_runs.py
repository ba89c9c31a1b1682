"""Trains in children that kill themselves with SIGKILL at many moments; resumes each; prints what differs.

Run by test_loop.py in a process of its own, which must not have started any thread before it forks.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.data import DataSplits, ImageSet
from sqdr_qiskit.model.network import ModelSettings, build_model
from sqdr_qiskit.records import BEST, LAST, METRICS
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.training.loop import train
from sqdr_qiskit.training.recipes import find_recipe

FSYNC, REPLACE = os.fsync, Path.replace


def splits() -> DataSplits:
    rng = np.random.default_rng(3)

    def images(n: int) -> ImageSet:
        return ImageSet(rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8), np.arange(n, dtype=np.int64) % 3)

    return DataSplits("noise", "drawn", ("a", "b", "c"), images(40), images(12), images(6))


class Moments:
    """Counts the moments of a run (before and after every write, rename and step) and dies at one of them."""

    def __init__(self, last: int | None) -> None:
        self.count = 0
        self.last = last

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self()
            result = function(*args, **kwargs)
            self()
            return result

        return watched


def run(folder: Path, moment: int | None) -> int:
    moments = Moments(moment)
    os.fsync = moments.around(FSYNC)
    Path.replace = moments.around(REPLACE)  # type: ignore[method-assign]
    settings = ModelSettings(circuit=circuit_spec("2b-3q"), n_classes=3)
    recipe = find_recipe("ours").changed(epochs=2, batch_size=16, averaging=0.9, angle_scale=1.0, flip=True)
    model = build_model(settings, make_backend("exact"))
    train(
        model, settings, splits(), recipe, folder=folder, resume=True, checkpoint_every_s=0.0,
        progress=lambda _: moments(),
    )  # fmt: skip
    return moments.count


def in_child(folder: Path, moment: int | None) -> int:
    """Exit status of a child that trains; negative if a signal ended it."""
    child = os.fork()
    if child == 0:
        try:
            count = run(folder, moment)
            (folder / "moments").write_text(str(count))
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(root: Path) -> None:
    torch.set_num_threads(1)
    run(root / "warm", None)  # compile and load here, once, and not in every child
    whole = root / "whole"
    status = in_child(whole, None)
    n_moments = int((whole / "moments").read_text())
    # All around the files of an epoch's end, then here and there.
    chosen = [1, *range(14, 34, 2), *range(34, n_moments, 11)]
    found = []
    for moment in chosen:
        folder = root / f"killed-{moment}"
        killed = in_child(folder, moment)
        resumed = in_child(folder, None)
        differ = [
            name
            for name in (BEST, LAST, METRICS)
            if (folder / name).read_bytes() != (whole / name).read_bytes()
        ]
        found.append({"moment": moment, "killed": killed, "resumed": resumed, "differ": differ})
    print(json.dumps({"whole": status, "n_moments": n_moments, "runs": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
