"""The machine: one thread pool for the compiled kernels, a place for them, and how much memory is left.

Kernels release the GIL and work on chunks of a batch. A kernel that sums over samples is given chunks that do
not depend on the number of threads, so results are the same to the bit on one core and on many.
"""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from multiprocessing import resource_tracker
from pathlib import Path

__all__ = [
    "deaf_to_interrupts",
    "free_memory",
    "kernels_are_kept",
    "n_threads",
    "readable",
    "run_chunks",
    "use_writable_cache",
    "writable",
]

_CACHE, _FIGURES = "NUMBA_CACHE_DIR", "MPLCONFIGDIR"
_LAST_COMPILED = ("spiking_layer", "back_through_layer")  # of the encoder's, in a training


def use_writable_cache(package: Path | None = None, home: Path | None = None) -> None:
    """Give numba and Matplotlib a place for what they keep, where neither package nor home can be written.

    numba fails there, and Matplotlib complains each time. Called before they are imported; then a folder of
    this user's own among the temporary files is taken.

    Args:
        package: The package's folder, by default this one's.
        home: The user's home, by default as the environment says.
    """
    package = package or Path(__file__).resolve().parent
    cache, config = (
        home / name if home else Path(os.environ.get(variable) or Path("~", name).expanduser())
        for variable, name in (("XDG_CACHE_HOME", ".cache"), ("XDG_CONFIG_HOME", ".config"))
    )
    with suppress(OSError):  # no place at all: whoever needs one says so
        if not (os.environ.get(_CACHE) or writable(package / "__pycache__") or writable(cache / "numba")):
            os.environ[_CACHE] = os.fspath(_own_temporary() / "kernels")
        if not (os.environ.get(_FIGURES) or writable(config / "matplotlib")):
            os.environ[_FIGURES] = os.fspath(_own_temporary() / "matplotlib")


def _own_temporary() -> Path:
    """A folder that only this user can write: compiled kernels are read from it and run."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()) / f"sqdr-qiskit-{user}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022 or found.st_uid != user:
        return Path(tempfile.mkdtemp(prefix="sqdr-qiskit-"))  # someone else's: kept for this process only
    return path


def kernels_are_kept() -> bool:
    """Whether the kernels of a training were compiled before, from the code as it is."""
    package = Path(__file__).resolve().parent
    named = os.environ.get(_CACHE)
    homes = [Path(named)] if named else [package / "encoder"]
    if not named and not writable(package / "__pycache__"):
        homes.append(Path("~/.cache/numba").expanduser())
    module, kernel = _LAST_COMPILED
    since = (package / "encoder" / f"{module}.py").stat().st_mtime
    return any(
        index.stat().st_mtime > since for home in homes for index in home.glob(f"**/{module}.{kernel}-*.nbi")
    )


def writable(folder: Path) -> bool:
    """Whether a file can be made in a folder, or in the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@lru_cache(maxsize=1)
def n_threads() -> int:
    """Number of threads for compiled kernels: `SQDR_THREADS`, else the cores this process may use."""
    wanted = os.environ.get("SQDR_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=n_threads(), thread_name_prefix="sqdr-kernel")


def run_chunks(kernel: Callable[[int, int], None], n_items: int, *, chunk: int) -> None:
    """Call `kernel(start, stop)` for every chunk of `n_items`, on all threads.

    Args:
        kernel: Writes its part of a result for items `start` to `stop` (exclusive); called from several
            threads.
        n_items: Number of items.
        chunk: Items per call; the last call may have fewer. Part of the result's definition where a kernel
            sums.

    Raises:
        Exception: The first exception a kernel raised.
    """
    bounds = [(start, min(start + chunk, n_items)) for start in range(0, n_items, chunk)]
    left = iter(bounds)  # shared: each thread takes the next chunk, so a thread that wakes late costs little

    def work() -> None:
        for start, stop in left:
            kernel(start, stop)

    helpers = [_pool().submit(work) for _ in range(min(n_threads(), len(bounds)) - 1)]
    try:
        work()
    finally:
        errors = [helper.exception() for helper in helpers]  # waits: nothing runs on behind the caller's back
    for error in errors:
        if error is not None:
            raise error


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes started within never see Ctrl-C, from their first instruction on; this one does, afterwards.

    A terminal sends Ctrl-C to all processes of a command. One that still imports its modules would answer
    with a traceback, before its own code could say that the parent ends it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # here: starting it later would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what is started inherits it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def free_memory() -> int:
    """Bytes of memory that can still be had, as the operating system says."""
    import psutil  # not for who only wants the threads

    return int(psutil.virtual_memory().available)


def readable(n_bytes: int) -> str:
    """A number of bytes for people, `17.2 GB`."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"


use_writable_cache()  # whoever imports a room with kernels imports this module first
