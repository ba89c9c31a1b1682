"""What a training run refuses: inputs that do not go together, and numbers that are none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from sqdr_qiskit.data import DataSplits
from sqdr_qiskit.errors import ArgumentError, TrainingError
from sqdr_qiskit.model.network import ModelSettings
from sqdr_qiskit.training.recipes import Recipe

__all__ = ["check_device", "check_run", "deterministic", "not_finite", "require_finite"]


def check_run(settings: ModelSettings, data: DataSplits, recipe: Recipe, *, device: str = "cpu") -> None:
    """Refuse what `train` cannot train, before anything is made.

    Raises:
        ArgumentError: If network, data, recipe and device do not go together.
    """
    if data.n_channels != settings.in_channels:
        raise ArgumentError(
            f"Argument `data` must have {settings.in_channels} channels, but {data.name} has "
            f"{data.n_channels}."
        )
    if len(data.class_names) != settings.n_classes:
        raise ArgumentError(
            f"Argument `data` must have {settings.n_classes} classes, but {data.name} has "
            f"{len(data.class_names)}."
        )
    if recipe.angle_scale != settings.angle_scale:
        raise ArgumentError(
            f"Argument `settings` must have the recipe's angle scale {recipe.angle_scale}, "
            f"but has {settings.angle_scale}."
        )
    if recipe.patience is not None and data.validation is None:
        raise ArgumentError(
            "Argument `patience` must be None without validation images, by which it would judge."
        )
    check_device(device)


def check_device(device: str) -> None:
    """Refuse a device that torch does not have here.

    Raises:
        ArgumentError: It is neither cpu nor cuda, or there is no such cuda.
    """
    name, _, number = device.partition(":")
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = name == "cuda" and (number or "0").isdecimal() and int(number or 0) < n_cuda
    if device != "cpu" and not there:
        raise ArgumentError(f"Argument `device` must be cpu, or cuda where there is one, but is {device!r}.")


@contextmanager
def deterministic(device: str) -> Iterator[None]:
    """Let torch refuse nondeterministic operations for a while, and on a CPU compute with one thread.

    The compiled kernels of encoder and circuit have threads of their own; what is left to torch is so small
    that its threads only wait for each other (measured: 2 threads make a step ten times longer on 2 cores).
    """
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is repeatable only with it
    torch.use_deterministic_algorithms(True, warn_only=device != "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.set_num_threads(threads)


def require_finite(weights: Mapping[str, torch.Tensor], recipe: Recipe, *, epoch: int, step: int) -> None:
    """Refuse weights that are not all finite numbers.

    Raises:
        TrainingError: Names the first that is not.
    """
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise not_finite(f"weight `{name}`", recipe, epoch=epoch, step=step)


def not_finite(what: str, recipe: Recipe, *, epoch: int, step: int) -> TrainingError:
    """The error of a run whose numbers ran away."""
    return TrainingError(
        f"Training stopped in epoch {epoch + 1}, step {step}: {what} is no finite number any more; a smaller "
        f"learning rate than {recipe.learning_rate:g} may help (the run's files are as they were before)."
    )
