"""`sqdr-qiskit train`: train the network, end to end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, print_json, print_note, print_text
from sqdr_qiskit.cli.hardware import (
    CeilingOption,
    DecouplingOption,
    ExecutionsOption,
    MaxExecutionOption,
    ModeOption,
    ResilienceOption,
    TagsOption,
    TwirlingOption,
)
from sqdr_qiskit.cli.options import (
    DataDirOption,
    LayoutOption,
    download_progress,
    training_progress,
    typed_command,
)
from sqdr_qiskit.cli.waiting import on_hardware
from sqdr_qiskit.errors import ArgumentError

if TYPE_CHECKING:
    from sqdr_qiskit.jobs import TrainedRun
    from sqdr_qiskit.specs.job import JobSpec

__all__ = ["show", "train", "train_and_show"]

_JOB_OPTIONS = {  # option as typed -> field of JobSpec; what is None is left to the job's defaults
    "--circuit": "circuit",
    "--backend": "backend",
    "--noise": "noise",
    "--gradient": "gradient",
    "--shots": "shots",
    "--dataset": "dataset",
    "--data-dir": "data_dir",
    "--limit": "limit",
    "--recipe": "recipe",
    "--epochs": "epochs",
    "--batch-size": "batch_size",
    "--learning-rate": "learning_rate",
    "--weight-decay": "weight_decay",
    "--optimiser": "optimiser",
    "--schedule": "schedule",
    "--initialisation": "initialisation",
    "--flip/--no-flip": "flip",
    "--averaging": "averaging",
    "--angle-scale": "angle_scale",
    "--patience": "patience",
    "--validation": "validation",
    "--seed": "seed",
    "--head/--no-head": "head",
    "--device": "device",
    "--checkpoint": "checkpoint",
    "--steps": "steps",
    "--freeze": "freeze",
    "--shots-per-step": "shots_per_step",
    "--shot-allocation": "shot_allocation",
    "--averages": "averages",
    "--model-noise": "model_noise",
    "--control-every": "control_every",
    "--log-gradient-variance": "log_gradient_variance",
    "--layout": "layout",
    "--mode": "mode",
    "--resilience": "resilience",
    "--dynamical-decoupling": "dynamical_decoupling",
    "--twirling/--no-twirling": "twirling",
    "--max-execution-s": "max_execution_s",
    "--job-tags": "job_tags",
    "--max-qpu-seconds": "max_qpu_seconds",
    "--max-executions": "max_executions",
}


def train(
    *,
    circuit: Annotated[
        str | None,
        typer.Option(help="Circuit: a catalogue name, <b>b-<n>q, or a TOML file. [default: 2b-9q]"),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="Where expectation values come from. [default: exact]")
    ] = None,
    noise: Annotated[str | None, typer.Option(help="Noise model: a catalogue name or a TOML file.")] = None,
    gradient: Annotated[
        str | None, typer.Option(help="Where the circuit's gradients come from. [default: the backend's own]")
    ] = None,
    shots: Annotated[int | None, typer.Option(help="Samples per expectation value. [default: exact]")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="digits, mnist, fashion-mnist or kmnist. [default: digits]")
    ] = None,
    data_dir: DataDirOption = None,
    limit: Annotated[
        int | None, typer.Option(help="Use so many training images, and at most as many test images.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="ours or paper. [default: ours]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    optimiser: Annotated[str | None, typer.Option(help="adam, adamw, sgd, sgdr or adagrad.")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, cosine or one-cycle.")] = None,
    initialisation: Annotated[
        str | None,
        typer.Option(help="Circuit's first weights: uniform-2pi, normal-2pi, uniform-1 or normal-1."),
    ] = None,
    flip: Annotated[bool | None, typer.Option(help="Mirror half the images, at random.")] = None,
    averaging: Annotated[
        float | None, typer.Option(help="Decay per step of the weights' moving average; 0 is none.")
    ] = None,
    angle_scale: Annotated[float | None, typer.Option(help="Radians for a firing rate of 1.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better validation accuracy.")
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share of the training images to validate on. [default: 0.1]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The one seed of everything random. [default: 0]")] = None,
    head: Annotated[
        bool | None, typer.Option(help="A linear layer after the circuit. [default: with]")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where encoder and head compute: cpu or cuda. [default: cpu]")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Start from a checkpoint: a file, a run's folder, a pretrained name."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="So many steps and no more, in place of --epochs.", min=1)
    ] = None,
    freeze: Annotated[
        str | None, typer.Option(help="encoder: train circuit and head only. [default: nothing]")
    ] = None,
    shots_per_step: Annotated[
        int | None,
        typer.Option(help="Shots for one batch's values and gradient (parameter-shift, gate-shift).", min=1),
    ] = None,
    shot_allocation: Annotated[
        str | None, typer.Option(help="With --shots-per-step: even or proportional. [default: even]")
    ] = None,
    averages: Annotated[
        int | None, typer.Option(help="Random perturbations averaged (spsa). [default: 1]", min=1)
    ] = None,
    model_noise: Annotated[
        str | None,
        typer.Option(
            help="Noise of the model that gives the gradient, or none (physics-aware). [default: --noise]"
        ),
    ] = None,
    control_every: Annotated[
        int | None,
        typer.Option(help="Measure the gradient at every so many steps (physics-aware).", min=1),
    ] = None,
    log_gradient_variance: Annotated[
        bool | None, typer.Option("--log-gradient-variance", help="Note its variance after each epoch.")
    ] = None,
    layout: LayoutOption = None,
    mode: ModeOption = None,
    resilience: ResilienceOption = None,
    dynamical_decoupling: DecouplingOption = None,
    twirling: TwirlingOption = None,
    max_execution_s: MaxExecutionOption = None,
    job_tags: TagsOption = None,
    max_qpu_seconds: CeilingOption = None,
    max_executions: ExecutionsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the run. [default: runs/<time>-<circuit>-<dataset>]")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the network end to end; best and last checkpoints, metrics and figures go to a folder.

    Killed at any moment, a run goes on with --resume FOLDER and ends as if nothing had happened; on a
    quantum computer nothing is sent twice. There, take few small steps from a checkpoint: --checkpoint NAME
    --steps 10 --batch-size 4 --freeze encoder.
    """
    from sqdr_qiskit.specs.job import JobSpec

    here = locals()
    given = {option: here[name] for option, name in _JOB_OPTIONS.items() if here[name] is not None}
    if steps is not None and epochs is not None:
        raise ArgumentError("Option `--epochs` must be left out with --steps, which counts otherwise.")
    for option in ("--circuit", "--head/--no-head", "--angle-scale", "--initialisation"):
        if checkpoint is not None and option in given:
            raise ArgumentError(f"Option `{option}` must be left out with --checkpoint, which says it.")
    if resume is not None:
        ceilings = {
            _JOB_OPTIONS[o]: given.pop(o) for o in ("--max-qpu-seconds", "--max-executions") if o in given
        }
        for option in [*given, *(["--out"] if out is not None else [])]:
            raise ArgumentError(
                f"Option `{option}` must be left out with --resume, which goes on with what the run was "
                f"started with."
            )
        from sqdr_qiskit.jobs.training import job_of_run

        job = replace(job_of_run(resume), **ceilings)  # the one thing that may change on the way
    else:
        job = JobSpec.from_dict(
            {"task": "train", **{_JOB_OPTIONS[option]: value for option, value in given.items()}},
            where="options",
        )
    run = train_and_show(job, folder=resume or out, resume=resume is not None)
    show(run, as_json=as_json)


def show(run: TrainedRun, *, as_json: bool) -> None:
    """Print what came out of a run."""
    if as_json:
        print_json({"folder": str(run.folder), "record": run.record.to_dict(), "metrics": run.metrics})
    else:
        print_text(_summary(run))


def train_and_show(job: JobSpec, *, folder: Path | None, resume: bool) -> TrainedRun:
    """Carry a training out with progress on stderr, and draw its figures into its folder."""
    from sqdr_qiskit.jobs import carry_out_training
    from sqdr_qiskit.jobs.hardware import has_ledger
    from sqdr_qiskit.reports import confusion_figure, save_figure, training_curves

    with ExitStack() as stack:
        hardware = stack.enter_context(on_hardware(job.backend)) if has_ledger(job) else None
        progress = stack.enter_context(training_progress())
        run = carry_out_training(
            job,
            folder=folder,
            resume=resume,
            command=typed_command(),
            hardware=hardware,
            started=partial(_announce, job),
            progress=progress,
            download_progress=download_progress(),
        )
    title = f"{job.circuit}, {job.dataset}, recipe {run.record.inputs['recipe']['name']}, seed {job.seed}"
    save_figure(training_curves(run.metrics["history"], title=title), run.folder / "curves.png")
    test = run.metrics["test"]
    figure = confusion_figure(test["confusion"], run.class_names, title=f"{title}: test images")
    save_figure(figure, run.folder / "confusion.png")
    return run


def _announce(job: JobSpec, folder: Path, inputs: Mapping[str, Any]) -> None:
    from sqdr_qiskit.jobs.forecast import forecast_training
    from sqdr_qiskit.jobs.hardware import has_ledger

    data, recipe = inputs["data"], inputs["recipe"]
    print_note(
        f"run {folder}: {inputs['model']['circuit']['name']}, {inputs['n_parameters']} parameters, "
        f"{data['train']['images']} images of {data['name']}, {recipe['epochs']} epochs of recipe "
        f"{recipe['name']}"
    )
    forecast = forecast_training(job, inputs) if has_ledger(job) else None
    if forecast is not None:
        print_note(forecast.text())


def _summary(run: TrainedRun) -> str:
    results, test = run.record.results, run.metrics["test"]
    shares = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in results["shares"].items())
    validation = results["validation_accuracy"]
    chosen = (
        "no validation images: the last epoch"
        if validation is None
        else f"best validation accuracy {100 * validation:.2f} % in epoch {results['best_epoch']}"
    )
    return "\n".join(
        [
            f"test accuracy {100 * test['accuracy']:.2f} % on {test['n_images']} held-out images ({chosen})",
            f"{results['n_parameters']} parameters, {results['epochs']} epochs, "
            f"{results['samples_per_s']:,.0f} samples/s in training steps ({shares})",
            f"in {run.folder}: best.safetensors, last.safetensors, metrics.json, run.json, curves.png, "
            f"confusion.png",
        ]
    )
