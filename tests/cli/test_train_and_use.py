"""The installed command from training to use, each in a folder of its own."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sqdr_qiskit.cli import main

SMALL = ["--circuit", "2b-3q", "--limit", "100", "--epochs", "1", "--batch-size", "20"]
JOB = """
schema = 1
kind = "job"
title = "A small one"
source = "made up"

[job]
task = "train"
circuit = "2b-3q"
limit = 60
epochs = 1
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in whose runs/ a small network was trained."""
    root = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["train", *SMALL]) == 0
    return root


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, as the working directory; its one run's folder."""
    monkeypatch.chdir(trained)
    (run,) = (trained / "runs").iterdir()
    return run


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def test_a_training_leaves_everything_in_a_folder_of_its_own(here: Path) -> None:
    names = sorted(path.name for path in here.iterdir())
    drawn = ["confusion.png", "curves.png"]
    assert names == sorted(
        [
            "best.safetensors",
            "last.safetensors",
            "metrics.json",
            "run.json",
            "scalars.csv",
            "state.pt",
            *drawn,
        ]
    )
    assert here.name.endswith("-2b-3q-digits")
    for name in ("confusion.png", "curves.png"):
        with Image.open(here / name) as picture:
            assert picture.format == "PNG"


def test_a_training_says_what_it_does_and_what_came_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *SMALL, "--out", "mine", "--seed", "4", "--json"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert answer["folder"] == "mine"
    assert answer["record"]["seeds"] == {"run": 4}
    assert answer["metrics"]["test"]["n_images"] == 100
    assert "run mine: 2b-3q, " in printed.err
    assert "90 images of digits, 1 epochs of recipe ours*" in printed.err
    before = (tmp_path / "mine" / "best.safetensors").read_bytes()
    assert main(["train", "--resume", "mine"]) == 0
    assert "held-out images (best validation accuracy" in capsys.readouterr().out
    assert (tmp_path / "mine" / "best.safetensors").read_bytes() == before


def test_evaluate_takes_the_newest_run_and_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--limit", "50", "--figure", "confusion.png"]) == 0
    printed = capsys.readouterr()
    assert "newest finished run in runs/" in printed.err
    assert "confusion (rows: true class, columns: taken for)" in printed.out
    assert "on 50 images" in printed.out
    assert Path("confusion.png").is_file()
    Path("confusion.png").unlink()


def test_evaluate_gives_one_object(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(here), "--json"]) == 0
    answer = said(capsys)
    assert answer["n_images"] == 359
    assert answer["accuracy"] == pytest.approx(np.trace(answer["confusion"]) / 359)
    assert (answer["circuit"], answer["dataset"], answer["chosen"]) == ("2b-3q", "digits", "named")


def test_infer_shows_a_few_held_out_images(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["image", "class", "probability", "truth"]
    assert lines[-1].endswith("of 10 right")


def test_infer_takes_several_pictures_after_input(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    files = [str(tmp_path / f"{number}.png") for number in range(3)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(file)
    for words in (["--input", *files], [str(here), "--input", *files], ["--input", files[0], *files[1:]]):
        assert main(["infer", *words, "--json"]) == 0
        assert [answer["image"] for answer in said(capsys)["answers"]] == files
    assert main(["infer", "--csv", "--input", *files]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["image"] for row in rows] == files
    assert sum(float(rows[0][f"p({label})"]) for label in range(10)) == pytest.approx(1.0, abs=1e-4)


def test_run_carries_out_a_job_file_and_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(JOB)
    assert main(["run", "small.toml", "--out", "one", "--json"]) == 0
    first = said(capsys)
    assert main(["run", "small.toml", "--resume", "one", "--json"]) == 0
    assert said(capsys)["record"]["digests"] == first["record"]["digests"]
    Path("grid.toml").write_text(JOB + "\n[grid]\nseed = [1, 2]\n")
    assert main(["run", "grid.toml", "--out", "many"]) == 0
    assert "2 of 2 runs are finished" in capsys.readouterr().out
    assert main(["run", "grid.toml", "--resume", "many", "--json"]) == 0
    answer = said(capsys)
    assert answer["skipped"] == 2
    assert [row["seed"] for row in answer["rows"]] == [1, 2]


@pytest.mark.parametrize("task", ["evaluate", "infer"])
def test_run_evaluates_and_infers_too_on_the_checkpoint_s_own_data(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    file = tmp_path / "use.toml"
    head = 'schema = 1\nkind = "job"\ntitle = "Use"\nsource = "made up"\n'
    file.write_text(f'{head}[job]\ntask = "{task}"\ncheckpoint = "{here}"\nlimit = 20\n')
    assert main(["run", str(file), "--out", str(tmp_path / "kept"), "--json"]) == 0
    found = said(capsys)
    assert found["folder"] == str(tmp_path / "kept")
    record = json.loads((tmp_path / "kept" / "run.json").read_text())
    assert record["inputs"]["job"]["dataset"] == "digits"
    assert record["inputs"]["job"]["limit"] == 20
    file.write_text(f'{head}[job]\ntask = "{task}"\ncheckpoint = "{here}"\nepochs = 2\n')
    assert main(["run", str(file)]) == 2
    assert f"key `epochs` must be left out for task {task}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--circuit", "2b-9z"], "There is no circuit '2b-9z'"),
        (["train", "--no-head"], "10 classes need at least 10 qubits, and it has 9"),
        (["train", "--optimiser", "adamm"], "did you mean 'adam'"),
        (["train", "--epochs", "0"], "epochs"),
        (["train", "--learning-rate", "-1"], "Option `--learning-rate` must be above 0, but is -1"),
        (["train", "--noise", "paper"], "Option `--noise` must be left out with backend exact"),
        (["train", "--resume", "nowhere"], "There is no run in 'nowhere'"),
        (["train", "--resume", "runs", "--epochs", "3"], "Option `--epochs` must be left out with --resume"),
        (["train", "--device", "cuda:77"], "Option `--device` must be cpu, or cuda where there is one"),
        (
            ["train", "--schedule", "cosine", "--optimiser", "sgdr"],
            "Option `--schedule` must be constant with optimiser sgdr",
        ),
        (["evaluate", "nothing.safetensors"], "There is no checkpoint 'nothing.safetensors'"),
        (["evaluate", "--shots", "10"], "Option `--shots` must be left out with backend exact"),
        (["infer", "--input", "nothing.png"], "nothing.png"),
        (["infer", "--input", "a.png", "--limit", "3"], "Option `--limit` must be left out with `--input`"),
        (
            ["infer", "--input", "a.png", "--dataset", "digits"],
            "Option `--dataset` must be left out with `--input`",
        ),
        (["infer", "--csv", "--json"], "Option `--csv` must be left out with --json"),
        (["infer", "run", "a.png"], "Argument `a.png` must follow --input"),
        (["run", "nothing"], "There is no job 'nothing'"),
        (["run", "digits", "--out", "a", "--resume", "b"], "Option `--out` must be left out with --resume"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path.cwd().rglob("*"))
    assert main(words) == 2
    printed = capsys.readouterr()
    said_last = printed.out if "--json" in words else printed.err
    assert message in said_last
    if "--json" in words:
        assert list(json.loads(printed.out)) == ["error"]
    else:
        assert printed.out == ""
        assert len([line for line in printed.err.splitlines() if line.startswith("error: ")]) == 1
    assert sorted(Path.cwd().rglob("*")) == before


def test_a_corrupt_checkpoint_is_one_line(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cut.safetensors"
    file.write_bytes((here / "best.safetensors").read_bytes()[:500])
    for command in ("evaluate", "infer"):
        assert main([command, str(file)]) == 2
        assert "error: cut.safetensors: is no intact checkpoint" in capsys.readouterr().err
