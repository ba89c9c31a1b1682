"""Which checkpoint an argument means, and which one is taken where none is named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.jobs.folders import newest_finished_run
from sqdr_qiskit.model.checkpoint import Checkpoint, read_checkpoint
from sqdr_qiskit.training.outcome import BEST

__all__ = ["Chosen", "choose_checkpoint", "pretrained_folder", "pretrained_names"]

DEFAULT = "digits-2b-9q"
_DEFAULT_CIRCUIT = "2b-9q"


@dataclass(frozen=True)
class Chosen:
    """A checkpoint and how it came to be chosen.

    Attributes:
        path: Its file.
        why: In words, for the user: `named`, `newest finished run in runs/`, `pretrained`.
        checkpoint: What is in it.
    """

    path: Path
    why: str
    checkpoint: Checkpoint

    @property
    def title(self) -> str:
        """One line that says which checkpoint it is."""
        name = self.path.stem if self.why == "pretrained" else os.fspath(self.path)
        settings, trained = self.checkpoint.settings, self.checkpoint.dataset.get("name", "unknown data")
        return f"checkpoint {name} ({self.why}): {settings.circuit.name}, trained on {trained}"


def pretrained_folder() -> Path:
    """Folder of the checkpoints that the package ships."""
    return Path(__file__).resolve().parent.parent / "pretrained"


def pretrained_names() -> tuple[str, ...]:
    """Names of the shipped checkpoints, `<data set>-<circuit>`."""
    return tuple(sorted(path.stem for path in pretrained_folder().glob("*.safetensors")))


def choose_checkpoint(named: str | None, *, dataset: str | None = None, root: Path | None = None) -> Chosen:
    """The checkpoint that an argument means.

    Args:
        named: A checkpoint file, a run's folder (its best checkpoint), or the name of a shipped one; None
            takes the newest finished run, or else a shipped one.
        dataset: Without `named`: the data set the checkpoint must have been trained on; None takes any.
        root: Folder of all runs.

    Raises:
        CheckpointError: If there is none, or it is damaged.
    """
    if named is not None:
        path = Path(named)
        if path.is_dir():
            path = path / BEST
        elif not path.is_file() and named in pretrained_names():
            return _read(pretrained_folder() / f"{named}.safetensors", "pretrained")
        elif not path.is_file():
            known = ", ".join(pretrained_names()) or "none"
            raise CheckpointError(
                f"There is no checkpoint {named!r}; give a file, a run's folder, or a pretrained one: "
                f"{known}."
            )
        return _read(path, "named")
    newest = newest_finished_run(root, holding=BEST, dataset=dataset)
    if newest is not None:
        return _read(newest / BEST, "newest finished run in runs/")
    name = DEFAULT if dataset is None else f"{dataset}-{_DEFAULT_CIRCUIT}"
    if name not in pretrained_names():
        trained = f" trained on {dataset}" if dataset else ""
        raise CheckpointError(
            f"There is no finished run{trained} in runs/ and no pretrained checkpoint {name!r}; name one, "
            f"or train first."
        )
    return _read(pretrained_folder() / f"{name}.safetensors", "pretrained")


def _read(path: Path, why: str) -> Chosen:
    return Chosen(path, why, read_checkpoint(path))
