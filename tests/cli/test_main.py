"""The command as a whole: help, errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import typer

from sqdr_qiskit import __version__, cli
from sqdr_qiskit.cli import COMMANDS, main
from sqdr_qiskit.errors import DataError, StorageError

_HEAVY = (
    "numpy",
    "torch",
    "qiskit",
    "qiskit_aer",
    "qiskit_machine_learning",
    "snntorch",
    "torchvision",
    "numba",
    "sklearn",
)


def _command(error: BaseException) -> typer.Typer:
    def fail(as_json: cli.console.JsonOption = False) -> None:
        """Fail."""
        raise error

    app = typer.Typer(callback=lambda: None)
    app.command("fail")(fail)
    return app


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from sqdr_qiskit.cli import main; "
        f"assert main({words!r}) == 0; print([name for name in {_HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    usage = next(line for line in done.stdout.splitlines() if line.startswith(" Usage: sqdr-qiskit"))
    assert not any(odd in usage for odd in ("{", "}", "[[")), usage  # JOB, [RUN]...


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_function(name: str) -> None:
    module, _, attribute = COMMANDS[name].partition(":")
    assert callable(getattr(import_module(module), attribute))


def test_no_words_mean_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: sqdr-qiskit" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sqdr-qiskit {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["catalo"], "error: No such command 'catalo'. Did you mean 'catalog'? See `sqdr-qiskit --help`.\n"),
        (["catalog", "show"], "error: Missing argument 'name'. See `sqdr-qiskit catalog show --help`.\n"),
        (["catalog", "show", "2b-9q", "--classes", "x"], None),
        (["--colour"], None),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: list[str], message: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message is None or captured.err == message


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("No image\nhere."), 2, "No image here."),
        (StorageError("Disk full."), 1, "Disk full."),
        (KeyboardInterrupt(), 130, "interrupted."),
        (typer.Exit(3), 3, ""),
    ],
    ids=["input", "run", "ctrl-c", "exit"],
)
def test_errors_are_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "build_app", lambda: _command(error))
    assert main(["fail"]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {line}\n" if line else "")
    assert main(["fail", "--json"]) == code
    assert capsys.readouterr().out == (f'{{\n  "error": "{line}"\n}}\n' if line else "")


def test_a_fault_of_ours_keeps_its_traceback_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "a-token-4f1d2c")
    monkeypatch.setattr(cli, "build_app", lambda: _command(ZeroDivisionError("ours a-token-4f1d2c \x1b[2J")))
    assert main(["fail"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.rstrip().endswith("error: ZeroDivisionError: ours …")
    assert "a-token" not in said
    assert "\x1b" not in said


def test_the_installed_command_and_the_module_answer() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sqdr_qiskit", "catalog", "show", "1b-2q", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"n_qubits": 2' in done.stdout
