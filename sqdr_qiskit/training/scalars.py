"""Every number of a training as it goes: a CSV file, and events for TensorBoard (extra `tensorboard`)."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from sqdr_qiskit.errors import ArgumentError, StorageError
from sqdr_qiskit.records import write_bytes, write_text

__all__ = ["EVENTS", "SCALARS", "EventLog", "Scalar", "require_tensorboard", "scalars_of", "write_scalars"]

SCALARS, EVENTS = "scalars.csv", "events.out.tfevents.sqdr"


class Scalar(NamedTuple):
    """A number of a step or of an epoch, counted from 1; None for what it is not of."""

    step: int | None
    epoch: int | None
    name: str
    value: float


def scalars_of(history: Sequence[Mapping[str, Any]]) -> Iterator[Scalar]:
    """All numbers of epochs' rows, those inside tables under `table/name`, those of steps as `step/name`."""
    for row in history:
        for step in row.get("steps", ()):
            for name, value in step.items():
                if name != "step":
                    yield Scalar(int(step["step"]), None, f"step/{name}", float(value))
        for name, value in _flat({key: value for key, value in row.items() if key not in ("epoch", "steps")}):
            yield Scalar(None, int(row["epoch"]), name, value)


def write_scalars(folder: Path, history: Sequence[Mapping[str, Any]]) -> Path:
    """Write `scalars.csv`, whole or not at all: step, epoch, scalar, value, one row for each number."""
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(("step", "epoch", "scalar", "value"))
    for step, epoch, name, value in scalars_of(history):
        writer.writerow(("" if step is None else step, "" if epoch is None else epoch, name, repr(value)))
    return write_text(folder / SCALARS, page.getvalue())


def require_tensorboard() -> None:
    """Raise ArgumentError unless the extra `tensorboard` is installed."""
    if find_spec("tensorboard") is None:
        raise ArgumentError(
            "Argument `tensorboard` must be left out: TensorBoard is not installed; "
            "pip install 'sqdr-qiskit[tensorboard]' brings it."
        )


class EventLog:
    """An event file that TensorBoard follows while it grows.

    It is appended to, not replaced: TensorBoard keeps it open. Each event has a checksum, so that a last one
    that a kill cut short does no harm; taken up again, the file is written anew from what is known.

    Args:
        folder: The run's folder.
        history: Rows of epochs that are done.

    Raises:
        StorageError: The file cannot be written.
    """

    def __init__(self, folder: Path, history: Sequence[Mapping[str, Any]] = ()) -> None:
        self._path = folder / EVENTS
        write_bytes(self._path, _framed([{"file_version": "brain.Event:2"}, *_events(history)]))

    def add(self, row: Mapping[str, Any]) -> None:
        """Append an epoch's row."""
        try:
            with self._path.open("ab") as file:
                file.write(_framed(_events([row])))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"Cannot write {EVENTS!r} in {self._path.parent}: {error.strerror or error}."
            ) from error


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}/")
        elif isinstance(value, int | float):
            yield f"{above}{name}", float(value)


def _events(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "step": epoch if step is None else step,
            "summary": {"value": [{"tag": name, "simple_value": value}]},
        }
        for step, epoch, name, value in scalars_of(history)
    ]


def _framed(events: Sequence[Mapping[str, Any]]) -> bytes:
    """Events as TensorBoard's records: length, checksum, message, checksum."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    page = io.BytesIO()
    writer = RecordWriter(page)
    for event in events:
        fields = {**event}
        if "summary" in fields:
            fields["summary"] = Summary(value=[Summary.Value(**one) for one in event["summary"]["value"]])
        writer.write(Event(wall_time=time.time(), **fields).SerializeToString())
    return page.getvalue()
