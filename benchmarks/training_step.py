"""The whole training step: samples a second, where its time goes, and the memory it takes.

Run `python -m benchmarks.training_step`. It calls the training loop itself, one process a circuit, after a
short run that compiles what there is to compile. Peak memory is the whole process's, libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.task import VARIANTS

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    arguments = _arguments()
    if arguments.one is not None:
        print(json.dumps(_train(arguments.one, arguments)))
        return 0
    rows = []
    print(
        f"{'circuit':10}{'samples/s':>11}{'encoder':>9}{'circuit':>9}{'rest':>7}{'peak MB':>9}",
        file=sys.stderr,
    )
    for variant in arguments.variants:
        command = [sys.executable, "-m", "benchmarks.training_step", *sys.argv[1:], "--one", variant]
        environment = {**os.environ, "SQDR_THREADS": str(arguments.threads), "CUDA_VISIBLE_DEVICES": ""}
        environment["OMP_NUM_THREADS"] = str(arguments.threads)
        done = subprocess.run(
            command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            return done.returncode
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        shares = row["shares"]
        cells = (
            f"{shares['encoder']:>9.0%}{shares['circuit']:>9.0%}{shares['rest']:>7.0%}{row['peak_mb']:>9.0f}"
        )
        print(f"{variant:10}{row['samples_per_s']:>11,.0f}{cells}", file=sys.stderr, flush=True)
    print(json.dumps({"settings": {k: str(v) for k, v in vars(arguments).items()}, "rows": rows}, indent=1))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), help="such as 2b-9q")
    parser.add_argument("--backend", default="exact", help="such as fake_kingston, with its exact gradient")
    parser.add_argument("--dataset", default="mnist", help="its files must be there; digits always is")
    parser.add_argument("--limit", type=int, default=12_000, help="training images")
    parser.add_argument("--batch", type=int, default=None, help="the recipe's if not given")
    parser.add_argument("--recipe", default="ours")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def _train(variant: str, arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from sqdr_qiskit.backends import make_backend
    from sqdr_qiskit.data import DataSplits, load_dataset
    from sqdr_qiskit.model.network import ModelSettings, build_model
    from sqdr_qiskit.specs.circuit import circuit_spec
    from sqdr_qiskit.training.loop import train
    from sqdr_qiskit.training.recipes import find_recipe
    from sqdr_qiskit.training.state import Outcome

    torch.set_num_threads(arguments.threads)
    data = load_dataset(arguments.dataset, limit=arguments.limit)
    recipe = find_recipe(arguments.recipe).changed(epochs=1, batch_size=arguments.batch)
    settings = ModelSettings(
        circuit=circuit_spec(variant),
        in_channels=data.n_channels,
        n_classes=len(data.class_names),
        angle_scale=recipe.angle_scale,
    )
    backend = make_backend(arguments.backend)

    def run(n_images: int) -> Outcome:
        import numpy as np

        part = data.train.take(np.arange(min(n_images, len(data.train))))
        splits = DataSplits(data.name, data.source, data.class_names, part, None, data.test)
        with tempfile.TemporaryDirectory() as folder:
            return train(build_model(settings, backend), settings, splits, recipe, folder=folder)

    run(8 * recipe.batch_size)
    outcome = run(len(data.train))
    return {
        "circuit": variant,
        "backend": arguments.backend,
        "images": len(data.train),
        "batch": recipe.batch_size,
        "samples_per_s": outcome.samples_per_s,
        "shares": dict(outcome.shares),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    sys.exit(main())
