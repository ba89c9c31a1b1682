"""`sqdr-qiskit train`: train the network, end to end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqdr_qiskit.cli.console import (
    JsonOption,
    download_progress,
    going_on,
    on_hardware,
    print_json,
    print_note,
    print_text,
    training_progress,
)
from sqdr_qiskit.cli.options import (
    Given,
    OutOption,
    ResumeOption,
    job_options,
    resumed_job,
    typed_command,
)
from sqdr_qiskit.specs.job import JobSpec

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.training import TrainedRun

__all__ = ["perform_training", "train"]


@job_options("train")
def train(
    given: Given,
    *,
    out: OutOption = None,
    resume: ResumeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the network end to end; best and last checkpoints, metrics and figures go to a folder.

    Killed at any moment, a run goes on with --resume FOLDER and ends as if nothing had happened; on a
    quantum computer nothing is sent twice. There, take few small steps from a checkpoint: --checkpoint NAME
    --steps 10 --batch-size 4 --freeze encoder.
    """
    job = JobSpec(**given) if resume is None else resumed_job(resume, "train", given, out=out)
    perform_training(job, folder=resume or out, resume=resume is not None, as_json=as_json)


def perform_training(job: JobSpec, *, folder: Path | None, resume: bool, as_json: bool) -> None:
    """Carry a training out with progress on stderr, draw its figures into its folder, print what came out."""
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.jobs.hardware import has_ledger
    from sqdr_qiskit.jobs.training import carry_out_training
    from sqdr_qiskit.reports.figures import confusion_figure, training_curves
    from sqdr_qiskit.reports.page import save_figure

    place = folder if resume else None

    def started(path: Path, inputs: Mapping[str, Any]) -> None:
        nonlocal place
        place = path
        _announce(job, path, inputs)

    def again() -> str | None:
        return None if place is None else f"sqdr-qiskit train --resume {place}"

    with going_on(again), ExitStack() as stack:
        hardware = stack.enter_context(on_hardware(job.backend)) if has_ledger(job) else None
        run = carry_out_training(
            job,
            folder=folder,
            resume=resume,
            command=typed_command(),
            hardware=hardware,
            notice=print_note,
            started=started,
            progress=stack.enter_context(training_progress()),
            download_progress=download_progress(),
        )
    made, test = run.record.inputs, run.metrics["test"]
    title = f"{_network(made)}, {job.dataset}, recipe {made['recipe']['name']}, seed {job.seed}"
    save_figure(training_curves(run.metrics["history"], title=title), run.folder / "curves.png")
    figure = confusion_figure(test["confusion"], run.class_names, title=f"{title}: test images")
    save_figure(figure, run.folder / "confusion.png")
    if as_json:
        print_json({"folder": str(run.folder), "record": run.record.to_dict(), "metrics": run.metrics})
    else:
        print_text(_summary(run))


def _network(inputs: Mapping[str, Any]) -> str:
    model = inputs["model"]
    name: str = model["circuit"]["name"]
    return name if model["model"] == "circuit" else f"control {model['model']} of {name}"


def _announce(job: JobSpec, folder: Path, inputs: Mapping[str, Any]) -> None:
    from sqdr_qiskit.jobs.hardware import has_ledger

    data, recipe = inputs["data"], inputs["recipe"]
    print_note(
        f"run {folder}: {_network(inputs)}, {inputs['n_parameters']} parameters, "
        f"{data['train']['images']} images of {data['name']}, {recipe['epochs']} epochs of recipe "
        f"{recipe['name']}"
    )
    if "path" in inputs["data"]:
        print_note(f"data {data['path']}: {data['classes']} classes; {data['source']}")
    if has_ledger(job):
        from sqdr_qiskit.jobs.cost import forecast_training

        forecast = forecast_training(job, inputs)
        if forecast is not None:
            print_note(forecast.text())


def _summary(run: TrainedRun) -> str:
    from sqdr_qiskit.reports.run_summary import speed_words

    results, test = run.record.results, run.metrics["test"]
    validation = results["validation_accuracy"]
    chosen = (
        "no validation images: the last epoch"
        if validation is None
        else f"best validation accuracy {100 * validation:.2f} % in epoch {results['best_epoch']}"
    )
    return (
        f"test accuracy {100 * test['accuracy']:.2f} % on {test['n_images']} held-out images ({chosen})\n"
        f"{results['n_parameters']} parameters, {results['epochs']} epochs, {speed_words(results)}\n"
        f"in {run.folder}: best.safetensors, last.safetensors, metrics.json, scalars.csv, run.json, "
        "curves.png, confusion.png"
    )
