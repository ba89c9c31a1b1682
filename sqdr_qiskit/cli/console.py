"""What commands print: results on stdout, progress, waiting and errors on stderr; secrets nowhere.

First lines and objects, then progress of any long work, of a training and of waiting for a device, last what
Ctrl-C does.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from sqdr_qiskit import records
from sqdr_qiskit.errors import Interrupted, printable
from sqdr_qiskit.parallel import kernels_are_kept

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.hardware import Hardware
    from sqdr_qiskit.runtime import Attention, Waiting
    from sqdr_qiskit.training.state import TrainingProgress

__all__ = [
    "JsonOption",
    "Progress",
    "compiling",
    "download_progress",
    "going_on",
    "leaving_allowed",
    "on_hardware",
    "prepare_streams",
    "print_error",
    "print_json",
    "print_note",
    "print_text",
    "show_waiting",
    "training_progress",
]

JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one machine-readable object and nothing else.")
]
"""Type of every command's `as_json` argument."""

_LINE_EVERY_S = 10.0  # where stderr is a file or a pipe
_RATE_AFTER_S = 0.5  # a rate from less is noise
_NOTE_EVERY_S = 5.0  # epochs above a bar
_SAME_LINE_EVERY_S = 30.0  # of a queue that does not move


# ---- lines and objects -------------------------------------------------------------------------------------


def prepare_streams() -> None:
    """Never fail on a character that the terminal cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_text(text: str) -> None:
    """A line or a page of results, on stdout."""
    typer.echo(printable(text))


def print_json(value: Any) -> None:
    """One JSON object, on stdout: all that a command with `--json` prints there."""
    typer.echo(printable(records.dump_json(value)), nl=False)


def print_note(text: str) -> None:
    """A line that is no result, on stderr."""
    typer.echo(printable(text), err=True)


def print_error(message: str, *, as_json: bool = False) -> None:
    """One line `error: ...` on stderr, or with `as_json` the object {"error": ...} on stdout."""
    line = " ".join(message.split())
    if as_json:
        print_json({"error": line})
    else:
        print_note(f"error: {line}")


# ---- progress ----------------------------------------------------------------------------------------------


class Progress:
    """Progress of one long piece of work on stderr: a bar on a terminal, else a line every ten seconds.

        with Progress("epoch 1/10", total=60_000, unit="images") as progress:
            progress.update(64, loss=2.1)

    Args:
        description: What is being done.
        total: Number of items; None if it is not known.
        unit: What the items are, for the rate.
    """

    def __init__(self, description: str, *, total: int | None = None, unit: str = "items") -> None:
        self._description = description
        self._total = total
        self._unit = unit
        self._facts: dict[str, float | str] = {}
        self._done = 0
        self._said: int | None = None  # the number of items in the last line of a pipe
        self._first_done = 0
        self._started = self._line_at = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as RichProgress
            from rich.table import Column

            console = Console(stderr=True)
            # What counts most stands first in the line, which is cut where the terminal is narrow.
            cut = Column(no_wrap=True, overflow="ellipsis", ratio=1)
            self._bar = RichProgress(
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                BarColumn(bar_width=min(24, max(6, console.width // 5))),
                TextColumn("{task.fields[line]}", table_column=cut),
                console=console,
                transient=False,
                expand=True,
            )
            self._task = self._bar.add_task(self._description, total=self._total, line="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, line=self._line())
            self._bar.stop()
        elif error is None and self._said != self._done:
            print_note(f"{self._description}: {self._line()}")

    def start_from(self, done: int) -> None:
        """Say that so many items were done before: they count towards the total, not towards the rate."""
        self._done = self._first_done = done
        self._started = time.monotonic()

    def update(
        self,
        done: int,
        *,
        total: int | None = None,
        description: str | None = None,
        **facts: float | str,
    ) -> None:
        """Say how many items are done, and whatever else is worth seeing.

        Args:
            done: Items done since the beginning.
            total: A new total.
            description: A new description.
            facts: Shown by name, numbers with four digits.
        """
        self._done = done
        self._total = self._total if total is None else total
        self._description = self._description if description is None else description
        self._facts.update(facts)
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=done,
                total=self._total,
                description=self._description,
                line=self._line(),
            )
        elif time.monotonic() - self._line_at >= _LINE_EVERY_S:
            self._line_at = time.monotonic()
            self._said = done
            print_note(f"{self._description}: {self._line()}")

    def note(self, text: str) -> None:
        """A line that stays: above the bar on a terminal; a file or a pipe has the bar's own lines."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)

    def _line(self) -> str:
        parts = [f"{self._done:,}" + (f"/{self._total:,}" if self._total else "") + f" {self._unit}"]
        elapsed = time.monotonic() - self._started
        fresh = self._done - self._first_done
        if fresh > 0 and elapsed >= _RATE_AFTER_S:
            rate = fresh / elapsed
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
            if self._total and self._done < self._total:
                parts.append(f"{_clock((self._total - self._done) / rate)} to go")
            else:
                parts.append(f"in {_clock(elapsed)}")
        parts += [
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self._facts.items()
        ]
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds, as a clock shows them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def download_progress() -> Callable[[str, int, int | None, str], None]:
    """Shows downloads, and the reading of many pictures, on stderr: a line or a bar for each."""
    shown: dict[str, Progress] = {}

    def show(what: str, done: int, total: int | None, unit: str) -> None:
        if what not in shown:
            shown[what] = Progress(what, total=total, unit=unit).__enter__()
        shown[what].update(done)
        if total is not None and done >= total:
            shown.pop(what).__exit__(None, None, None)

    return show


@contextmanager
def compiling() -> Iterator[Callable[[], None]]:
    """Show that kernels are being compiled, where they have to be; call what it gives when that is over."""
    if kernels_are_kept():
        yield lambda: None
        return
    words = "compiling kernels (once, about 15 s)"
    # A terminal without a cursor (TERM=dumb) would show the clock at its end, and a line for each stop.
    if not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        print_note(words)
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), TimeElapsedColumn()
    with RichProgress(*columns, console=Console(stderr=True)) as clock:
        clock.add_task(words, total=None)
        yield clock.stop


@contextmanager
def training_progress() -> Iterator[Callable[[TrainingProgress], None]]:
    """Shows a training run on stderr: epoch, loss, accuracy, samples per second, time to go.

    On a terminal an epoch's line stays above the bar, at most one every few seconds.
    """
    with compiling() as compiled, ExitStack() as stack:
        bar: Progress | None = None
        last: TrainingProgress | None = None
        noted = time.monotonic()

        def show(now: TrainingProgress) -> None:
            nonlocal bar, last, noted
            compiled()
            if bar is None:
                bar = stack.enter_context(Progress("training", unit="steps"))
                bar.start_from(now.step - 1)
            validation = {} if now.validation is None else {"validation accuracy": f"{now.validation:.4f}"}
            if last and last.epoch != now.epoch and time.monotonic() - noted >= _NOTE_EVERY_S:
                noted = time.monotonic()
                facts = {"loss": f"{last.loss:.4f}", "accuracy": f"{last.accuracy:.4f}", **validation}
                told = ", ".join(f"{name} {value}" for name, value in facts.items())
                bar.note(f"epoch {last.epoch}/{last.n_epochs}: {told}")
            last = now
            bar.update(
                now.step,
                total=now.n_steps,
                description=f"epoch {now.epoch}/{now.n_epochs}",
                loss=now.loss,
                accuracy=now.accuracy,
                **{"samples/s": f"{now.samples_per_s:,.0f}", **validation},
            )

        yield show


def show_waiting() -> Callable[[Waiting], None]:
    """A watcher that prints every change on stderr, and a queue that does not move twice a minute."""
    last: dict[str, Any] = {"text": "", "at": 0.0}

    def show(now: Waiting) -> None:
        moment = time.monotonic()
        if now.text == last["text"] and moment - last["at"] < _SAME_LINE_EVERY_S:
            return
        last.update(text=now.text, at=moment)
        count = f"[{now.done}/{now.total}] " if now.total > 1 and now.state not in ("cost", "outage") else ""
        waited = f", waited {now.waited_s:.0f} s" if now.waited_s >= 1 and now.state != "outage" else ""
        print_note(f"{count}{now.text}{waited}")

    return show


# ---- Ctrl-C ------------------------------------------------------------------------------------------------


@contextmanager
def going_on(command: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Turn Ctrl-C into one line that says how to go on.

    Args:
        command: Gives the words to type; None where nothing was kept.

    Raises:
        Interrupted: The user left.
    """
    try:
        yield
    except KeyboardInterrupt:
        words = command()
        raise Interrupted(
            "interrupted; nothing was kept." if words is None else f"interrupted; go on with: {words}"
        ) from None


@contextmanager
def on_hardware(backend: str) -> Iterator[Hardware]:
    """The hardware side of a run, watched on stderr, with Ctrl-C to leave; in a rehearsal nothing goes on
    elsewhere, and Ctrl-C ends it.
    """
    from sqdr_qiskit.devices.names import is_hardware
    from sqdr_qiskit.jobs.hardware import Hardware
    from sqdr_qiskit.runtime import Attention

    if not is_hardware(backend):
        with Hardware(show_waiting()) as hardware:
            yield hardware
        return
    attention = Attention()
    with leaving_allowed(attention), Hardware(show_waiting(), attention) as hardware:
        yield hardware


@contextmanager
def leaving_allowed(attention: Attention) -> Iterator[None]:
    """Let Ctrl-C end the program wherever it is, not the jobs: once detaches, twice cancels, then ends all.

    The run's folder is enough to go on from any point, so nothing has to be waited for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: Any) -> None:
        if attention.asked == 0:
            print_note(
                f"Leaving; the jobs go on. Ctrl-C again within {attention.grace_s:.0f} s cancels them."
            )
        elif attention.asked == 1:
            print_note("Cancelling the jobs that are under way.")
        attention.ask()

    before, mask = signal.signal(signal.SIGINT, leave), os.umask(0o077)  # its files are its owner's alone
    try:
        yield
    finally:
        os.umask(mask)
        signal.signal(signal.SIGINT, before)
