"""Hundreds of malformed inputs, from the table of options and by hand: one line each, nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqdr_qiskit.cli import main
from sqdr_qiskit.specs.job import JOB_OPTIONS, TASKS
from sqdr_qiskit.specs.reader import Option

HUGE = "9" * 30
HEAD = 'schema = 1\nkind = "{kind}"\ntitle = "T"\nsource = "S"\n'


def _bad_values(one: Option) -> list[str]:
    """Texts that an option cannot take."""
    if one.name in ("job_tags", "data_dir", "input", "checkpoint"):
        return []
    if one.kind is int:
        low = one.bounds.get("at_least", 0) or 0
        return ["x", "1.5", "nan", "", HUGE, str(int(low) - 1), f"-{HUGE}"]
    if one.kind is float:
        return ["x", "nan", "inf", "-1e999", "", "-1"]
    if one.kind is bool:
        return []
    return ["nothere", "no/such/file.toml", "", "9q", "\x00"]


def _of_options() -> Iterator[list[str]]:
    for task in TASKS:
        for one in JOB_OPTIONS.values():
            if task in one.tasks:
                extra = ["--backend", "exact_noisy"] if one.name == "noise" else []
                extra += ["--noise-sweep", "0:0.1:2"] if one.name == "channel" else []
                extra += ["--backend", "fake_manila"] if one.name == "layout" else []
                option = one.typed.split("/")[0]
                for value in _bad_values(one):
                    yield [task, option, value, *extra]
                yield [task, f"{option}x", "1"]
                if one.kind is not bool:
                    yield [task, option]


_FILES = {
    "empty.toml": "",
    "text.toml": "hello",
    "cut.toml": "[job",
    "bom.toml": "\ufeffschema = 1",
    "array.toml": "schema = [[[[1]]]]",
    "deep.toml": "x = " + "[" * 5000 + "]" * 5000,
    "digits.toml": "schema = " + "9" * 10_000,
    "kind.toml": HEAD.format(kind="nothing"),
    "job-empty.toml": HEAD.format(kind="job"),
    "job-list.toml": HEAD.format(kind="job") + "job = [1]\n",
    "job-task.toml": HEAD.format(kind="job") + '[job]\ntask = "fly"\n',
    "job-many.toml": HEAD.format(kind="job")
    + '[job]\ntask = "train"\n[grid]\nseed = ['
    + ", ".join(map(str, range(1000)))
    + "]\nepochs = ["
    + ", ".join(map(str, range(1, 1001)))
    + "]\n",
    "job-none.toml": HEAD.format(kind="job") + '[job]\ntask = "train"\n[grid]\nseed = []\n',
    "job-both.toml": HEAD.format(kind="job") + '[job]\ntask = "train"\nseed = 1\n[grid]\nseed = [1]\n',
    "job-axis.toml": HEAD.format(kind="job")
    + '[job]\ntask = "train"\n[grid]\ncircuit = ["2b-9q", "2b-9z"]\n',
    "job-noise.toml": HEAD.format(kind="job")
    + '[job]\ntask = "train"\n[grid]\nnoise = ["paper"]\nseed = [1, 2]\n',
    "job-twice.toml": HEAD.format(kind="job") + '[job]\ntask = "train"\n[grid]\nseed = [1, 1]\n',
    "job-hardware.toml": HEAD.format(kind="job")
    + '[job]\ntask = "train"\nbackend = "ibm_kingston"\n[grid]\nseed = [1, 2]\n',
    "job-infer.toml": HEAD.format(kind="job") + '[job]\ntask = "infer"\n[grid]\nseed = [1, 2]\n',
    "noise-empty.toml": HEAD.format(kind="noise"),
    "noise-nan.toml": HEAD.format(kind="noise")
    + '[[error]]\nchannel = "bit_flip"\nprobability = nan\nafter = ["rx"]\n',
    "noise-unknown.toml": HEAD.format(kind="noise") + '[[error]]\nchannel = "bit_flop"\n',
    "circuit-huge.toml": HEAD.format(kind="reupload") + "[circuit]\nn_qubits = 1000000000\nn_blocks = 2\n",
    "circuit-none.toml": HEAD.format(kind="reupload") + "[circuit]\nn_qubits = 0\nn_blocks = 2\n",
    "circuit-text.toml": HEAD.format(kind="reupload") + '[circuit]\nn_qubits = "nine"\nn_blocks = 2\n',
    "huge.qasm": 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[1000000000];\n',
    "cut.qasm": "OPENQASM 3.0;\nqubit[",
    "empty.qasm": "",
}


_READABLE = ("job-axis.toml", "job-noise.toml", "job-hardware.toml", "job-infer.toml")  # if not for `run`


def _of_files() -> Iterator[list[str]]:
    for name in _FILES:
        if name.endswith(".toml"):
            yield ["run", name]
            if name not in _READABLE:
                yield ["catalog", "show", name]
            if not name.startswith("noise"):
                yield ["noise", "show", name]
                yield ["train", "--backend", "exact_noisy", "--noise", name]
            if not name.startswith("circuit"):
                yield ["train", "--circuit", name]
                yield ["cost", "--circuit", name]
            yield ["evaluate", "--backend", "fake_manila", "--layout", name]
        else:
            yield ["transpile", "--qasm", name, "--backend", "fake_manila"]
    for command in ("train", "infer", "run"):
        where = ["digits"] if command == "run" else []
        for folder in ("nothere", "full", "empty.toml", "."):
            yield [command, *where, "--resume", folder]
    for command in ("evaluate", "infer"):
        for checkpoint in ("nothere", "full", "empty.toml", "text.png", "", "full/run.json"):
            yield [command, checkpoint]
    for picture in ("nothere.png", "text.png", "empty.png", "full", ""):
        yield ["infer", "--input", picture]


_BY_HAND = [
    ["nothing"],
    ["--nothing"],
    ["run"],
    ["run", "digits", "--workers", "0"],
    ["run", "digits", "--workers", "2"],
    ["run", "figure-5", "--workers", "x"],
    ["run", "figure-5", "--index", "0", "--out", "g"],
    ["run", "figure-5", "--index", "99999", "--out", "g"],
    ["run", "figure-5", "--index", "1"],
    ["run", "figure-5", "--collect"],
    ["run", "figure-5", "--collect", "--out", "nothere"],
    ["run", "figure-5", "--plan", "--collect"],
    ["run", "figure-5", "--resume", "nothere"],
    ["run", "figure-5", "--out", "full"],
    ["run", "figure-5", "--out", "full", "--resume", "full"],
    ["train", "--out", "full"],
    ["train", "--out", "empty.toml"],
    ["train", "--epochs", "2", "--steps", "2"],
    ["train", "--checkpoint", "digits-2b-9q", "--circuit", "2b-9q"],
    ["train", "--checkpoint", "digits-2b-9q", "--no-head"],
    ["train", "--no-head"],
    ["train", "--patience", "2", "--validation", "0"],
    ["train", "--resilience", "1"],
    ["train", "--averages", "3"],
    ["train", "--gradient", "gate-shift", "--backend", "exact_noisy"],
    ["train", "--circuit", f"2b-{HUGE}q"],
    ["train", "--circuit", "1000b-1000q"],
    ["train", "--circuit", "2b-200q", "--backend", "fake_manila"],
    ["train", "--circuit", f"{HUGE}b-9q"],
    ["train", "--backend", "aer", "--shots", HUGE],
    ["train", "--backend", "fake_nothing"],
    ["evaluate", "--channel", "bit_flip"],
    ["evaluate", "--noise-sweep", "0:2:3"],
    ["evaluate", "--noise-sweep", "0:1:2", "--channel", "nix"],
    ["evaluate", "--noise-sweep", "0:1:2", "--noise", "paper"],
    ["evaluate", "--noise-sweep", "0:1:2", "--backend", "exact"],
    ["evaluate", "--backend", "ibm_kingston"],
    ["evaluate", "--figure", "x.docx"],
    ["evaluate", "--out", "full"],
    ["infer", "a", "b"],
    ["infer", "--resume", "full"],
    ["report", "nothere"],
    ["report", "full"],
    ["report", "empty.toml"],
    ["noise", "show"],
    ["noise", "show", "nothing"],
    ["noise", "show", "paper", "--circuit", "nothing"],
    ["noise", "from-device", "fake_nothing"],
    ["noise", "from-device", "fake_manila", "--output", "x.txt"],
    ["noise", "from-device", "fake_manila", "--output", "empty.toml"],
    ["jobs", "list", "nothere"],
    ["jobs", "show", "nothing"],
    ["jobs", "collect", "nothere"],
    ["jobs", "cancel", "full"],
    ["cost", "--steps", "0"],
    ["cost", "--shots", "0"],
    ["cost", "--batch-size", "-1"],
    ["cost", "--task", "fly"],
    ["cost", "--gradient", "exact"],
    ["cost", "--device", "fake_nothing"],
    ["cost", "--freeze", "head"],
    ["cost", "--max-executions", "1"],
    ["cost", "--max-qpu-seconds", "0"],
    ["cost", "--circuit", "nothing"],
    ["gradient-check", "--averages", "0"],
    ["gradient-check", "--backend", "nothing"],
    ["gradient-check", "--circuit", "nothing"],
    ["gradient-check", "--rows", "-1"],
    ["gradient-check", "--noise", "paper"],
    ["gradient-variance", "--qubits", "two"],
    ["gradient-variance", "--qubits", "0"],
    ["gradient-variance", "--qubits", ""],
    ["gradient-variance", "--samples", "1"],
    ["gradient-variance", "--initialisation", "nix"],
    ["gradient-variance", "--observable", "nix"],
    ["gradient-variance", "--run", "nothere"],
    ["gradient-variance", "--run", "full", "--blocks", "2"],
    ["transpile", "--circuit", "nothing", "--backend", "fake_manila"],
    ["transpile", "--backend", "fake_nothing"],
    ["transpile", "--seeds", "0"],
    ["transpile", "--qasm", "nothere.qasm"],
    ["transpile", "--choose", "x.txt", "--backend", "fake_manila"],
    ["catalog", "show"],
    ["catalog", "show", "nothing"],
    ["catalog", "show", "2b-9q", "--classes", "0"],
    ["catalog", "show", "2b-9q", "--channels", "0"],
    ["catalog", "export", "2b-9q", "x.txt"],
    ["catalog", "export", "nothing", "x.qpy"],
    ["backends", "--nothing"],
    ["report", "full", "--out", "x.html"],
    ["report", "grid"],
    ["report", "loop"],
    ["report", "/dev/null"],
    ["report", "full", "--reference", "x"],
    ["compare"],
    ["compare", "grid"],
    ["compare", "loop"],
    ["compare", "full"],
    ["compare", "full", "--out", "x.html"],
    ["runs", "nothere"],
    ["runs", "loop"],
    ["runs", "empty.toml"],
    ["doctor", "--backend", "exact"],
    ["doctor", "--backend", "fake_manila"],
    ["doctor", "--backend", ""],
    ["doctor", "--out", "o"],
    ["doctor", "--resume", "nothere"],
    ["noise", "learn"],
    ["noise", "learn", "nothere"],
    ["noise", "learn", "full"],
    ["noise", "learn", "loop"],
    ["noise", "learn", "full", "--output", "x.txt"],
    ["noise", "learn", "full", "--output", "full"],
    ["noise", "learn", "full", "--probe-seconds", "1"],
    ["noise", "learn", "full", "--probe-seconds", "nan", "--out", "o"],
    ["noise", "learn", "full", "--out", "o"],
    ["noise", "learn", "full", "--out", "o.html"],
    ["noise", "learn", "--resume", "nothere"],
    ["cost", "--averages", "2"],
    ["cost", "--mitigation", "all"],
    ["cost", "--mitigation", "nix"],
    ["cost", "--mitigation", "pec", "--device", "ibm_nothing"],
    ["run", "open-plan", "--backend", "exact"],
    ["run", "open-plan", "--backend", "fake_nothing"],
    ["run", "open-plan", "--backend", ""],
    ["run", "open-plan", "--max-qpu-seconds", "nan"],
    ["run", "open-plan", "--workers", "2"],
    ["run", "open-plan", "--smoke"],
    ["run", "open-plan", "--resume", "nothere"],
    ["run", "open-plan", "--resume", "full"],
    ["run", "open-plan", "--out", "full"],
    ["run", "digits", "--max-qpu-seconds", "3"],
    ["run", "digits", "--backend", "exact"],
    ["run", "loop"],
    ["run", "/dev/null"],
    ["train", "--out", "x.html"],
    ["train", "--out", "loop"],
    ["train", "--out", "empty.toml/x"],
    ["train", "--resume", "loop"],
    ["transpile", "--out", "x.html", "--backend", "fake_manila"],
    ["gradient-variance", "--out", "x.png"],
    ["infer", "--input", "loop"],
    ["infer", "--input", "/dev/null"],
    ["infer", "/dev/stdin"],
    ["catalog", "export", "2b-9q", "empty.toml/x.qpy"],
    ["catalog", "export", "2b-9q", "full"],
    ["jobs", "list", "loop"],
    *(["train", "--dataset", name] for name in ("/dev/null", "/dev/stdin", "loop", "grid", "empty.toml")),
    *(
        ["train", "--dataset", f"{name}.npz"]
        for name in ("text", "keys", "short", "nan", "one", "negative", "thin")
    ),
]

_ARRAYS: dict[str, dict[str, Any]] = {
    "keys": {"a": np.zeros(3)},
    "short": {"x": np.zeros((4, 8, 8), np.uint8), "y": np.zeros(3, int)},
    "nan": {"x": np.full((4, 8, 8), np.nan), "y": np.array([0, 1, 0, 1])},
    "one": {"x": np.zeros((40, 8, 8), np.uint8), "y": np.zeros(40, int)},
    "negative": {"x": np.zeros((40, 8, 8), np.uint8), "y": np.arange(40) - 3},
    "thin": {"x": np.zeros((40, 0, 0), np.uint8), "y": np.arange(40) % 2},
}

_CASES = [*_of_options(), *_of_files(), *_BY_HAND]


def test_there_are_more_than_four_hundred() -> None:
    assert len({tuple(words) for words in _CASES}) > 800


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with files that are wrong, and a folder that is in use."""
    path = tmp_path_factory.mktemp("malformed")
    for name, text in _FILES.items():
        (path / name).write_text(text, encoding="utf-8")
    (path / "full").mkdir()
    (path / "full" / "mine.txt").write_text("mine")
    (path / "full" / "run.json").write_text('{"results": 3}')
    (path / "text.png").write_text("no picture")
    (path / "empty.png").touch()
    (path / "text.npz").write_text("no arrays")
    for name, arrays in _ARRAYS.items():
        np.savez(path / f"{name}.npz", **arrays)
    (path / "grid").mkdir()
    (path / "grid" / "grid.json").write_text("[]")
    (path / "loop").symlink_to("pool")
    (path / "pool").symlink_to("loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.delenv("QISKIT_IBM_TOKEN", raising=False)
        yield path


@pytest.mark.parametrize("batch", [_CASES[i::20] for i in range(20)], ids=lambda batch: f"{len(batch)} cases")
def test_each_is_one_line_and_leaves_nothing(
    batch: list[list[str]], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    wrong: list[object] = []
    for words in batch:
        code: object
        try:
            code = main(words)
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
        if code not in (1, 2) or len(lines) != 1 or said.err.splitlines()[-1:] != lines:
            wrong.append((words, code, said.err[-300:]))
        if sorted(here.rglob("*")) != before:
            wrong.append((words, "left behind", sorted(set(here.rglob("*")) - set(before))))
            before = sorted(here.rglob("*"))
    assert wrong == []
