"""Everything that can go wrong by a user's hand or a machine's, as one tree.

    SqdrError                 exit code 1
    ├── InputError            exit code 2: something was asked for that cannot be
    │   ├── ArgumentError     an argument or option has a wrong value
    │   ├── SpecError         a TOML file says something that cannot be
    │   ├── CatalogError      no circuit, noise model or job of that name
    │   ├── DataError         a data set or an image is missing, unreadable or does not fit
    │   ├── CheckpointError   a checkpoint is missing, damaged or does not fit
    │   │   └── BusyError     another process is at work in a run's folder
    │   └── UnsupportedError  a circuit, gate or option that a part cannot take, by name
    ├── Interrupted           exit code 130: the user left; the message says how to go on
    └── RunError              exit code 1: the question was good, carrying it out failed
        ├── TrainingError     training went wrong (not-a-number in loss or weights)
        ├── StorageError      a file could not be written
        └── BackendError      a simulator or a quantum computer refused or failed

Every message is one line: what, where, what would be right. The command line prints it and exits with
`exit_code`.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "SqdrError",
    "InputError",
    "ArgumentError",
    "SpecError",
    "CatalogError",
    "DataError",
    "CheckpointError",
    "BusyError",
    "UnsupportedError",
    "Interrupted",
    "RunError",
    "TrainingError",
    "StorageError",
    "BackendError",
    "in_one_line",
]


class SqdrError(Exception):
    """Root of the tree; catching it catches every error that this package means to raise."""

    exit_code: ClassVar[int] = 1


class InputError(SqdrError):
    """Something was asked for that cannot be; nothing was started."""

    exit_code: ClassVar[int] = 2


class ArgumentError(InputError, ValueError):
    """An argument or a command-line option has a wrong value."""


class SpecError(InputError):
    """A TOML file says something that cannot be; the message names file, table and key."""


class CatalogError(InputError):
    """There is no circuit, noise model or job of that name."""


class DataError(InputError):
    """A data set or an image is missing, unreadable or does not fit."""


class CheckpointError(InputError):
    """A checkpoint is missing, damaged or does not fit; the message names the field."""


class BusyError(CheckpointError):
    """Another process is at work in the folder of a run or a grid."""


class UnsupportedError(InputError):
    """A circuit, gate or option that a part cannot take; the message names it."""


class Interrupted(SqdrError):  # noqa: N818 (nothing went wrong)
    """The user left in the middle; the message says how to go on."""

    exit_code: ClassVar[int] = 130  # what a shell reports for a process ended by Ctrl-C


class RunError(SqdrError):
    """The question was good, carrying it out failed."""


class TrainingError(RunError):
    """Training went wrong, for example not-a-number in the loss or the weights."""


class StorageError(RunError):
    """A file could not be written; nothing half-written stays behind."""


class BackendError(RunError):
    """A simulator or a quantum computer refused a job or failed."""


def in_one_line(error: BaseException | str) -> str:
    """What another library's error says, on one line without its full stop; its type if it says nothing."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
