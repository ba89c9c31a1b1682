from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.data import DataSplits
from sqdr_qiskit.errors import ArgumentError, CheckpointError, StorageError, TrainingError
from sqdr_qiskit.model.network import (
    SQDRCNN,
    ModelSettings,
    build_model,
    load_weights,
    named_weights,
    read_checkpoint,
)
from sqdr_qiskit.records import BEST, LAST, METRICS, STATE
from sqdr_qiskit.training import loop, metrics
from sqdr_qiskit.training.loop import train
from sqdr_qiskit.training.metrics import evaluate
from sqdr_qiskit.training.recipes import Recipe
from sqdr_qiskit.training.state import EVENTS, SCALARS, TrainingProgress

FILES = (BEST, LAST, METRICS, SCALARS)


class StopError(Exception):
    """Stands for a kill."""


def test_training_learns_and_leaves_its_files(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    seen: list[TrainingProgress] = []
    recipe = recipe.changed(epochs=25, flip=False, batch_size=8, learning_rate=0.03)
    outcome = train(model, settings, data, recipe, folder=tmp_path, progress=seen.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((*FILES, STATE))
    assert outcome.best.metrics["validation_accuracy"] > 0.8
    history = outcome.history
    assert [row["epoch"] for row in history] == list(range(1, 26))
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert json.loads((tmp_path / METRICS).read_text())["history"] == [dict(row) for row in history]
    assert sum(outcome.shares.values()) == pytest.approx(1.0)
    assert min(outcome.shares.values()) > 0.0
    assert [now.step for now in seen] == list(range(1, 151))
    assert seen[-1].seconds_left == 0.0
    assert (seen[-1].epoch, seen[-1].n_epochs, seen[-1].n_steps) == (25, 25, 150)
    assert seen[-1].loss == history[-1]["loss"]
    assert seen[6].validation == history[0]["validation_accuracy"]


def test_a_short_run_notes_its_steps_and_goes_on_with_them(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    recipe = recipe.changed(epochs=2, batch_size=8)

    def stop(now: TrainingProgress) -> None:
        if now.step == 3:
            raise StopError

    undisturbed = train(model, settings, data, recipe, folder=tmp_path / "a").history
    rows = [step for row in undisturbed for step in row["steps"]]
    assert [step["step"] for step in rows] == list(range(1, len(rows) + 1))
    seen = sum(step["loss"] for step in undisturbed[0]["steps"][:-1])
    assert seen > 0
    assert "steps" not in read_checkpoint(tmp_path / "a" / BEST).metrics
    with pytest.raises(StopError):
        train(model, settings, data, recipe, folder=tmp_path / "b", checkpoint_every_s=0.0, progress=stop)
    resumed = train(model, settings, data, recipe, folder=tmp_path / "b", resume=True)
    assert resumed.history == undisturbed


def test_the_images_of_each_step_and_each_look_are_named_before_they_are_asked_about(
    model: SQDRCNN,
    settings: ModelSettings,
    data: DataSplits,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named: list[str] = []
    asked: list[tuple[list[str], torch.Tensor]] = []
    encode = model.encode

    def about(names: Sequence[str]) -> Callable[[slice], None]:
        def note(part: slice) -> None:
            named[:] = names[part]

        return note

    def noting(images: torch.Tensor) -> torch.Tensor:
        asked.append((list(named), images))
        return encode(images)

    assert data.validation is not None
    data = replace(data, validation=replace(data.validation, origin="held out"))
    monkeypatch.setattr(model, "encode", noting)
    train(
        model,
        settings,
        data,
        recipe.changed(epochs=1, flip=False, norm_images=0),
        folder=tmp_path,
        about=about,
    )
    assert data.validation is not None
    pictures = {
        name: torch.from_numpy(picture)
        for part in (data.train, data.validation)
        for name, picture in zip(part.names, part.images, strict=True)
    }
    for names, images in asked:
        assert torch.equal(torch.stack([pictures[name] for name in names]), images)
    assert sorted(name for names, _ in asked for name in names) == sorted(pictures)


def test_rates_and_the_time_to_go_leave_the_compilation_of_the_first_step_out(
    model: SQDRCNN,
    settings: ModelSettings,
    data: DataSplits,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, encode = [0.0], model.encode

    def slow_once(images: torch.Tensor) -> torch.Tensor:
        clock[0] += 1.0 if clock[0] else 100.0
        return encode(images)

    for module in (loop, metrics):
        monkeypatch.setattr(module, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(model, "encode", slow_once)
    seen: list[TrainingProgress] = []
    few = recipe.changed(epochs=1, batch_size=8)
    outcome = train(model, settings, data, few, folder=tmp_path / "a", progress=seen.append)
    assert [now.seconds_left for now in seen[1:]] == list(range(len(seen) - 2, -1, -1))
    assert seen[-1].samples_per_s == 8.0
    assert outcome.samples_per_s == 8.0
    assert outcome.seconds["first_step"] == 100.0
    assert outcome.shares["encoder"] == 1.0
    again = train(model, settings, data, few, folder=tmp_path / "a", resume=True)
    assert (again.sittings, again.samples_per_s) == (2, 8.0)  # nothing was left to do
    clock[0] = 0.0
    one = recipe.changed(epochs=1, batch_size=len(data.train))
    outcome = train(model, settings, data, one, folder=tmp_path / "b")
    assert outcome.samples_per_s == len(data.train) / 100  # there is no other step


def test_a_long_run_notes_epochs_alone(
    model: SQDRCNN,
    settings: ModelSettings,
    data: DataSplits,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "_STEPS_NOTED", 5)
    (row,) = train(model, settings, data, recipe.changed(epochs=1, batch_size=8), folder=tmp_path).history
    assert "steps" not in row


def test_tensorboard_reads_the_same_numbers_also_after_a_kill(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = recipe.changed(epochs=3)

    def stop(now: TrainingProgress) -> None:
        if now.epoch == 3:
            raise StopError

    with pytest.raises(StopError):
        train(model, settings, data, recipe, folder=tmp_path, progress=stop, tensorboard=True)
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b"cut sh")  # as a kill may leave it
    outcome = train(model, settings, data, recipe, folder=tmp_path, resume=True, tensorboard=True)
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    losses = [(event.step, event.value) for event in found.Scalars("loss")]
    assert losses == [(row["epoch"], pytest.approx(row["loss"])) for row in outcome.history]
    steps = [event.value for event in found.Scalars("step/loss")]
    assert steps == pytest.approx([step["loss"] for row in outcome.history for step in row["steps"]])


def test_the_best_checkpoint_is_the_first_of_the_best_validation_accuracies(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    outcome = train(model, settings, data, recipe.changed(epochs=6), folder=tmp_path)
    accuracies = [row["validation_accuracy"] for row in outcome.history]
    best = read_checkpoint(tmp_path / BEST)
    assert best.metrics["epoch"] == 1 + accuracies.index(max(accuracies))
    load_weights(model, best.weights)
    assert data.validation is not None
    found = evaluate(model, data.validation.images, data.validation.labels)
    assert found.accuracy == max(accuracies)


@pytest.mark.parametrize(("norm_images", "kept"), [(0, False), (10_000, True)])
def test_averaged_weights_have_statistics_of_their_own(
    norm_images: int, kept: bool, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    model = build_model(settings, make_backend("exact"))
    outcome = train(model, settings, data, recipe.changed(norm_images=norm_images), folder=tmp_path)
    load_weights(model, outcome.last.weights)
    images = torch.from_numpy(data.train.images)
    with torch.no_grad():
        apart = (model.eval().encoder(images) - model.train().encoder(images)).abs()
    assert (float(apart.mean()) < 1e-3) == kept


def test_the_encoders_way_back_is_the_recipes(
    settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    ended = []
    for slope, pool_gradient in ((1.0, "first"), (1.0, "largest"), (6.0, "largest")):
        model = build_model(settings, make_backend("exact"))
        changed = recipe.changed(epochs=1, surrogate_slope=slope, pool_gradient=pool_gradient)
        outcome = train(model, settings, data, changed, folder=tmp_path / f"{slope} {pool_gradient}")
        assert (model.encoder.surrogate_slope, model.encoder.pool_gradient) == (slope, pool_gradient)
        ended.append(outcome.last.weights["encoder.convs.0.weight"])
    assert not torch.equal(ended[0], ended[1])
    assert not torch.equal(ended[1], ended[2])


def test_the_first_convolution_gets_a_gradient_through_the_circuit(model: SQDRCNN, data: DataSplits) -> None:
    logits = model(torch.from_numpy(data.train.images))
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.train.labels)).backward()
    gradient = model.get_parameter("encoder.convs.0.weight").grad
    assert gradient is not None
    assert float(gradient.abs().max()) > 1e-6


def test_one_seed_gives_the_same_bytes_and_another_one_others(
    settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        model = build_model(settings, make_backend("exact"))
        train(model, settings, data, recipe, folder=tmp_path / name, seed=seed)
    for file in FILES:
        contents = [(tmp_path / name / file).read_bytes() for name in "abc"]
        assert contents[0] == contents[1], file
        assert contents[0] != contents[2], file


@pytest.mark.parametrize("optimiser", ["adamw", "sgdr", "adagrad"])
def test_a_run_stopped_in_mid_epoch_ends_as_if_undisturbed(
    optimiser: str, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    recipe = recipe.changed(optimiser=optimiser)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(build_model(settings, make_backend("exact")), settings, data, recipe, folder=whole)

    stops = [7, 9]

    def stop(now: TrainingProgress) -> None:
        if stops and now.step == stops[0]:
            del stops[0]
            raise StopError

    sittings = 0
    while True:
        model = build_model(settings, make_backend("exact"))
        try:
            outcome = train(
                model, settings, data, recipe, folder=parts, resume=True, checkpoint_every_s=0.0,
                progress=stop,
            )  # fmt: skip
        except StopError:
            sittings += 1
            continue
        break
    assert sittings == 2
    assert outcome.sittings == 3
    for file in FILES:
        assert (whole / file).read_bytes() == (parts / file).read_bytes(), file


def test_a_finished_run_resumed_changes_nothing(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    first = train(model, settings, data, recipe, folder=tmp_path)
    before = {file: (tmp_path / file).read_bytes() for file in FILES}
    (tmp_path / BEST).unlink()
    again = train(model, settings, data, recipe, folder=tmp_path, resume=True)
    assert {file: (tmp_path / file).read_bytes() for file in FILES} == before
    assert again.history == first.history


def test_another_run_is_not_gone_on_with(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    train(model, settings, data, recipe, folder=tmp_path)
    with pytest.raises(CheckpointError, match=r"state.pt: field `fingerprint` differs"):
        train(model, settings, data, recipe, folder=tmp_path, seed=9, resume=True)


def test_patience_ends_a_run_that_gets_no_better(
    model: SQDRCNN,
    settings: ModelSettings,
    data: DataSplits,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = metrics.evaluate
    accuracies = iter([0.5, 0.6, 0.6, 0.4, 0.7])

    class Fixed:
        def __init__(self) -> None:
            self.accuracy, self.loss = next(accuracies), 1.0

    monkeypatch.setattr(loop, "evaluate", lambda *args, **kwargs: real(*args, **kwargs) and Fixed())
    outcome = train(model, settings, data, recipe.changed(epochs=9, patience=2), folder=tmp_path)
    assert outcome.stopped_early
    assert len(outcome.history) == 4
    assert outcome.best.metrics["epoch"] == 2


def test_without_validation_the_last_epoch_is_the_best(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    data = replace(data, validation=None)
    outcome = train(model, settings, data, recipe, folder=tmp_path)
    assert outcome.best.metrics["epoch"] == recipe.epochs
    with pytest.raises(ArgumentError, match="`patience` must be None without validation images"):
        train(model, settings, data, recipe.changed(patience=1), folder=tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_and_spares_its_files(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    def poison(now: TrainingProgress) -> None:
        if now.step == 6:  # in the second epoch
            model.get_parameter("head.weight").data.fill_(float("nan"))

    with pytest.raises(TrainingError, match=r"stopped in epoch 2, step 2: loss is no finite number"):
        train(model, settings, data, recipe, folder=tmp_path, progress=poison, checkpoint_every_s=1e9)
    assert len(json.loads((tmp_path / METRICS).read_text())["history"]) == 1
    for tensor in read_checkpoint(tmp_path / LAST).weights.values():
        assert bool(torch.isfinite(tensor).all())


def test_weights_that_are_no_numbers_are_never_written(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    def poison(now: TrainingProgress) -> None:
        if now.step == now.n_steps:
            model.get_parameter("quantum.weight").data[3] = float("inf")

    with pytest.raises(TrainingError, match=r"weight `quantum.weight` is no finite number"):
        train(model, settings, data, recipe.changed(epochs=1), folder=tmp_path, progress=poison)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(
    model: SQDRCNN,
    settings: ModelSettings,
    data: DataSplits,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"Cannot write 'state.pt' .*No space left on device"):
        train(model, settings, data, recipe, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_test_images_do_not_matter_to_training(
    settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    other = replace(data, test=data.train)
    weights: list[dict[str, Any]] = []
    for number, splits in enumerate((data, other)):
        model = build_model(settings, make_backend("exact"))
        train(model, settings, splits, recipe, folder=tmp_path / str(number))
        weights.append({name: tensor.clone() for name, tensor in named_weights(model).items()})
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 3}, "`data` must have 3 channels, but bars has 1"),
        ({"n_classes": 4}, "`data` must have 4 classes, but bars has 3"),
        ({"angle_scale": 2.0}, "`settings` must have the recipe's angle scale 1.0, but has 2.0"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    change: dict[str, Any],
    message: str,
    model: SQDRCNN,
    settings: ModelSettings,
    data: DataSplits,
    recipe: Recipe,
    tmp_path: Path,
) -> None:
    with pytest.raises(ArgumentError, match=message):
        train(model, replace(settings, **change), data, recipe, folder=tmp_path)


def test_a_device_that_is_not_there_is_refused(
    model: SQDRCNN, settings: ModelSettings, data: DataSplits, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match="`device` must be cpu, or cuda where there is one, but is 'tpu'"):
        train(model, settings, data, recipe, folder=tmp_path, device="tpu")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_runs.py")
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "SQDR_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["whole"] == 0
    assert len(found["runs"]) >= 12
    for run in found["runs"]:
        assert run["killed"] == -signal.SIGKILL, run
        assert run["resumed"] == 0, run
        assert run["differ"] == [], run
