"""A user's own data from the command line to the page, and what is refused before anything is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sqdr_qiskit.cli import main
from sqdr_qiskit.jobs.settings import choose_checkpoint

CLASSES = {"aster": 26, "bluebell": 14, "crocus": 9, "daisy & rose": 7, "élan [red]<i>": 6}
SMALL = ["--circuit", "2b-3q", "--epochs", "1", "--batch-size", "8"]


def picture(rng: np.random.Generator, label: int, number: int) -> Image.Image:
    """Noise in the class's colour, of some size and mode."""
    height, width = rng.integers(17, 40, 2)
    pixels = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
    pixels[..., label % 3] += 150
    return Image.fromarray(pixels).convert(("RGB", "RGBA", "P", "L")[number % 4])


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with five unequal classes of pictures, and a run trained on them."""
    rng = np.random.default_rng(7)
    work = tmp_path_factory.mktemp("own")
    for label, (name, n_images) in enumerate(CLASSES.items()):
        folder = work / "flowers" / name
        folder.mkdir(parents=True)
        for number in range(n_images):
            picture(rng, label, number).save(folder / f"{number:02d}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        assert main(["train", "--dataset", "flowers/", "--image-size", "16", *SMALL, "--out", "run"]) == 0
    return work


@pytest.fixture
def here(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, as the working directory."""
    monkeypatch.chdir(flowers)
    return flowers


def test_the_record_says_what_was_trained_on(here: Path) -> None:
    data = json.loads((here / "run" / "run.json").read_text())["inputs"]["data"]
    assert (data["name"], data["path"], data["classes"], data["size"]) == (
        "flowers",
        "flowers/",
        5,
        [3, 16, 16],
    )
    assert "scaled with their proportions to fit 16 x 16" in data["source"]
    assert all(len(data[part]["sha256"]) == 64 for part in ("train", "validation", "test"))
    facts = choose_checkpoint("run").checkpoint.dataset
    assert facts["class_names"] == sorted(CLASSES)
    assert (facts["size"], facts["style"]) == ([16, 16], "whole")


def test_evaluation_names_the_classes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in CLASSES)
    assert "on 12 images" in said


def test_answers_name_files_that_are_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "run", "--limit", "5", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert len(answers) == 5
    assert all((here / answer["image"]).is_file() for answer in answers)
    assert all(answer["image"].split("/")[1] == answer["truth"] for answer in answers)


def test_a_folder_of_pictures_is_classified_and_its_page_made(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["infer", "run", "--input", "flowers/crocus", "--uncertain-below", "1", "--out", "answers"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "9 of 9 uncertain (?): a probability below 100 %" in said.out
    assert "run answers: answers.json" in said.err
    answers = json.loads((here / "answers" / "answers.json").read_text())["answers"]
    assert [answer["uncertain"] for answer in answers] == [True] * 9
    assert set(answers[0]["probabilities"]) == set(CLASSES)
    for run in ("answers", "run"):
        assert main(["report", run]) == 0
        page = (here / run / "report.html").read_text()
        assert "élan [red]&lt;i&gt;" in page
        assert ("Uncertain (?), with a smaller probability than asked for: 9 of 9." in page) == (
            run == "answers"
        )
        assert "<i>" not in page.split("</style>")[-1]
    capsys.readouterr()
    assert main(["infer", "run", "--input", "flowers/crocus", "--uncertain-below", "0", "--csv"]) == 0
    assert {line.split(",")[3] for line in capsys.readouterr().out.splitlines()[1:]} == {"0"}


def test_a_picture_is_treated_as_those_of_the_data_set(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", "run", "--dataset", "flowers", "--json"]) == 0
    held_out = json.loads(capsys.readouterr().out)["answers"]
    assert main(["infer", "run", "--input", held_out[0]["image"], "--json"]) == 0
    (alone,) = json.loads(capsys.readouterr().out)["answers"]
    assert alone["probabilities"] == pytest.approx(held_out[0]["probabilities"], abs=1e-6)


def test_a_checkpoint_refuses_data_that_do_not_fit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(here / "flowers", here / "other")
    (here / "other" / "crocus").rename(here / "other" / "dahlia")
    for command, words in (
        (["evaluate", "run", "--dataset", "other/"], "differ: crocus, dahlia."),
        (["evaluate", "run", "--dataset", "digits"], "field `in_channels` must be 1, but is 3."),
        (["evaluate", "digits-2b-9q", "--dataset", "flowers"], "10 classes apart, and the data have 5"),
    ):
        assert main(command) == 2
        assert words in capsys.readouterr().err.splitlines()[-1]
    shutil.rmtree(here / "other")


def test_damaged_pictures_stop_a_run_before_it_is_made(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(here / "flowers", here / "hurt")
    broken = here / "hurt" / "aster" / "00.png"
    broken.write_bytes(broken.read_bytes()[:200])
    train = ["train", "--dataset", "hurt", *SMALL, "--out", "hurt-run"]
    assert main(train) == 2
    said = capsys.readouterr().err.splitlines()
    assert "00.png' cannot be read" in said[-1]
    assert "--skip-damaged" in said[-1]
    assert not (here / "hurt-run").exists()
    assert main([*train, "--skip-damaged", "--limit", "20"]) == 0
    assert "1 damaged pictures left out" in capsys.readouterr().err
    pictures = ["infer", "run", "--input", "hurt/aster"]
    assert main(pictures) == 2
    capsys.readouterr()
    assert main([*pictures, "--skip-damaged", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["answers"]) == CLASSES["aster"] - 1
    shutil.rmtree(here / "hurt")


def test_a_finished_training_of_own_data_is_resumed_and_refused_changed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--resume", "run"]) == 0
    capsys.readouterr()
    moved = here / "flowers" / "aster" / "25.png"
    moved.rename(here / "25.png")
    assert main(["train", "--resume", "run"]) == 2
    assert "data" in capsys.readouterr().err.splitlines()[-1]
    (here / "25.png").rename(moved)


def test_without_a_checkpoint_pictures_are_read_by_the_mnist_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_checkpoint(None, pictures=True).path.stem == "mnist-2b-9q"
    assert choose_checkpoint(None).path.stem == "digits-2b-9q"
    assert main(["train", "--circuit", "2b-3q", "--limit", "40", "--epochs", "1", "--batch-size", "20"]) == 0
    assert choose_checkpoint(None, pictures=True).path.stem == "mnist-2b-9q"
    assert choose_checkpoint(None).why == "newest finished run in runs/"
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    assert main(["infer", "--input", "empty"]) == 2
    assert "There is no picture in folder 'empty'." in capsys.readouterr().err


def test_many_classes_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    np.savez(
        tmp_path / "many.npz",
        x=rng.integers(0, 256, (300, 16, 16), dtype=np.uint8),
        y=np.arange(300) % 100,
        class_names=np.array([f"kind {i}" for i in range(100)]),
    )
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--dataset", "many.npz", *SMALL, "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run"]) == 0
    said = capsys.readouterr().out
    assert "most frequent mistakes" in said
    assert max(map(len, said.splitlines())) < 100
    assert main(["report", "run"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "kind 99" in page
    assert 'table class="confusion"' not in page
