"""A list of parts on the stub, whose chip is noisier than calibrated: killed at every stage and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, PubResult
from qiskit.transpiler import InstructionProperties
from qiskit_ibm_runtime.fake_provider import FakeNairobiV2
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program

from sqdr_qiskit import catalog
from sqdr_qiskit.cli import main
from sqdr_qiskit.errors import ArgumentError, BackendError, CheckpointError, SpecError
from sqdr_qiskit.jobs.hardware import Hardware
from sqdr_qiskit.jobs.parts import PARTS_RECORD, carry_out_parts, on_backend
from sqdr_qiskit.reports.device_pages import parts_markdown
from sqdr_qiskit.runtime import Waiting
from sqdr_qiskit.specs.job_file import JobFile, read_job
from tests.stub.fixtures import stub
from tests.stub.server import StubServer
from tests.stub.service import Service

__all__ = ["stub"]

_HEAD = 'schema = 1\nkind = "job"\ntitle = "Mine"\nsource = "Me"\n'
_PARTS = """
[job]
backend = "ibm_kingston"
checkpoint = "{checkpoint}"
dataset = "digits"
max_qpu_seconds = {ceiling}

[[part]]
name = "tiled"
task = "infer"
limit = 20
shots = 1000
resilience = 0

[[part]]
name = "whole"
task = "infer"
layout = "whole"
limit = 4
shots = 100
resilience = 0

[[part]]
name = "noise"
learn_from = ["tiled"]

[[part]]
name = "again"
task = "infer"
limit = 20
shots = 1000
resilience = 0
seed = 1

[[part]]
name = "training"
task = "train"
steps = 2
batch_size = 4
shots = 50
resilience = 0
freeze = "encoder"
gradient = "physics-aware"
model_noise = "none"
limit = 8
"""
JOBS = {"tiled": 1, "whole": 1, "again": 1, "training": 3}  # two steps, and the test images


class Killed(BaseException):
    """The process ends here."""


class Killer:
    """Ends the process at the moments that it is told, each once."""

    def __init__(self) -> None:
        self.at: list[tuple[str, str]] = []
        self.part = ""
        self.done: set[tuple[str, str]] = set()

    def notice(self, text: str) -> None:
        """A part begins, or something is said."""
        name = text.partition(":")[0]
        if name in (*JOBS, "noise") and "done before" not in text:
            self.part = name
            self._now("begins")

    def watch(self, now: Waiting) -> None:
        """Something happens to a job."""
        self._now(now.state)

    def _now(self, state: str) -> None:
        moment = (self.part, state)
        if moment in self.at and moment not in self.done:
            self.done.add(moment)
            raise Killed(moment)

    @contextmanager
    def opened(self, backend: str) -> Iterator[Hardware]:
        with Hardware(self.watch) as hardware:
            yield hardware


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "start"
    words = ["train", "--circuit", "2b-4q", "--limit", "60", "--epochs", "1", "--out", str(folder)]
    assert main(words) == 0
    return folder


@pytest.fixture
def written(tmp_path: Path, checkpoint: Path) -> Callable[[float], Path]:
    def write(ceiling: float) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(_HEAD + _PARTS.format(checkpoint=checkpoint, ceiling=ceiling))
        return path

    return write


def _noisier() -> Any:
    """Nairobi with rates of its own, unlike its calibration."""
    rng, backend = np.random.default_rng(5), FakeNairobiV2()
    target = backend.target
    for name, most in (("cx", 5.0), ("sx", 5.0), ("measure", 4.0)):
        for qubits, known in target[name].items():
            error = min(float(known.error or 0.0) * rng.uniform(2.0, most), 0.3)
            target.update_instruction_properties(
                name, qubits, InstructionProperties(duration=known.duration, error=error)
            )
    return backend


def _committed(record: dict[str, Any]) -> float:
    return sum(float(row.get("planned_s") or 0.0) for row in record["parts"])


def test_killed_at_every_stage_each_job_is_sent_once_and_all_stays_under_the_ceiling(
    stub: StubServer, written: Callable[[float], Path], tmp_path: Path
) -> None:
    stub.service.truth["ibm_kingston"] = _noisier()
    file = read_job(written(60.0))
    killer = Killer()
    killer.at = [
        (part.name, state) for part in file.parts for state in ("begins", "cost", "sent", "collected")
    ]
    kills, resume = 0, False
    while True:
        try:
            folder = carry_out_parts(
                file, tmp_path / "all", killer.opened, resume=resume, notice=killer.notice
            )
            break
        except Killed:
            kills += 1
            resume = (tmp_path / "all" / "parts.json").is_file()
            assert resume
    assert kills == 4 * 4 + 1  # every moment of every part; learning has one
    assert stub.service.n_jobs == sum(JOBS.values())
    record = json.loads((folder / PARTS_RECORD).read_text())
    rows = {row["part"]: row for row in record["parts"]}
    assert {name: len(rows[name]["jobs"]) for name in JOBS} == JOBS
    assert _committed(record) < 60.0
    assert sum(rows[name]["used_s"] for name in JOBS) == pytest.approx(stub.service.n_jobs)
    # The chip is not as calibrated; what was learnt of it in the first run tells what the second reads.
    assert rows["tiled"]["twin"]["chi_square"] > 2.0
    assert rows["again"]["learnt"]["chi_square"] < 0.6 * rows["again"]["twin"]["chi_square"]
    assert rows["noise"]["learning"]["after"] < rows["noise"]["learning"]["before"]
    page = parts_markdown(record)
    assert all(job in page for name in JOBS for job in rows[name]["jobs"])
    before = stub.service.n_jobs
    carry_out_parts(file, folder, killer.opened, resume=True)
    assert stub.service.n_jobs == before


class _Coins:
    """A sampler that reads each qubit as a coin falls: a chip of any size in no time."""

    @classmethod
    def from_backend(cls, backend: Any, seed: int | None = None) -> _Coins:
        return cls()

    def run(self, pubs: list[Any]) -> _Coins:
        (pub,) = pubs
        rng = np.random.default_rng(0)
        bits = {
            register.name: BitArray.from_bool_array(
                rng.integers(0, 2, (*pub.shape, pub.shots, register.size), dtype=np.uint8).astype(bool)
            )
            for register in pub.circuit.cregs
        }
        self._found = PrimitiveResult([PubResult(DataBin(**bits, shape=pub.shape))])
        return self

    def result(self) -> PrimitiveResult[PubResult]:
        return self._found


MOMENTS = [
    [part, state]
    for part in ("smoke", "tiled", "whole", "noise", "again", "training")
    for state in (("begins",) if part == "noise" else ("begins", "cost", "sent", "collected"))
]


@pytest.mark.skipif("SQDR_TEST_ALL" not in os.environ, reason="takes minutes and MNIST: SQDR_TEST_ALL=1")
def test_the_plan_of_the_catalogue_killed_at_every_stage_pays_for_no_job_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{run_quantum_program.__module__}.AerSamplerV2", _Coins)
    script, plan = Path(__file__).with_name("killed_parts.py"), catalog.find("jobs", "open-plan")
    with StubServer(Service({"ibm_kingston": "cairo"})) as server:
        done = subprocess.run(
            [sys.executable, str(script), str(plan), str(tmp_path / "all"), json.dumps(MOMENTS)],
            env={
                **os.environ,
                **server.environment(tmp_path),
                "SQDR_PATIENCE": "0.01",
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["statuses"] == [-signal.SIGKILL] * len(MOMENTS) + [0], done.stderr
    record = json.loads((tmp_path / "all" / PARTS_RECORD).read_text())
    jobs = {row["part"]: len(row["jobs"]) for row in record["parts"] if "jobs" in row}
    assert jobs == {"smoke": 1, "tiled": 1, "whole": 1, "again": 1, "training": 11}
    assert found["jobs"] == sum(jobs.values())
    assert sum(row.get("used_s") or 0.0 for row in record["parts"]) == sum(jobs.values()) < 600.0


def test_one_ceiling_holds_for_all_parts_and_can_be_raised(
    stub: StubServer, written: Callable[[float], Path], tmp_path: Path
) -> None:
    path, killer = written(16.5), Killer()  # 20 images take 16 s by the rule; the stub says 1 s a job
    with pytest.raises(BackendError, match="Stopped before"):
        carry_out_parts(read_job(path), tmp_path / "all", killer.opened)
    assert stub.service.n_jobs == 2
    rows = json.loads((tmp_path / "all" / PARTS_RECORD).read_text())["parts"]
    assert [row["state"] for row in rows] == ["done", "done", "done", "not begun", "not begun"]
    with pytest.raises(BackendError, match="Stopped before"):
        carry_out_parts(read_job(path), tmp_path / "all", killer.opened, resume=True, ceiling_s=17.9)
    assert stub.service.n_jobs == 2
    carry_out_parts(read_job(path), tmp_path / "all", killer.opened, resume=True, ceiling_s=18.1)
    assert stub.service.n_jobs == sum(JOBS.values())
    other = path.read_text().replace("limit = 4", "limit = 5")
    path.write_text(other)
    with pytest.raises(CheckpointError, match="other parts"):
        carry_out_parts(read_job(path), tmp_path / "all", killer.opened, resume=True)


def test_parts_are_rehearsed_on_a_snapshot_for_nothing(
    written: Callable[[float], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(written(60.0)), "--backend", "fake_nairobi", "--out", str(tmp_path / "all"), "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in found["parts"]] == ["done"] * 5
    assert found["parts"][0]["twin"]["p_value"] > 1e-4
    assert "right" in (tmp_path / "all" / "report.md").read_text()


def test_the_plan_of_the_catalogue_fits_the_open_plan() -> None:
    file = read_job(catalog.find("jobs", "open-plan"))
    assert [part.name for part in file.parts] == ["smoke", "tiled", "whole", "noise", "again", "training"]
    assert {job.backend for job in file.jobs} == {"ibm_kingston"}
    assert all(job.max_qpu_seconds == 600 for job in file.jobs)
    rehearsed = on_backend(file, "fake_kingston")
    assert all(job.resilience is None and job.max_execution_s is None for job in rehearsed.jobs)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[part]]\nname = "a b"\ntask = "infer"\nbackend = "ibm_fez"', "must be a word"),
        ('[[part]]\nname = "a"\nlearn_from = ["b"]', "must name earlier parts"),
        ('[[part]]\nname = "a"\ntask = "infer"\nsteps = 3', "where it has no effect"),
        ('[[part]]\nname = "a"\nbackend = "ibm_fez"', "`task` is missing"),
        (
            '[[part]]\nname = "a"\ntask = "infer"\nbackend = "ibm_fez"\n'
            '[[part]]\nname = "b"\ntask = "infer"\nbackend = "ibm_kingston"',
            "on one backend",
        ),
    ],
)
def test_parts_that_cannot_be_are_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_HEAD + text)
    with pytest.raises(SpecError, match=told):
        read_job(path)


def test_nothing_is_made_or_sent_where_a_later_part_cannot_be(
    stub: StubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"  # nine qubits do not stand whole on seven
    path.write_text(_HEAD + _PARTS.format(checkpoint="digits-2b-9q", ceiling=60))
    for backend in ("ibm_kingston", "fake_nairobi"):
        assert main(["run", str(path), "--backend", backend, "--out", str(tmp_path / "all")]) == 2
        assert "The circuit needs 9 qubits" in capsys.readouterr().err
        assert not (tmp_path / "all").exists()
    assert main(["run", str(path), "--backend", "exact", "--out", str(tmp_path / "all")]) == 2
    assert "must be a device or its snapshot" in capsys.readouterr().err
    assert stub.service.n_jobs == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("limit = 20", "limit = 4", "noise cannot learn noise from part tiled: .* at least 5 samples"),
        ("resilience = 0", "resilience = 1", "from part tiled: it must be without error mitigation"),
        ('["tiled"]', '["tiled", "whole"]', "from part whole: it must have checkpoint, layout, .* as tiled"),
    ],
)
def test_a_part_that_could_not_learn_is_refused_before_the_first_is_sent(
    stub: StubServer, written: Callable[[float], Path], tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = written(60.0)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ArgumentError, match=told):
        carry_out_parts(read_job(path), tmp_path / "all", Killer().opened)
    assert stub.service.n_jobs == 0
    assert not (tmp_path / "all").exists()


def test_options_of_grids_and_of_parts_do_not_mix(
    written: Callable[[float], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(60.0))
    assert main(["run", path, "--workers", "2"]) == 2
    assert "`--workers` must be left out for a list of parts" in capsys.readouterr().err
    assert main(["run", "digits", "--backend", "fake_fez"]) == 2
    assert "`--backend` must come with a list of parts" in capsys.readouterr().err
    assert isinstance(read_job(path), JobFile)
