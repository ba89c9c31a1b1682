"""Bring the files of a torchvision data set into its folder, each whole or not at all.

torchvision knows the addresses, the checksums and the layout; we carry the bytes ourselves, because its own
download prints, never times out, and leaves half a file behind when it is interrupted.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from typing import TYPE_CHECKING
from urllib.error import URLError

from sqdr_qiskit.errors import DataError, StorageError

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

__all__ = ["Progress", "default_data_dir", "unpacked_root"]

Progress = Callable[[str, int, "int | None"], None]
"""Called as `progress(file_name, bytes_done, bytes_total_or_None)` while a file is downloaded."""

TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 17
NETWORK_ERRORS = (URLError, TimeoutError, ConnectionError, SSLError, HTTPException, EOFError)


def default_data_dir() -> Path:
    """The folder for downloaded data: `SQDR_DATA_DIR`, else `sqdr-qiskit/data` in the user's cache folder."""
    named = os.environ.get("SQDR_DATA_DIR")
    if named:
        return Path(named).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return cache / "sqdr-qiskit" / "data"


@contextmanager
def unpacked_root(dataset: type[MNIST], root: Path, progress: Progress | None) -> Iterator[Path]:
    """A root folder in which torchvision finds `dataset` unpacked, for as long as the context lasts.

    Files already unpacked are used as they are, .gz files with the right checksum are unpacked, the rest is
    downloaded. That folder is `root` itself, or a temporary copy where `root` is complete but cannot be
    written to.

    Args:
        dataset: `torchvision.datasets.MNIST` or one of its kin, for `mirrors`, `resources` and the folder's
            name.
        root: The data folder; files lie in `<root>/<dataset>/raw/`. Made if missing.
        progress: Told of each download; None for none.

    Raises:
        DataError: If a file is missing and cannot be downloaded.
        StorageError: If a file is needed and the folder cannot be written to, or the disk is full.
    """
    raw = root / dataset.__name__ / "raw"
    wanted = [(name, md5) for name, md5 in dataset.resources if not (raw / name).with_suffix("").is_file()]
    if not wanted:
        yield root
        return
    if _writable(raw):
        try:
            raw.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=raw) as staging:
                for name, md5 in wanted:
                    _unpack(
                        _verified_gz(dataset, name, md5, raw, Path(staging), progress), Path(staging), raw
                    )
        except OSError as error:
            raise StorageError(
                f"Cannot write the {dataset.__name__} files to {raw}: {error.strerror or error}."
            ) from error
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="sqdr-qiskit-") as copy:
        copied = Path(copy) / dataset.__name__ / "raw"
        copied.mkdir(parents=True)
        try:
            for name, md5 in dataset.resources:
                plain = (raw / name).with_suffix("")
                if plain.is_file():
                    shutil.copyfile(plain, copied / plain.name)
                elif _intact(raw / name, md5):
                    _unpack(raw / name, copied, copied)
                else:
                    raise StorageError(
                        f"Data folder {raw} has no usable {name} and cannot be written to: make it writable, "
                        f"put that file there, or name another folder (--data-dir, SQDR_DATA_DIR)."
                    )
        except OSError as error:
            raise StorageError(f"Cannot unpack {raw} into {copied}: {error.strerror or error}.") from error
        yield Path(copy)


def _writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, or in the nearest folder above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _intact(path: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return bool(check_integrity(path, md5))


def _verified_gz(
    dataset: type[MNIST], name: str, md5: str, raw: Path, staging: Path, progress: Progress | None
) -> Path:
    """The path of .gz file `name` in `raw`, its checksum verified, downloading it first where needed."""
    final = raw / name
    if _intact(final, md5):
        return final
    part = staging / name
    reasons = []
    for mirror in dataset.mirrors:
        try:
            _download(mirror + name, part, progress)
        except NETWORK_ERRORS as error:
            reasons.append(str(getattr(error, "reason", None) or error))
            continue
        if _intact(part, md5):
            part.replace(final)
            return final
        reasons.append("wrong checksum")
    files = " ".join(file for file, _ in dataset.resources)
    state = "damaged" if final.exists() else "missing"
    raise DataError(
        f"Data set {dataset.__name__}: {name} is {state} and cannot be downloaded "
        f"({'; '.join(dict.fromkeys(reasons))}): go online, or put {files} into {raw}."
    )


def _download(url: str, path: Path, progress: Progress | None) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "sqdr-qiskit"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response, path.open("wb") as file:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        done = 0
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(path.name, done, total)
    if total is not None and done < total:
        raise EOFError(f"connection lost after {done} of {total} bytes")


def _unpack(gz: Path, staging: Path, target: Path) -> None:
    """Unpack `gz` into `target` so that the unpacked file appears there whole or not at all."""
    from torchvision.datasets.utils import extract_archive

    scratch = staging / "unpacked"
    scratch.mkdir(exist_ok=True)
    extract_archive(os.fspath(gz), os.fspath(scratch))
    (scratch / gz.stem).replace(target / gz.stem)
