"""Samples per second of the spiking encoder, ours against plain torch: `python -m benchmarks.encoder`.

Medians over repeats; images are random with the share of ink that handwritten digits have.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from sqdr_qiskit import parallel
from sqdr_qiskit.encoder import SpikingEncoder

BATCHES = (64, 128, 256, 512)


def median_s(step: Callable[[], object], repeats: int) -> float:
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--features", type=int, default=27)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(parallel.n_threads())
    images = torch.randint(0, 256, (max(BATCHES), 1, 28, 28), dtype=torch.uint8)
    images[torch.rand(images.shape) < 0.8] = 0
    encoder = SpikingEncoder(n_features=options.features)
    print(f"{parallel.n_threads()} threads, 28 x 28, T = 10, {options.features} features; samples/s")
    print(f"{'path':<10} {'batch':>5} {'evaluate':>9} {'forward':>9} {'+ backward':>10}")
    for path in ("reference", "fused"):
        encoder.path = path
        repeats = options.repeats if path == "fused" else max(1, options.repeats // 5)
        for batch in BATCHES:
            part = images[:batch]

            def forward(part: torch.Tensor = part) -> torch.Tensor:
                rates: torch.Tensor = encoder(part)
                return rates

            def both() -> None:
                forward().sum().backward()

            encoder.eval()
            with torch.no_grad():
                evaluated = batch / median_s(forward, repeats)
            encoder.train()
            print(
                f"{path:<10} {batch:>5} {evaluated:>9,.0f} {batch / median_s(forward, repeats):>9,.0f} "
                f"{batch / median_s(both, repeats):>10,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
