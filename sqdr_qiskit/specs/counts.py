"""How many parameters the whole model has, by formula: no network needs to be built to know.

With C channels, F features of the circuit, W weights of the circuit, n outputs and c classes:
convolutions 9 (C 2C + 2C 4C + 4C 8C), batch norms 2 (2C + 4C + 8C), linear layer (8C + 1) F, circuit W, head
(n + 1) c.
"""

from __future__ import annotations

from itertools import pairwise

from sqdr_qiskit.specs.reader import Table

__all__ = ["parameter_counts"]


def parameter_counts(
    *,
    n_features: int,
    n_weights: int,
    n_outputs: int,
    n_channels: int = 1,
    n_classes: int = 10,
    head: bool = True,
) -> dict[str, int]:
    """Trainable parameters of the network by part, and their sum under `total`.

    For one channel, ten classes and circuits 2b-9q, 4b-9q, 2b-18q, 4b-18q the totals are 803, 857, 1190 and
    1298 (table 3 of the paper).

    Args:
        n_features: Inputs of the circuit, F.
        n_weights: Weights of the circuit, W.
        n_outputs: Expectation values of the circuit, n.
        n_channels: Channels of an image, C.
        n_classes: Classes, c.
        head: Whether a linear layer follows the circuit.

    Raises:
        ArgumentError: A number is below 1 (below 0 for `n_weights`).
    """
    sizes = Table(
        {"n_features": n_features, "n_outputs": n_outputs, "n_channels": n_channels, "n_classes": n_classes}
    )
    for key in sizes.keys():  # noqa: SIM118 (a Table is not a mapping)
        sizes.integer(key, at_least=1)
    Table({"n_weights": n_weights}).integer("n_weights", at_least=0)
    widths = [n_channels * factor for factor in (1, 2, 4, 8)]
    counts = {
        "conv": sum(9 * width * next_width for width, next_width in pairwise(widths)),
        "batch_norm": sum(2 * width for width in widths[1:]),
        "linear": (widths[-1] + 1) * n_features,
        "circuit": n_weights,
        "head": (n_outputs + 1) * n_classes if head else 0,
    }
    return {**counts, "total": sum(counts.values())}
