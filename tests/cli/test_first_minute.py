"""What a newcomer meets: a line at once, no silence, no flood, and a way to go on after Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sqdr_qiskit import parallel
from sqdr_qiskit.cli import console, main, options
from sqdr_qiskit.cli.console import going_on, training_progress
from sqdr_qiskit.errors import Interrupted
from sqdr_qiskit.training.state import TrainingProgress


def _step(step: int, *, epoch: int) -> TrainingProgress:
    return TrainingProgress(
        epoch=epoch,
        n_epochs=50,
        step=step,
        n_steps=100,
        loss=1.0,
        accuracy=0.5,
        validation=0.4,
        samples_per_s=100.0,
        seconds_left=1.0,
    )


def test_short_epochs_do_not_flood_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "kernels_are_kept", lambda: True)
    with training_progress() as show:
        for step in range(1, 101):
            show(_step(step, epoch=(step + 1) // 2))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "epoch 50/50: 100/100 steps, loss 1, accuracy 0.5, samples/s 100, validation accuracy 0.4000"
    ]


def test_compiling_is_announced_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "kernels_are_kept", lambda: False)
    with training_progress() as show:
        assert capsys.readouterr().err == "compiling kernels (once, about 15 s)\n"
        show(_step(1, epoch=1))
    monkeypatch.setattr(console, "kernels_are_kept", lambda: True)
    with console.compiling():
        assert "compiling" not in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="asks who owns a folder")
def test_kernels_are_kept_where_a_file_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")  # so that what is set below is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    parallel.use_writable_cache(package=tmp_path / "p", home=tmp_path / "h")
    nowhere = Path("/proc/nowhere")  # not even root makes files there
    parallel.use_writable_cache(package=nowhere, home=tmp_path)
    assert not {"NUMBA_CACHE_DIR", "MPLCONFIGDIR"} & set(os.environ)
    parallel.use_writable_cache(package=nowhere, home=nowhere)
    own = tmp_path / f"sqdr-qiskit-{os.getuid()}"
    assert os.environ["NUMBA_CACHE_DIR"] == str(own / "kernels")
    assert os.environ["MPLCONFIGDIR"] == str(own / "matplotlib")
    assert own.stat().st_mode & 0o077 == 0
    assert not parallel.kernels_are_kept()
    own.chmod(0o777)  # others can put kernels there: not taken
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    parallel.use_writable_cache(package=nowhere, home=nowhere)
    elsewhere = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert elsewhere != own
    assert elsewhere.stat().st_mode & 0o077 == 0
    kept = tmp_path / "cache" / "x"
    kept.mkdir(parents=True)
    index = kept / "spiking_layer.back_through_layer-1.nbi"
    index.touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert parallel.kernels_are_kept()
    os.utime(index, (0, 0))  # of code as it was
    assert not parallel.kernels_are_kept()


def test_ctrl_c_says_how_to_go_on() -> None:
    words = "sqdr-qiskit train --resume x"
    with pytest.raises(Interrupted, match=f"go on with: {words}") as caught, going_on(lambda: words):
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    with pytest.raises(Interrupted, match="nothing was kept"), going_on(lambda: None):
        raise KeyboardInterrupt


@pytest.mark.parametrize("json_wanted", [False, True])
def test_ctrl_c_is_one_line_while_the_command_is_imported(json_wanted: bool) -> None:
    code = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'sqdr_qiskit.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from sqdr_qiskit.__main__ import entry\n"
        "entry()\n"
    )
    words = ["runs", "--json"] if json_wanted else ["runs"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    said = ('{"error": "interrupted."}\n', "") if json_wanted else ("", "error: interrupted.\n")
    assert (done.stdout, done.stderr) == said


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_process_that_starts_says_nothing_of_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(
        "import multiprocessing, os, signal, sys\n"
        "from sqdr_qiskit.parallel import deaf_to_interrupts\n"
        "if __name__ == '__main__':\n"
        "    child = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    with deaf_to_interrupts():\n"
        "        child.start()\n"
        "    signal.signal(signal.SIGINT, lambda *_: None)\n"
        "    os.killpg(0, signal.SIGINT)\n"
        "    child.join()\n"
        "    sys.exit(child.exitcode)\n"
    )
    command = [sys.executable, str(tmp_path / "parent.py")]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(KeyboardInterrupt), parallel.deaf_to_interrupts():  # the parent hears it afterwards
        os.kill(os.getpid(), signal.SIGINT)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("words", [["train"], ["run", "grid.toml", "--workers", "2"]], ids=["train", "run"])
def test_an_interrupted_run_goes_on_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    head = 'schema = 1\nkind = "job"\ntitle = "A grid"\nsource = "made up"\n[job]\ntask = "train"\n'
    (tmp_path / "grid.toml").write_text(
        head + 'circuit = "2b-3q"\nlimit = 100\nepochs = 120\n[grid]\nseed = [1, 2, 3, 4]\n'
    )
    small = ["--circuit", "2b-3q", "--limit", "100", "--epochs", "40"] if words == ["train"] else []
    command = [sys.executable, "-m", "sqdr_qiskit", *words, *small]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 120
    state = "*/state.pt" if words == ["train"] else "*/*/state.pt"
    while not list((tmp_path / "runs").glob(state)):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    until = time.monotonic() + 60
    while _group_lives(process.pid):  # its workers
        assert time.monotonic() < until
        time.sleep(0.05)
    found = re.search(r"error: interrupted; go on with: sqdr-qiskit (.*)\n$", said)
    assert found is not None, said
    assert found[1].startswith(f"{' '.join(words[:2])} --resume runs/")
    if words == ["train"]:
        monkeypatch.chdir(tmp_path)
        assert main(found[1].split()) == 0


def _python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_first_line_comes_before_anything_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from sqdr_qiskit.cli import console, train; from sqdr_qiskit.specs.job import JobSpec\n"
        "def note(text):\n    print(text, [n for n in ('torch', 'qiskit') if n in sys.modules])\n"
        "    raise SystemExit\n"
        "train.print_note = note\n"
        "train.perform_training(JobSpec(), folder=None, resume=False, as_json=False)\n"
    )
    done = _python(code, tmp_path)
    assert done.stdout == "loading PyTorch and Qiskit []\n", done.stderr
    assert options.typed_command()[0] == "sqdr-qiskit"


def test_a_training_keeps_its_kernels_and_loads_neither_aer_nor_what_talks_to_a_service(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from sqdr_qiskit.cli import main; from sqdr_qiskit.parallel import kernels_are_kept\n"
        "code = main(['train', '--circuit', '2b-3q', '--limit', '40', '--epochs', '1'])\n"
        "ours = ('sqdr_qiskit.devices.chip',)\n"
        "heavy = (*ours, 'qiskit_aer', 'qiskit_ibm_runtime', 'requests', 'torch._dynamo')\n"
        "loaded = [n for n in heavy if n in sys.modules]\n"
        "print(code, kernels_are_kept(), loaded)\n"
    )
    done = _python(code, tmp_path)
    assert done.stdout.splitlines()[-1] == "0 True []", done.stderr
