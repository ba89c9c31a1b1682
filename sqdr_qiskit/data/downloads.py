"""Bring the files of a torchvision data set into its folder, each whole or not at all.

torchvision knows the addresses, the checksums and the layout; we carry the bytes ourselves, because its own
download prints, never times out, and leaves half a file behind when it is interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import shutil
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from sqdr_qiskit.errors import DataError, StorageError, in_one_line
from sqdr_qiskit.parallel import writable

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

__all__ = ["Progress", "default_data_dir", "torchvision_set", "unpacked_root"]

Progress = Callable[[str, int, "int | None", str], None]
"""Called as `progress(what, done, total_or_None, unit)`: `("downloading a.gz", 5, 9, "bytes")` while a file
is downloaded, `("reading flowers", 5, 9, "images")` while pictures are read."""

# Offline, some machines answer at once, others let every address hang: all mirrors together get so long to
# send a first byte.
ANSWER_S = 12.0
STALL_S = 30.0  # between two pieces of a file
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
    if writable(raw):
        try:
            raw.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=raw) as staging:
                for name, md5 in wanted:
                    gz = _verified_gz(dataset, name, md5, raw, Path(staging), progress)
                    _unpack(gz, Path(staging), raw)
        except OSError as error:
            raise StorageError(
                f"Cannot write the {dataset.__name__} files to {raw}: {error.strerror or error}."
            ) from error
        finally:  # nothing came: leave no empty folders
            with contextlib.suppress(OSError):
                raw.rmdir()
                raw.parent.rmdir()
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
    deadline = monotonic() + ANSWER_S
    for mirror in dataset.mirrors:
        try:
            _download(mirror + name, part, progress, deadline)
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


def _download(url: str, path: Path, progress: Progress | None, deadline: float) -> None:
    with _answer(url, deadline) as response, path.open("wb") as file:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        done = 0
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(f"downloading {path.name}", done, total, "bytes")
    if total is not None and done < total:
        raise EOFError(f"connection lost after {done} of {total} bytes")


def _answer(url: str, deadline: float) -> Any:
    """The opened response of `url`.

    In a thread of its own, which is left behind at the deadline: looking a name up has no timeout, and each
    of a host's addresses would be given the whole of one.

    Raises:
        TimeoutError: There is none before `deadline` (`time.monotonic`).
    """
    came: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "sqdr-qiskit"})
            came.put(urllib.request.urlopen(request, timeout=STALL_S))
        except BaseException as error:
            came.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = came.get(timeout=max(deadline - monotonic(), 0.1))
    except queue.Empty:
        raise TimeoutError(f"no answer within {ANSWER_S:.0f} s") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def torchvision_set(make: Callable[..., Any], root: Path, progress: Progress | None) -> Any:
    """A torchvision data set from its files in `root`, downloading them first where they are missing.

    What is downloaded is unpacked in a folder of its own beside and moved into `root` when all of it is
    there. Archives that lie in `root` already are used.

    Args:
        make: Makes the data set, called with `root` and perhaps `download=True`.
        root: The data folder. Made if missing.
        progress: Told of each download; None for none.

    Raises:
        DataError: The files are missing or damaged and cannot be downloaded.
        StorageError: The folder cannot be written to, or the disk is full.
    """
    name = make.func.__name__ if isinstance(make, partial) else getattr(make, "__name__", "data set")
    with contextlib.suppress(Exception):  # missing or damaged: torchvision raises anything
        return make(root)
    if not writable(root):
        raise StorageError(
            f"Data folder {root} has no usable files of {name} and cannot be written to: make it writable, "
            f"or name another folder (--data-dir, SQDR_DATA_DIR)."
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".downloading-", dir=root) as place:
            staging = Path(place)
            for archive in _archives(root):
                link = staging / archive.relative_to(root)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(archive.resolve())
            # What torchvision prints is not for the user; what it raises is told below.
            with _own_transfer(progress), contextlib.redirect_stdout(io.StringIO()):
                make(staging, download=True)
            _move_into(staging, root)
        return make(root)
    except OSError as error:
        if isinstance(error, NETWORK_ERRORS):
            raise _cannot_be_had(name, root, error) from error
        raise StorageError(f"Cannot write the {name} files to {root}: {error.strerror or error}.") from error
    # torchvision raises anything from AssertionError to KeyError on a damaged file.
    except Exception as error:
        raise _cannot_be_had(name, root, error) from error


def _cannot_be_had(name: str, root: Path, error: Exception) -> DataError:
    reason = in_one_line(getattr(error, "reason", None) or error)
    if isinstance(error, TypeError):  # a set without an argument `download`
        reason = "torchvision does not download it"
    return DataError(
        f"Data set {name}: its files are missing or damaged and cannot be downloaded ({reason}): go online, "
        f"or put them into {root} as torchvision.datasets.{name} wants them."
    )


def _archives(root: Path) -> list[Path]:
    kinds = (".zip", ".gz", ".tgz", ".bz2", ".mat", ".data", ".tar")
    found = [path for depth in ("*", "*/*", "*/*/*") for path in root.glob(depth)]
    return [path for path in found if path.suffix in kinds and path.is_file()]


def _move_into(staging: Path, root: Path) -> None:
    """Move what was made in `staging` to its place in `root`; what stands there already gives way."""
    for path in sorted(staging.iterdir()):
        target = root / path.name
        if path.is_symlink():
            continue
        if path.is_dir() and target.is_dir():
            _move_into(path, target)
        else:
            path.replace(target)


@contextmanager
def _own_transfer(progress: Progress | None) -> Iterator[None]:
    """Let torchvision's downloads go through `_download`, for as long as the context lasts."""
    import torchvision.datasets.utils as utils

    def retrieve(url: str, filename: str | os.PathLike[str], *_: Any, **__: Any) -> None:
        path = Path(filename)
        part = path.with_name(f".{path.name}.part")
        if path.is_symlink():
            path.unlink()  # a damaged archive of the user's: leave it as it is
        try:
            _download(url, part, progress, monotonic() + ANSWER_S)
        except NETWORK_ERRORS as error:
            reason = getattr(error, "reason", None) or error
            # No OSError: torchvision would ask again without encryption.
            raise RuntimeError(f"{path.name}: {reason}") from error
        part.replace(path)

    before = {name: getattr(utils, name) for name in ("_urlretrieve", "_get_redirect_url")}
    utils._urlretrieve = retrieve
    utils._get_redirect_url = lambda url, max_hops=3: url  # urllib follows redirects itself
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(utils, name, function)


def _unpack(gz: Path, staging: Path, target: Path) -> None:
    """Unpack `gz` into `target` so that the unpacked file appears there whole or not at all."""
    from torchvision.datasets.utils import extract_archive

    scratch = staging / "unpacked"
    scratch.mkdir(exist_ok=True)
    extract_archive(os.fspath(gz), os.fspath(scratch))
    (scratch / gz.stem).replace(target / gz.stem)
