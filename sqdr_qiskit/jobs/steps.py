"""A training of so many steps and no more, for machines on which each step costs."""

from __future__ import annotations

from dataclasses import replace

from sqdr_qiskit.data import DataSplits
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.settings import limited

__all__ = ["fitted_to_steps"]


def fitted_to_steps(data: DataSplits, steps: int, *, batch_size: int, seed: int) -> tuple[DataSplits, int]:
    """Training images and epochs that make exactly `steps` full batches: as few epochs as the images allow.

    Args:
        data: The data; its training images are thinned out, class-balanced.
        steps: Number of steps.
        batch_size: Images a step.
        seed: Chooses the images.

    Returns:
        The data and the number of epochs.

    Raises:
        ArgumentError: There are fewer training images than a batch has.
    """
    n_images = len(data.train)
    if batch_size > n_images:
        raise ArgumentError(
            f"Argument `batch_size` must be at most the number of training images, {n_images}, but is "
            f"{batch_size}."
        )
    epochs = next(n for n in range(1, steps + 1) if steps % n == 0 and steps // n * batch_size <= n_images)
    return replace(data, train=limited(data.train, steps // epochs * batch_size, seed=seed)), epochs
