"""A run and its options."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from typing import Any

import pytest

from sqdr_qiskit.cli import main
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import GRADIENTS, GradientOptions
from sqdr_qiskit.runtime.estimators import DECOUPLING, MODES, RuntimeSettings
from sqdr_qiskit.specs.job import JOB_OPTIONS, TASKS, JobSpec
from sqdr_qiskit.specs.reader import GROUPS, Option
from sqdr_qiskit.training.recipes import RECIPES


def test_a_job_survives_a_round_trip() -> None:
    job = JobSpec(task="evaluate", circuit="4b-9q", shots=100, learning_rate=0.01, head=False, averaging=0.0)
    assert JobSpec.from_dict(job.to_dict()) == job
    assert JobSpec.from_dict({}) == JobSpec()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "Argument `epochs` must be at least 1, but is 0"),
        ({"learning_rate": 0.0}, "Argument `learning_rate` must be above 0, but is 0.0"),
        ({"validation": 1.0}, "Argument `validation` must be below 1, but is 1.0"),
        ({"task": "fly"}, "Argument `task` must be one of train, evaluate, infer"),
        ({"shots": 1.5}, "Argument `shots` must be a whole number, but is 1.5"),
    ],
)
def test_a_job_checks_itself(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        JobSpec(**values)


def test_every_field_but_the_task_is_an_option() -> None:
    assert set(JOB_OPTIONS) == {field.name for field in fields(JobSpec)} - {"task"}


@pytest.mark.parametrize("one", JOB_OPTIONS.values(), ids=lambda one: one.name)
def test_an_option_says_what_it_is(one: Option) -> None:
    assert one.help.endswith(".")
    assert one.group in GROUPS
    assert one.tasks
    assert set(one.tasks) <= set(TASKS)
    assert one.default or one.default is False or one.default == 0 or one.usual or one.feeds == "recipe"
    assert not (one.defines and one.may_change)


def test_what_feeds_settings_has_a_field_of_its_name_there() -> None:
    for feeds, settings in (("gradient", GradientOptions), ("runtime", RuntimeSettings)):
        fed = {name for name, one in JOB_OPTIONS.items() if one.feeds == feeds}
        assert fed <= set(inspect.signature(settings).parameters)
    assert set(JOB_OPTIONS["gradient"].choices) == set(GRADIENTS)
    assert (JOB_OPTIONS["mode"].choices, JOB_OPTIONS["dynamical_decoupling"].choices) == (MODES, DECOUPLING)


def test_what_changes_the_numbers_defines_a_run() -> None:
    job = JobSpec(backend="ibm_kingston")
    defining: list[dict[str, Any]] = [{"dynamical_decoupling": "XX"}, {"resilience": 0}, {"shots": 5}]
    for change in defining:
        assert replace(job, **change).defining() != job.defining()
    harmless: list[dict[str, Any]] = [{"max_qpu_seconds": 5.0}, {"job_tags": "mine"}, {"data_dir": "here"}]
    for change in harmless:
        assert replace(job, **change).defining() == job.defining()
    assert job.defining() == {"task": "train", "backend": "ibm_kingston"}  # an option to come changes nothing


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("task", TASKS)
def test_help_shows_every_option_whole_with_its_default(
    task: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([task, "--help"]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= width
    words = page.replace("│", " ").split()
    mine = [one for one in JOB_OPTIONS.values() if task in one.tasks]
    for one in mine:
        if one.name != "checkpoint" or task == "train":
            assert one.typed in words
    assert words.count("[default:") >= len(mine)
    for title in {one.group for one in mine}:
        assert f"─ {title} ─" in page


def test_a_page_of_help_says_where_defaults_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    page = " ".join(capsys.readouterr().out.replace("│", " ").split())
    epochs = f"[default: {RECIPES['ours'].epochs}; paper: {RECIPES['paper'].epochs}]"
    assert f"--epochs N Passes over the training images. {epochs}" in page
    assert "--seed N The one seed of everything random. [default: 0]" in page
