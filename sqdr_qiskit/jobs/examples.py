"""A few images of a run with all that happens to them: spikes, firing rates, expectations, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from sqdr_qiskit.data import ImageSet
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import CheckpointError, DataError
from sqdr_qiskit.jobs.inference import read_pictures
from sqdr_qiskit.jobs.settings import Chosen, data_of, fitting_data
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.specs.job import JobSpec

__all__ = ["Samples", "choose", "examples", "samples_of_run"]

SHOWN = 6
_DOUBTFUL, _MISTAKES = 2, 2  # of these, where there are any
_LOOKED_AT = 400  # images to choose from


@dataclass(frozen=True, eq=False)
class Samples:
    """Images of a run.

    Attributes:
        images: uint8 array of shape (N, C, H, W).
        titles: What each is called.
        truths: Name of each one's class; None where it is not known.
        what: What they are, in words: `test images`.
    """

    images: NDArray[np.uint8]
    titles: tuple[str, ...]
    truths: tuple[str, ...] | None
    what: str


def samples_of_run(
    job: JobSpec,
    inputs: Mapping[str, Any],
    chosen: Chosen,
    *,
    finished: bool = True,
    progress: DownloadProgress | None = None,
) -> Samples:
    """The images that a run looked at: of a finished training its test images, before that others.

    Raises:
        DataError: The data cannot be had, or are not those of the run.
        CheckpointError: The checkpoint does not fit them.
    """
    if job.task == "train":
        data = data_of(job, progress=progress)
        parts = {"test": data.test, "validation": data.validation, "train": data.train}
        name = "test" if finished else "train" if data.validation is None else "validation"
        found = parts[name]
        assert found is not None
        known = inputs.get("data", {}).get(name, {}).get("sha256")
        if known is not None and known != found.digest and not (name == "train" and job.steps is not None):
            raise DataError(
                f"The {name} images of {data.name} must be those of the run, but have another SHA-256."
            )
        of = "training" if name == "train" else name
        return _labelled(found, data.class_names, f"{of} images")
    if inputs.get("files"):
        files = tuple(str(file) for file in inputs["files"])
        for file in files:
            if not Path(file).is_file():
                raise DataError(f"There is no picture {file!r} any more.")
        images, names, _ = read_pictures(chosen, files, skip_damaged=job.skip_damaged)
        return Samples(images, names, None, "pictures")
    data = fitting_data(chosen, job, progress)
    return _labelled(data.test, data.class_names, "test images")


def _labelled(images: ImageSet, names: Sequence[str], what: str) -> Samples:
    return Samples(images.images, tuple(images.names), tuple(names[label] for label in images.labels), what)


def examples(
    samples: Samples,
    model: SQDRCNN,
    class_names: Sequence[str],
    *,
    ran: Mapping[str, Any] | None = None,
    n_shown: int = SHOWN,
) -> list[dict[str, Any]]:
    """A few samples, some of them mistakes, with what happens to each on its way through the network.

    Args:
        samples: The images.
        model: The network, its circuit on backend exact.
        class_names: One per class.
        ran: What `agreement` gave, for what came from where the run ran.
        n_shown: How many at most.

    Returns:
        For each: `image`, `why` (see `choose`), `truth`, `pixels` (C, H, W); `layers`, for the phase code and
        each convolution the share of neurons that `fired` in a step and, for each neuron, a word in `words`
        (channel, row, column)
        whose bit t says whether it fired in step t; `features`, such words of the last layer; its `rates`;
        `exact` and, where known, `ran`: `expectations`, `label`, `probabilities`.

    Raises:
        CheckpointError: If the images do not fit the network, or it has no spikes or no circuit to show.
    """
    if not isinstance(model.encoder, SpikingEncoder) or not hasattr(model.quantum, "neural_network"):
        raise CheckpointError(
            "Examples are shown of a circuit behind a spiking encoder, but this is a control."
        )
    if samples.images.shape[1] != model.encoder.in_channels:
        raise CheckpointError(
            f"The network must take images of {samples.images.shape[1]} channels, but takes "
            f"{model.encoder.in_channels}."
        )
    place = {} if ran is None else {title: row for row, title in enumerate(ran["images"])}
    known = [i for i in range(len(samples.titles)) if samples.titles[i] in place]
    looked_at = (known or list(range(len(samples.titles))))[:_LOOKED_AT]
    pixels = torch.from_numpy(samples.images[looked_at])
    with torch.no_grad():
        expectations = model.expectations(model.encode(pixels)).float()
        chances = functional.softmax(model.read_out(expectations), dim=1)
    labels = [class_names[i] for i in chances.argmax(1)]
    truths = None if samples.truths is None else [samples.truths[i] for i in looked_at]
    elsewhere = None
    if ran is not None and known:
        elsewhere = [str(ran["labels"][place[samples.titles[i]]]) for i in looked_at]
    sure = chances.max(dim=1).values.tolist()
    picked = choose(elsewhere or labels, truths, sure, exact=labels, n_shown=n_shown)
    found = []
    for number, why in picked:
        title = samples.titles[looked_at[number]]
        row = place.get(title)
        found.append(
            {
                "image": title,
                "why": why,
                "truth": None if truths is None else truths[number],
                "pixels": samples.images[looked_at[number]].tolist(),
                **_spikes(model.encoder, pixels[number : number + 1]),
                "exact": _way(expectations[number].tolist(), chances[number].tolist(), class_names),
                "ran": None
                if ran is None or row is None
                else _way(ran["ran"][row], ran["probabilities"][row], class_names),
            }
        )
    return found


def choose(
    labels: Sequence[str],
    truths: Sequence[str] | None,
    sure: Sequence[float],
    *,
    exact: Sequence[str],
    n_shown: int = SHOWN,
) -> list[tuple[int, str]]:
    """Which samples to show: of as many classes as can be, then the two least sure, then two mistakes, first
    those the run made alone.

    Args:
        labels: What each was taken for.
        truths: What each is, if it is known.
        sure: Probability of the likeliest class; the surest mistakes come first.
        exact: What the exact engine takes each for.
        n_shown: How many at most.

    Returns:
        Their numbers, each with why it is shown: nothing, `doubtful` or `mistake`; in that order.
    """
    everything = range(len(labels))
    odd = sorted(
        (i for i in everything if labels[i] != exact[i] or (truths is not None and labels[i] != truths[i])),
        key=lambda i: (labels[i] == exact[i], -sure[i]),
    )
    right = [i for i in everything if i not in set(odd)]
    n_odd = min(len(odd), max(_MISTAKES, n_shown - len(right)), n_shown)
    n_doubtful = min(_DOUBTFUL, max(n_shown - n_odd, 0) // 2)
    doubtful = sorted(right, key=lambda i: sure[i])[:n_doubtful]
    plain = [i for i in right if i not in set(doubtful)]
    firsts: dict[str, int] = {}
    for i in plain:
        firsts.setdefault(labels[i] if truths is None else truths[i], i)
    ordered = [*firsts.values(), *(i for i in plain if i not in set(firsts.values()))]
    n_plain = max(n_shown - n_odd - len(doubtful), 0)
    return [
        *((i, "") for i in sorted(ordered[:n_plain])),
        *((i, "doubtful") for i in doubtful),
        *((i, "mistake") for i in odd[:n_odd]),
    ]


def _way(expectations: list[float], chances: list[float], class_names: Sequence[str]) -> dict[str, Any]:
    return {
        "expectations": expectations,
        "label": class_names[int(np.argmax(chances))],
        "probabilities": dict(zip(class_names, chances, strict=True)),
    }


def _spikes(encoder: SpikingEncoder, pixels: torch.Tensor) -> dict[str, Any]:
    """Spikes of one image of shape (1, C, H, W), packed into words."""
    with torch.no_grad():
        *maps, features = encoder.spikes(pixels)
    return {
        "n_steps": encoder.n_steps,
        "n_phases": encoder.n_phases,
        "layers": [
            {"words": _words(spikes[:, 0]), "fired": float((spikes > 0).double().mean())} for spikes in maps
        ],
        "features": _words(features[:, 0]),
        "rates": features[:, 0].mean(dim=0).tolist(),
    }


def _words(spikes: torch.Tensor) -> list[Any]:
    """Spikes of shape (T, ...) as words of shape (...): bit t for step t."""
    bits = (spikes > 0).to(torch.int64)
    steps = torch.arange(len(bits)).reshape(-1, *(1,) * (bits.ndim - 1))
    words: list[Any] = (bits << steps).sum(dim=0).tolist()
    return words
