"""Where the runs of a grid are carried out: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from sqdr_qiskit.errors import ArgumentError, BackendError
from sqdr_qiskit.parallel import deaf_to_interrupts, n_threads

__all__ = ["RunOutcome", "WorkItem", "on_dask", "on_processes"]

WorkItem = tuple[int, tuple[Any, ...]]
"""Number of a run, and the arguments that carry it out."""

_CONNECT_S = 10.0  # that a Dask scheduler has to answer


@dataclass(frozen=True)
class RunOutcome:
    """How a run of a grid ended.

    Attributes:
        error: Why it failed; None if it did not.
        elsewhere: Whether it was left alone because another process is at work on it.
        attempts: How often it was tried here.
    """

    error: str | None = None
    elsewhere: bool = False
    attempts: int = 1


Work = Callable[..., RunOutcome]
Started = Callable[[int], None]
Ended = Callable[[int, RunOutcome], None]


class _Worker:
    """A process that carries out one run after the other."""

    def __init__(self, work: Work, threads: int) -> None:
        # Threads and compiled kernels do not survive a fork. On Linux a server is forked that has loaded the
        # libraries and done nothing with them: they are loaded, and held in memory, once for all. Elsewhere
        # libraries of the system may not be forked at all.
        forks = sys.platform == "linux"
        context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            context.set_forkserver_preload([work.__module__])
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        with deaf_to_interrupts():
            self.process.start()
        theirs.close()
        self.task: WorkItem | None = None

    def give(self, task: WorkItem) -> None:
        self.task = task
        self.connection.send(task)

    def end(self, *, at_once: bool = False) -> None:
        if at_once:
            self.process.terminate()
        else:
            self.connection.close()  # it sees the end of the line, and ends
        self.process.join(2.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(connection: Connection, work: Work, threads: int) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's; it ends its workers
    os.environ["SQDR_THREADS"] = str(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            number, arguments = connection.recv()
        except (EOFError, OSError):
            return
        outcome = work(*arguments)
        try:
            connection.send((number, outcome))
        except OSError:  # nobody waits for it; what the run wrote stands
            return


def _end_with_parent() -> None:
    """Leave no run going on, and its folder locked, when the runner was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def on_processes(
    n_workers: int,
    work: Work,
    tasks: Sequence[WorkItem],
    *,
    started: Started,
    ended: Ended,
    attempts: int = 2,
) -> None:
    """Carry out tasks on processes of this machine, each with its share of the threads.

    A process that dies under a run is replaced, and the run given to another once more. (Pools of the
    standard library give up all their processes when one dies.)

    Args:
        n_workers: Processes.
        work: Carries out one task; a function of a module.
        tasks: The tasks.
        started: Called with a task's number when it is given to a process.
        ended: Called with a task's number and its outcome.
        attempts: How often a task is given away at most.
    """
    left = list(reversed(tasks))  # taken from the end, where one that must be repeated is put
    tried: dict[int, int] = {}
    threads = max(1, n_threads() // n_workers)
    workers: list[_Worker] = []

    def supply(worker: _Worker) -> None:
        worker.task = None
        if left:
            task = left.pop()
            tried[task[0]] = tried.get(task[0], 0) + 1
            started(task[0])
            worker.give(task)

    try:
        for _ in range(min(n_workers, len(tasks))):
            workers.append(_Worker(work, threads))
            supply(workers[-1])
        while busy := [worker for worker in workers if worker.task is not None]:
            ready = wait([*(w.connection for w in busy), *(w.process.sentinel for w in busy)])
            for worker in busy:
                assert worker.task is not None
                if worker.connection in ready:  # first: one that answered and then died is ready both ways
                    try:
                        number, outcome = worker.connection.recv()
                    except (EOFError, OSError):  # it died
                        pass
                    else:
                        ended(number, outcome)
                        supply(worker)
                        continue
                elif worker.process.sentinel not in ready:
                    continue
                task = worker.task
                worker.process.join()
                code = worker.process.exitcode
                if tried[task[0]] < attempts:
                    left.append(task)
                else:
                    ended(task[0], RunOutcome(error=f"its process ended with code {code}", attempts=attempts))
                place = workers.index(worker)
                workers[place] = _Worker(work, threads)
                supply(workers[place])
    except BaseException:
        for worker in workers:  # all before any is waited for
            worker.process.terminate()
        for worker in workers:
            worker.end(at_once=True)
        raise
    for worker in workers:
        worker.end()


def on_dask(address: str, work: Work, tasks: Sequence[WorkItem], *, started: Started, ended: Ended) -> None:
    """Carry out tasks on a Dask cluster, one future for each; only outcomes come back.

    A worker that is lost gives its run to another, which goes on where it was.

    Args:
        address: The scheduler's, such as `tcp://10.0.0.1:8786`.
        work: Carries out one task; a function of a module that the workers have too.
        tasks: The tasks.
        started: Called with a task's number when it is submitted.
        ended: Called with a task's number and its outcome.

    Raises:
        ArgumentError: Dask is not installed.
        BackendError: The scheduler cannot be reached.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ArgumentError(
            "Argument `dask` must be left out where Dask is not installed: pip install 'sqdr-qiskit[grid]'."
        ) from error
    try:
        client = Client(address, timeout=_CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise BackendError(
            f"The Dask scheduler at {address!r} cannot be reached: {str(error) or 'no answer'}."
        ) from error
    with client:
        futures = {}
        for number, arguments in tasks:
            futures[
                client.submit(work, *arguments, pure=False, key=f"run-{number}-{os.urandom(4).hex()}")
            ] = number
            started(number)
        for future in as_completed(futures):
            try:
                outcome = future.result()
            except Exception as error:  # whatever a worker or the cluster died of
                outcome = RunOutcome(error=f"{type(error).__name__}: {error}")
            ended(futures[future], outcome)
