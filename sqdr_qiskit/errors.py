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

And what a message may hold of what others say. A service may echo the API token, name the account in a CRN,
or send control characters and HTML: in an error body, in a job's reason, in an identifier. `clean` takes them
out of what comes in; `printable` is the last guard of what goes out to a terminal or a traceback.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

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
    "clean",
    "printable",
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


_HIDDEN = "…"
_SHORTEST = 6  # a shorter "secret" would tear ordinary words apart
_WORD = r"[^\s'\"<>,;)}\\]+"  # no quotes, so that JSON stays JSON
_PATTERNS = (
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), _HIDDEN),  # web tokens
    (re.compile(r"crn:v1:" + _WORD), "crn:" + _HIDDEN),  # names the account and the instance
    (re.compile(r"(?i)\b(apikey|api_key|bearer)([=:]?\s+|[=:])" + _WORD), r"\1\2" + _HIDDEN),
    (re.compile(r"(?i)\b((?:access_|refresh_)?token|password)(\s*[=:]\s*)" + _WORD), r"\1\2" + _HIDDEN),
)
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?")
# C0 and C1 but for tab and newline; marks that turn or hide text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_TAGS = re.compile(r"<!--.*?-->|</?[A-Za-z!][^<>]{0,500}>", re.DOTALL)


def clean(text: str) -> str:
    """What a service said, without secrets, HTML tags and control characters; newlines and tabs stay."""
    return printable(_TAGS.sub(" ", printable(text)))


def printable(text: str) -> str:
    """A text that may be shown: without the account's secrets and without control characters."""
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    for secret in _secrets():
        text = text.replace(secret, _HIDDEN)
    for pattern, put in _PATTERNS:
        text = pattern.sub(put, text)
    return text


def _secrets() -> list[str]:
    """Tokens and instances of the environment and of the saved accounts, longest first.

    Whoever puts the token into QISKIT_IBM_INSTANCE by mistake must not find it in a message either, so an
    instance counts whatever it looks like.
    """
    found = {os.environ.get(name, "") for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE")}
    found |= _saved()
    kinds = {
        kind for secret in found if len(secret) >= _SHORTEST for kind in (secret, quote(secret, safe=""))
    }
    return sorted(kinds, key=len, reverse=True)


def _saved() -> set[str]:
    """Tokens and instances in the file where Qiskit keeps accounts."""
    global _cache
    path = Path.home() / ".qiskit" / "qiskit-ibm.json"
    try:
        key = (str(path), path.stat().st_mtime_ns)
        if _cache is None or _cache[0] != key:
            accounts = json.loads(path.read_text(encoding="utf-8")).values()
            texts = {str(account.get(name) or "") for account in accounts for name in ("token", "instance")}
            _cache = (key, texts)
    except (OSError, ValueError, AttributeError, RuntimeError):
        return set()
    return _cache[1]


_cache: tuple[tuple[str, int], set[str]] | None = None
