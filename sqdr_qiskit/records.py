"""Files that appear whole or not at all, and the record of what made them.

A file is written under a temporary name in its own folder, flushed to the disk, and renamed: whoever looks
sees the old file or the new one. If the disk is full the temporary file goes and one `StorageError` says so.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sqdr_qiskit.errors import ArgumentError, CheckpointError, SqdrError, StorageError

__all__ = [
    "BEST",
    "EVALUATION",
    "EXPECTATIONS",
    "GRID",
    "LAST",
    "METRICS",
    "PARTS",
    "RECORD",
    "RESULTS",
    "STATE",
    "SWEEP",
    "RunRecord",
    "digest",
    "digest_file",
    "dump_json",
    "host_facts",
    "intact",
    "public_command",
    "read_json",
    "require_place",
    "versions",
    "write_bytes",
    "write_json",
    "write_text",
]

# The files of a run's folder, named down here so that whoever only looks at runs loads nothing heavy.
RECORD = "run.json"
BEST, LAST, METRICS, STATE = "best.safetensors", "last.safetensors", "metrics.json", "state.pt"
EVALUATION, EXPECTATIONS, SWEEP = "evaluation.json", "expectations.json", "noise-sweep.json"
GRID, RESULTS = "grid.json", "results.json"  # of a grid's folder, which holds those of its runs
PARTS = "parts.json"  # of the folder of a list of parts, which holds theirs

_PACKAGES = (
    "sqdr-qiskit",
    "numba",
    "numpy",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "qiskit-machine-learning",
    "safetensors",
    "scikit-learn",
    "snntorch",
    "torch",
    "torchvision",
)


def require_place(path: str | os.PathLike[str], *, folder: bool = False) -> Path:
    """Judge before long work whether its result can be written; makes nothing.

    Args:
        path: A file that is to be written, or a folder that is to hold files.
        folder: Whether it is a folder.

    Returns:
        The path.

    Raises:
        StorageError: It is the other kind, or the folder that it would stand in is none or cannot be written.
    """
    path = Path(path)
    try:
        if path.is_dir() and not folder:
            raise StorageError(f"Cannot write a file called {os.fspath(path)!r}: it is a folder.")
        home = path if folder else path.parent
        while not home.exists() and home != home.parent:
            home = home.parent
        if not home.is_dir():
            raise StorageError(f"Cannot write {os.fspath(path)!r}: {os.fspath(home)!r} is no folder.")
        if not os.access(home, os.W_OK | os.X_OK):
            raise StorageError(f"Cannot write {os.fspath(path)!r}: {os.fspath(home)!r} may not be written.")
    except OSError as error:
        raise StorageError(f"Cannot write {os.fspath(path)!r}: {error.strerror or error}.") from error
    return path


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file atomically; its folder is made if it is missing.

    Returns:
        The path.

    Raises:
        StorageError: The folder or the file cannot be written. Whatever stood at `path` before still stands.
    """
    path = Path(path)
    if not path.name:
        raise StorageError(f"Cannot write a file called {os.fspath(path)!r}: it is a folder.")
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"Cannot write {path.name!r} in {path.parent}: {error.strerror or error}."
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return path


def write_text(path: str | os.PathLike[str], content: str) -> Path:
    """Write a UTF-8 text file atomically; see `write_bytes`."""
    return write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write a JSON file atomically in the layout of `dump_json`."""
    return write_text(path, dump_json(value))


def read_json(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """The object that a JSON file of ours holds.

    Args:
        path: The file.
        what: What it must be, for the error: `run record`.

    Raises:
        CheckpointError: It cannot be read, or holds no JSON object of schema 1.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path.name}: cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:  # numbers of 10,000 digits and nested lists among them
        raise CheckpointError(f"{path.name}: is no intact {what}.") from error
    if not isinstance(values, dict) or values.get("schema", 1) != 1:
        raise CheckpointError(f"{path.name}: is no {what} that this version reads.")
    return values


@contextmanager
def intact(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """While what a file holds is taken apart: say that it is damaged where it is not as we write it.

    Raises:
        CheckpointError: A key is missing, or a value of a wrong type or size.
    """
    try:
        yield
    except SqdrError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"{Path(path).name}: is no intact {what}.") from error


def dump_json(value: Any) -> str:
    """JSON with sorted keys, two spaces, a final newline: the same value always gives the same text.

    Dataclasses, paths (their names only), tuples, sets and NumPy numbers and arrays are taken; an infinite
    number or a not-a-number becomes null, since JSON has none.
    """
    return json.dumps(_plain(value), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest(value: Any) -> str:
    """SHA-256 of bytes, of a text, or of any other value's canonical JSON, as 64 hexadecimal digits."""
    if isinstance(value, bytes | bytearray | memoryview):
        content = bytes(value)
    elif isinstance(value, str):
        content = value.encode("utf-8")
    else:
        plain = _plain(value)
        content = json.dumps(
            plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    return hashlib.sha256(content).hexdigest()


def digest_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Versions of Python and the installed packages, read without importing them; others are left out."""
    found = {"python": platform.python_version()}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    if "sqdr-qiskit" not in found:  # used from a checkout without being installed
        from sqdr_qiskit import __version__

        found["sqdr-qiskit"] = __version__
    return found


def host_facts() -> dict[str, str | int]:
    """What about the machine can change a result or a timing; no host name, user name or path."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": cores,
        "processor": _processor(),
    }


def public_command(arguments: Sequence[str]) -> tuple[str, ...]:
    """A command line fit for publication: an absolute path becomes its last part."""
    return tuple(_public(argument) for argument in arguments)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What made a result, enough to make it again.

    Attributes:
        command: The words typed, through `public_command`.
        inputs: The inputs as they were understood, defaults included (a spec's `to_dict()`).
        seeds: Every seed, by purpose.
        digests: SHA-256 of everything read and written, by name.
        results: The numbers that came out.
        timings_s: Seconds by stage.
        versions: Of Python and the packages.
        host: See `host_facts`.
        schema: Of this layout.
    """

    command: tuple[str, ...]
    inputs: Mapping[str, Any]
    seeds: Mapping[str, int] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)
    host: Mapping[str, str | int] = field(default_factory=host_facts)
    schema: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the record atomically as JSON."""
        return write_json(path, self.to_dict())


def _plain(value: Any) -> Any:
    """Plain JSON values, with sets and tuples as lists."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, and tensors, without importing either
        return _plain(value.tolist())
    raise ArgumentError(f"Argument `value` must be made of JSON values, but holds a {type(value).__name__}.")


def _public(argument: str) -> str:
    option, sign, value = argument.partition("=")
    if sign and option.startswith("-"):
        return f"{option}={_public(value)}"
    return Path(argument).name if Path(argument).is_absolute() or argument.startswith("~") else argument


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where folders can be flushed."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
