"""A trained network under noise of growing strength, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.checkpoints import Chosen
from sqdr_qiskit.jobs.use import fitting_data
from sqdr_qiskit.model.checkpoint import restore
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.noise import single_channel_noise
from sqdr_qiskit.training.metrics import evaluate

__all__ = ["NOISY_BACKENDS", "NoiseSweep", "SweepPoint", "parse_sweep", "sweep_noise"]

NOISY_BACKENDS = ("exact_noisy", "aer_noisy")
_MOST_POINTS = 1000


@dataclass(frozen=True)
class SweepPoint:
    """Accuracy and loss on the test images with `channel` of `strength` after every gate."""

    channel: str
    strength: float
    accuracy: float
    loss: float


@dataclass(frozen=True)
class NoiseSweep:
    """The points, and what they were measured on."""

    points: tuple[SweepPoint, ...]
    noiseless: float
    dataset: str
    n_images: int
    n_classes: int


def parse_sweep(text: str) -> tuple[float, ...]:
    """Strengths from `first:last:number`, evenly spaced, both ends included.

    Raises:
        ArgumentError: If the text does not say that, or a strength lies outside [0, 1].
    """
    try:
        first, last, number = text.split(":")
        ends, count = (float(first), float(last)), int(number)
    except ValueError:
        ends, count = (0.0, 0.0), 0
    if not 1 <= count <= _MOST_POINTS or not all(0.0 <= end <= 1.0 for end in ends):
        raise ArgumentError(
            f"Argument `noise-sweep` must be first:last:number with strengths in [0, 1], such as 0:0.1:11, "
            f"but is {text!r}."
        )
    step = (ends[1] - ends[0]) / max(count - 1, 1)
    return tuple(round(ends[0] + step * place, 12) for place in range(count))


def sweep_noise(
    chosen: Chosen,
    job: JobSpec,
    strengths: Sequence[float],
    channels: Sequence[str],
    *,
    progress: Callable[[int], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> NoiseSweep:
    """Evaluate a checkpoint under each channel at each strength, after every gate.

    Args:
        chosen: The checkpoint.
        job: Its data set, `limit`, `seed`, `device`, `shots` and `backend`, one of `NOISY_BACKENDS`.
        strengths: Probabilities, in [0, 1].
        channels: Names, of `specs.channels.SWEEPABLE`.
        progress: Called with the number of points done.
        download_progress: Called while data are downloaded.

    Raises:
        ArgumentError: If the backend has no noise models, or a channel or strength is none.
        InputError: If something else in the job cannot be.
    """
    if job.backend not in NOISY_BACKENDS:
        raise ArgumentError(
            f"Argument `backend` must be one of {', '.join(NOISY_BACKENDS)} in a noise sweep, but is "
            f"{job.backend!r}."
        )
    noises = [(channel, p, single_channel_noise(channel, p)) for channel in channels for p in strengths]
    data = fitting_data(chosen, job, download_progress)

    def measured(backend_name: str, **options: object) -> tuple[float, float]:
        backend = make_backend(backend_name, **options)  # type: ignore[arg-type]
        model = restore(chosen.checkpoint, backend, where=chosen.path.name).to(job.device)
        found = evaluate(model, data.test.images, data.test.labels, device=job.device)
        return found.accuracy, found.loss

    noiseless, loss = measured("exact")
    points = []
    for done, (channel, strength, noise) in enumerate(noises):
        # noise of strength 0 is refused as no noise at all, and is the noiseless network
        accuracy, loss_here = (
            measured(job.backend, noise=noise, shots=job.shots, seed=job.seed)
            if strength
            else (noiseless, loss)
        )
        points.append(SweepPoint(channel, strength, accuracy, loss_here))
        if progress is not None:
            progress(done + 1)
    return NoiseSweep(tuple(points), noiseless, data.name, len(data.test), len(data.class_names))
