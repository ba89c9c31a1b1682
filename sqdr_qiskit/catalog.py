"""Find circuits, noise models and jobs by name.

A catalogue name (`2b-9q`, `paper`) is a TOML file of the package; anything with a path separator or the
ending `.toml` is a path. An installed wheel carries the files in `sqdr_qiskit/_catalog/`; a checkout has them
in the folders beside the package.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from sqdr_qiskit.errors import ArgumentError, CatalogError

__all__ = ["CatalogKind", "KINDS", "find", "folder", "is_path", "list_names"]

CatalogKind: TypeAlias = Literal["circuits", "noise_models", "jobs"]
KINDS: tuple[CatalogKind, ...] = get_args(CatalogKind)

_SINGULAR = {"circuits": "circuit", "noise_models": "noise model", "jobs": "job"}


def folder(kind: CatalogKind) -> Path:
    """Folder of one kind of catalogue files: the wheel's copy if there is one, else the checkout's."""
    if kind not in KINDS:
        raise ArgumentError(f"Argument `kind` must be one of {', '.join(KINDS)}, but is {kind!r}.")
    package = Path(__file__).resolve().parent
    packed = package / "_catalog"
    return (packed if packed.is_dir() else package.parent) / kind


def is_path(name_or_path: str) -> bool:
    """Whether a user's argument means a file rather than a catalogue name."""
    separators = {"/", os.sep, os.altsep} - {None}
    return name_or_path.endswith(".toml") or any(
        separator in name_or_path for separator in separators if separator
    )


def list_names(kind: CatalogKind) -> tuple[str, ...]:
    """Names of all catalogue files of one kind, in alphabetical order."""
    return tuple(sorted(path.stem for path in folder(kind).glob("*.toml")))


def find(kind: CatalogKind, name_or_path: str | os.PathLike[str]) -> Path:
    """Path of the file that a user's argument means.

    Args:
        kind: `circuits`, `noise_models` or `jobs`.
        name_or_path: A catalogue name; or a path, recognised by a path separator or the ending `.toml`.

    Raises:
        CatalogError: There is no such file; the message offers the likely spelling.
    """
    wanted = os.fspath(name_or_path)
    what = _SINGULAR.get(kind, kind)
    if is_path(wanted):
        path = Path(wanted)
        if not path.is_file():
            raise CatalogError(f"There is no {what} file {wanted!r}; see `sqdr-qiskit catalog` for names.")
        return path
    names = list_names(kind)
    if wanted in names:
        return folder(kind) / f"{wanted}.toml"
    close = difflib.get_close_matches(wanted, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names) or 'none at all'}."
    raise CatalogError(f"There is no {what} {wanted!r}; {hint}")
