"""`report` from the command line, on runs that the other commands made."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sqdr_qiskit.cli import main
from tests.reports.browser import needs_browser, show
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]

SMALL = ["--circuit", "2b-3q", "--limit", "60", "--epochs", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in whose runs/start a small network was trained."""
    root = tmp_path_factory.mktemp("work")
    assert main(["train", *SMALL, "--out", str(root / "runs" / "start")]) == 0
    return root


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, as the working directory."""
    monkeypatch.chdir(trained)
    return trained


def headings(page: Path) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page.read_text(encoding="utf-8"))[3:-2]


def test_a_trainings_page_goes_into_its_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "runs/start"]) == 0
    said = capsys.readouterr()
    assert said.out == f"in {Path('runs/start/report.html')}\n"
    assert headings(here / "runs" / "start" / "report.html") == [
        "Learning curves", "Test images, class by class", "The circuit", "Examples, spike by spike",
    ]  # fmt: skip


def test_the_record_is_printed_and_the_page_goes_where_it_is_wanted(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "there" / "page.html"
    assert main(["report", "runs/start", "--out", str(target), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["page"] == str(target)
    assert record["kind"] == "train"
    assert len(record["examples"]) == 6
    assert "<h1>" in target.read_text(encoding="utf-8")


def test_a_sweeps_page_and_the_newest_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "runs/start", "--limit", "20", "--noise-sweep", "0:0.1:2", "--channel", "bit_flip"]
    assert main([*words, "--out", "runs/sweep"]) == 0
    assert "`sqdr-qiskit report runs/sweep` makes a page of it" in capsys.readouterr().out
    assert (here / "runs" / "sweep" / "noise-sweep.png").is_file()
    assert main(["report"]) == 0
    said = capsys.readouterr()
    assert f"run {Path('runs/sweep')}, the newest" in said.err
    assert headings(here / "runs" / "sweep" / "report.html") == ["Under noise", "Examples, spike by spike"]
    assert main(["report", "runs/start", "--out", "swept.html"]) == 0
    assert "Under noise" in headings(here / "swept.html")  # the sweep is of this run's checkpoint


def test_an_evaluation_beside_the_exact_engine(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "runs/start", "--limit", "20", "--backend", "aer", "--shots", "50"]
    assert main([*words, "--out", "runs/evaluated", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == "runs/evaluated"
    assert main(["report", "runs/evaluated"]) == 0
    assert headings(here / "runs" / "evaluated" / "report.html") == [
        "Test images, class by class", "aer against the exact engine", "Examples, spike by spike",
    ]  # fmt: skip


@needs_browser
def test_a_rehearsals_page(here: Path, tmp_path: Path) -> None:
    words = ["infer", "runs/start", "--limit", "4", "--backend", "fake_manila", "--shots", "100"]
    assert main([*words, "--out", "runs/rehearsed"]) == 0
    assert main(["report", "runs/rehearsed"]) == 0
    page = (here / "runs" / "rehearsed" / "report.html").read_text(encoding="utf-8")
    assert "a rehearsal: the device would take about" in page
    assert "fake_manila against the exact engine" in page
    assert show(page, tmp_path, width=390).wrong == {}


def test_the_pages_of_runs_on_a_quantum_computer(
    stub: StubServer, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--backend", "ibm_kingston", "--shots", "30", "--resilience", "0"]
    assert main(["infer", "runs/start", *common, "--limit", "4", "--out", "runs/inferred"]) == 0
    train = ["train", "--checkpoint", "runs/start", *common, "--steps", "2", "--batch-size", "4"]
    train += ["--limit", "10", "--freeze", "encoder", "--gradient", "spsa", "--out", "runs/hard"]
    assert main([*train, "--max-qpu-seconds", "3"]) == 1  # the ceiling stops it on the way
    assert main(["report", "runs/hard", "--out", "cut.html"]) == 0
    assert headings(here / "cut.html") == ["Jobs and their cost", "The circuit"]
    assert main(["train", "--resume", "runs/hard", "--max-qpu-seconds", "60"]) == 0
    for run in ("inferred", "hard"):
        capsys.readouterr()
        assert main(["report", f"runs/{run}", "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["left_out"] == {}
        assert record["agreement"]["backend"] == "ibm_kingston"
        page = here / "runs" / run / "report.html"
        assert "ibm_kingston against the exact engine" in headings(page)
        assert "Jobs and their cost" in headings(page)
        for job in record["hardware"]["jobs"]:
            assert job["job"] in page.read_text(encoding="utf-8")
    assert {job["state"] for job in record["hardware"]["jobs"]} == {"done"}


def test_without_a_run_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 2
    assert "There is no run in runs/; name a run's folder, or train first." in capsys.readouterr().err
    assert main(["report", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert "There is no run in 'nowhere'" in said
    assert "loading" not in said  # nothing heavy before that is known
    assert list(tmp_path.iterdir()) == []


def test_a_page_s_place_and_a_list_of_parts_are_judged_before_any_work(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    assert main(["report", "runs/start", "--out", str(tmp_path / "taken" / "page.html")]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1  # nothing was loaded
    assert "is no folder" in said[0]
    (tmp_path / "parts.json").write_text("{}", encoding="utf-8")
    assert main(["report", str(tmp_path)]) != 0
    assert "holds a list of parts" in capsys.readouterr().err


def test_a_figure_s_suffix_is_judged_before_any_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/start", "--limit", "20", "--figure", "a.jpg", "--out", "runs/no"]) == 2
    said = capsys.readouterr().err
    assert "Option `--figure` must end in .png, .pdf or .svg, but 'a.jpg' ends in .jpg." in said
    assert not (here / "runs" / "no").exists()
    assert main(["evaluate", "runs/start", "--limit", "20", "--figure", "a.pdf"]) == 0
    assert (here / "a.pdf").read_bytes().startswith(b"%PDF")


def test_runs_are_listed_the_newest_first(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "runs" / "broken").mkdir(exist_ok=True)
    (here / "runs" / "broken" / "run.json").write_text("{", encoding="utf-8")
    assert main(["runs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert found[0]["run"] == "broken"
    assert found[0]["state"] == "damaged"
    start = next(row for row in found if row["run"] == "start")
    assert (start["task"], start["state"], start["circuit"], start["dataset"]) == (
        "train",
        "finished",
        "2b-3q",
        "digits",
    )
    metrics = json.loads((here / "runs" / "start" / "metrics.json").read_text())
    assert start["accuracy"] == metrics["test"]["accuracy"]
    assert main(["runs"]) == 0
    assert "2b-3q    digits" in capsys.readouterr().out
    assert main(["runs", "nowhere"]) == 2
    assert "There is no folder 'nowhere'." in capsys.readouterr().err
    (here / "runs" / "broken" / "run.json").unlink()
    (here / "runs" / "broken").rmdir()


def test_runs_and_grids_are_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "two.toml").write_text(
        'schema = 1\nkind = "job"\ntitle = "t"\nsource = "s"\n[job]\ntask = "train"\ncircuit = "2b-3q"\n'
        "limit = 60\nepochs = 1\n[grid]\nangle_scale = [1.0, 3.0]\nseed = [0, 1]\n",
        encoding="utf-8",
    )
    assert main(["run", "two.toml", "--out", "runs/grid"]) == 0
    capsys.readouterr()
    assert main(["report", "runs/grid"]) == 0
    said = capsys.readouterr().out
    assert "angle scale 1 " in said
    assert "so few seeds cannot establish a difference by this test" in said
    assert {"report.html", "report.tex", "runs.csv", "seeds.pdf"} <= {
        p.name for p in (here / "runs" / "grid").iterdir()
    }
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    assert main(["compare", "runs/grid", "runs/start", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["groups"]) == 3
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before  # nothing was written
    assert main(["compare", "runs/grid", "--reference", "nix"]) == 2
    assert (
        "`--reference` must be one of angle scale 1; angle scale 3, but is 'nix'" in capsys.readouterr().err
    )
    assert main(["compare", "runs/grid", "nowhere"]) == 2
    assert "There is no run in 'nowhere'" in capsys.readouterr().err
    assert main(["report", "runs/start", "--out", ""]) == 1
    assert "it is a folder" in capsys.readouterr().err
    assert main(["report", "runs/start", "--reference", "x"]) == 2
    assert "`--reference` must be left out for a single run" in capsys.readouterr().err
    assert main(["report", "runs/grid", "runs/start"]) == 2
    assert "`--out` must name a folder" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["runs"], ["compare", "start", "copy"]], ids=" ".join)
def test_looking_at_runs_imports_no_framework(trained: Path, tmp_path: Path, words: list[str]) -> None:
    for name in ("start", "copy"):
        shutil.copytree(trained / "runs" / "start", tmp_path / "runs" / name)
    code = (
        f"import sys; from sqdr_qiskit.cli import main; assert main({words!r}) == 0; "
        "print([name for name in ('torch', 'qiskit', 'numba', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path if words == ["runs"] else tmp_path / "runs",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "digits" in done.stdout
