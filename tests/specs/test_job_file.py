"""Descriptions of runs and of grids of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqdr_qiskit import catalog
from sqdr_qiskit.errors import SpecError
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.job_file import read_job

_HEAD = 'schema = 1\nkind = "job"\ntitle = "Mine"\nsource = "Me"\n'


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(_HEAD + text)
    return path


@pytest.mark.parametrize("name", catalog.list_names("jobs"))
def test_every_job_file_reads(name: str) -> None:
    job_file = read_job(catalog.find("jobs", name))
    assert job_file.name == name
    assert job_file.jobs
    assert len(set(job_file.jobs)) == len(job_file.jobs)


def test_a_single_job(tmp_path: Path) -> None:
    job_file = read_job(_write(tmp_path, '[job]\ntask = "train"\nepochs = 3\nflip = false\n'))
    assert job_file.jobs == (JobSpec(task="train", epochs=3, flip=False),)
    assert (job_file.name, job_file.title, job_file.source) == ("mine", "Mine", "Me")


def test_a_grid_multiplies_and_its_last_key_varies_fastest(tmp_path: Path) -> None:
    text = '[job]\ntask = "train"\nrecipe = "paper"\n[grid]\ncircuit = ["2b-9q", "4b-9q"]\nseed = [0, 1, 2]\n'
    jobs = read_job(_write(tmp_path, text)).jobs
    assert [(job.circuit, job.seed) for job in jobs] == [
        ("2b-9q", 0),
        ("2b-9q", 1),
        ("2b-9q", 2),
        ("4b-9q", 0),
        ("4b-9q", 1),
        ("4b-9q", 2),
    ]
    assert {job.recipe for job in jobs} == {"paper"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[job]\nepochs = 3\n", r"^mine\.toml: table `job`: key `task` is missing\.$"),
        (
            '[job]\ntask = "trian"\n',
            r"must be one of train, evaluate, infer, but is 'trian'; did you mean 'train'\?$",
        ),
        (
            '[job]\ntask = "train"\nepoch = 3\n',
            r"table `job`: key `epoch` is unknown; did you mean `epochs`\?$",
        ),
        ('[job]\ntask = "train"\nbatch_size = 0\n', "key `batch_size` must be at least 1, but is 0"),
        ('[job]\ntask = "train"\naveraging = 1.0\n', "key `averaging` must be below 1, but is 1.0"),
        (
            '[job]\ntask = "train"\nseed = 0\n[grid]\nseed = [1]\n',
            r"table `grid`: key `seed` stands in table `job` too",
        ),
        (
            '[job]\ntask = "train"\n[grid]\nseed = 1\n',
            r"table `grid`: key `seed` must be a list with at least one entry",
        ),
        (
            '[job]\ntask = "train"\n[grid]\nseed = [0, -1]\n',
            r"table `grid`: key `seed` must be at least 0, but is -1\.$",
        ),
        (
            '[job]\ntask = "train"\n[grid]\nsed = [1]\n',
            r"table `grid`: key `sed` is unknown; did you mean `seed`\?$",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_job(_write(tmp_path, text))
