"""`sqdr-qiskit noise`: what a noise model does, and noise models from a device's calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, on_hardware, print_json, print_note, print_text
from sqdr_qiskit.cli.options import HelpCommand, out_option
from sqdr_qiskit.errors import ArgumentError, SpecError, UnsupportedError
from sqdr_qiskit.records import require_place
from sqdr_qiskit.specs.device import COHERENT, DeviceSnapshot
from sqdr_qiskit.specs.noise import NoiseSpec, noise_spec

__all__ = ["app", "from_device", "learn", "show"]

app = typer.Typer(help="Look into noise models; make them from a device's calibration.", no_args_is_help=True)

_CIRCUIT = "2b-9q"


@app.command(cls=HelpCommand)
def show(
    name: Annotated[str, typer.Argument(help="A catalogue name, or the path of a TOML file.")],
    *,
    circuit: Annotated[
        str | None,
        typer.Option(help=f"Circuit whose gates' composed errors are shown.  [default: {_CIRCUIT}]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print Kraus operators, completeness, transfer matrices and fidelities of a noise model."""
    spec = noise_spec(name)
    facts = _facts(spec, circuit)
    if as_json:
        print_json(facts)
    else:
        print_text(_page(spec, facts))


@app.command("from-device", cls=HelpCommand)
def from_device(
    device: Annotated[str, typer.Argument(help="A device's snapshot, such as fake_brisbane.")],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to.", show_default="DEVICE.toml")
    ] = None,
    median: Annotated[
        bool, typer.Option("--median", help="One noise for all qubits, for circuits that are not transpiled.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a device's calibration as a noise model."""
    from importlib.metadata import version

    from sqdr_qiskit.devices.chip import fake_backend
    from sqdr_qiskit.noise_models.calibration import median_noise, snapshot
    from sqdr_qiskit.records import write_text
    from sqdr_qiskit.specs.noise import noise_text

    path = output or Path(f"{device.replace('_', '-')}{'-median' if median else ''}.toml")
    if path.suffix != ".toml":
        raise ArgumentError(f"Option `--output` must end in .toml, but is {str(path)!r}.")
    _require_new(path, force)
    calibration = snapshot(fake_backend(device))
    package = f"qiskit-ibm-runtime {version('qiskit-ibm-runtime')}"
    source = f"{package}, snapshot {device}, calibrated {calibration.calibrated}"
    if median:
        spec = median_noise(calibration, name=path.stem, source=source)
    else:
        title = f"{device}: {calibration.n_qubits} qubits, calibrated {calibration.calibrated}"
        spec = NoiseSpec(path.stem, title, source, device=calibration)
    write_text(path, noise_text(spec))
    if as_json:
        facts = {"file": str(path), "device": device, "calibrated": calibration.calibrated}
        print_json({**facts, "n_qubits": calibration.n_qubits, "median": median})
    else:
        print_text(f"Wrote {path}: {spec.title}.")


@app.command(cls=HelpCommand)
def learn(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of inferences on one device (infer --backend ... --out FOLDER).", metavar="RUN"
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to.", show_default="DEVICE-learnt.toml")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file and its page.")] = False,
    probe_seconds: Annotated[
        float | None,
        typer.Option(
            help="Quantum seconds for probes on the runs' device, with angles that tell most.", min=0.0
        ),
    ] = None,
    out: Annotated[
        Path | None, out_option("Folder of the probes, with their ledger; needed with them.", False)
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the probes of this folder.", metavar="FOLDER")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn a device's noise from what runs measured on it; nothing is sent unless probes are asked for.

    The calibration is corrected by maximum likelihood, with uncertainties; what the data cannot tell stays as
    it was. The file is a noise model like any other: `--backend fake_<device> --noise FILE`. A page beside it
    shows measured against predicted values, and whether the fit can be relied on.
    """
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.jobs.noise_learning import learn_from_runs, planned_probes
    from sqdr_qiskit.records import versions, write_text
    from sqdr_qiskit.reports.device_pages import learnt_noise_page, learnt_noise_text
    from sqdr_qiskit.specs.noise import noise_text

    if output is not None and output.suffix != ".toml":
        raise ArgumentError(f"Option `--output` must end in .toml, but is {str(output)!r}.")
    if output is not None:
        _require_new(output, force)
        _require_new(output.with_suffix(".html"), force)
    probes = _probed(runs or [], probe_seconds, out, resume)
    if resume is not None:
        runs = [Path(run) for run in planned_probes(resume)["runs"]]
    found = learn_from_runs(runs or [], probes=probes)
    path = output or Path(f"{found.backend.replace('_', '-')}-learnt.toml")
    page = path.with_suffix(".html")
    _require_new(path, force)
    _require_new(page, force)
    spec = found.spec(path.stem)
    facts = {"file": str(path), "page": str(page), **found.facts()}
    write_text(path, noise_text(spec))
    held_out, made_by = found.noise.held_out.tolist(), {"command": spec.source, **versions()}
    write_text(page, learnt_noise_page({**facts, "held_out": held_out, "made_by": made_by}))
    if as_json:
        print_json(facts)
    else:
        print_text(f"{learnt_noise_text(facts)}\nWrote {path} and {page}: {spec.title}.")


def _require_new(path: Path, force: bool) -> None:
    """Refuse a file that stands there already, unless it may be overwritten, or that cannot be written."""
    if path.exists() and not force:
        raise ArgumentError(f"File {str(path)!r} exists already; give another `--output`, or `--force`.")
    require_place(path)


def _probed(runs: list[Path], seconds: float | None, out: Path | None, resume: Path | None) -> Path | None:
    """Choose and send the probes that are asked for, or go on with them; their folder."""
    if resume is not None:
        if runs or seconds is not None or out is not None:
            raise ArgumentError(
                "Option `--resume` must be given alone: the folder says which runs and how many seconds."
            )
    elif not runs:
        raise ArgumentError("Argument `runs` must name at least one run's folder, or `--resume` the probes'.")
    elif (seconds is None) != (out is None):
        raise ArgumentError("Options `--probe-seconds` and `--out` must be given together, but one is.")
    folder = resume or out
    if folder is None:
        return None
    from sqdr_qiskit.jobs.noise_learning import plan_probes, planned_probes, send_probes

    if seconds is not None:
        print_note("choosing probes")
        plan_probes(runs, seconds, folder)
    plan = planned_probes(folder)
    if "expectations" not in plan:
        print_note(
            f"{len(plan['values'])} probes for {plan['backend']}, at most {plan['max_qpu_seconds']:g} s of "
            f"quantum time; cut short, `noise learn --resume {folder}` goes on"
        )
        with on_hardware(str(plan["backend"])) as hardware:
            send_probes(folder, hardware)
    return folder


def _facts(spec: NoiseSpec, circuit: str | None) -> dict[str, Any]:
    from sqdr_qiskit.circuits import build_circuit
    from sqdr_qiskit.noise_models import describe_channels
    from sqdr_qiskit.noise_models.aer_model import describe_gates
    from sqdr_qiskit.noise_models.build import build_noise_model, with_places

    facts: dict[str, Any] = {"name": spec.name, "title": spec.title, "source": spec.source}
    if spec.device is not None and circuit is None:
        return {**facts, "device": _device_facts(spec.device)}
    facts["channels"] = describe_channels(spec)
    facts["readout"] = [
        {"p01": r.p01, "p10": r.p10, "qubits": None if r.qubits is None else list(r.qubits)}
        for r in spec.readout
    ]
    facts["circuit"] = circuit or _CIRCUIT
    try:
        model_circuit = with_places(build_circuit(facts["circuit"]).circuit, spec.places)
        facts["gates"] = describe_gates(build_noise_model(spec, model_circuit), model_circuit)
    except (SpecError, UnsupportedError) as error:
        if circuit is not None:
            raise
        facts["does_not_fit"] = str(error)  # nobody asked for this circuit
    return facts


def _device_facts(device: DeviceSnapshot) -> dict[str, Any]:
    from statistics import median

    columns = {"t1_us": device.t1_us, "t2_us": device.t2_us, "p01": device.p01, "p10": device.p10}
    known = {key: [value for value in values if value is not None] for key, values in columns.items()}
    return {
        "name": device.name,
        "calibrated": device.calibrated,
        "n_qubits": device.n_qubits,
        "medians": {key: median(values) for key, values in known.items() if values},
        "median_gate_errors": {name: device.median_error(name) for name in device.gate_names()},
        "learnt": list(device.learnt),
        "rotations": {
            kind: [[*pair, angle] for pair, angle in device.angles(kind).items()] for kind in COHERENT
        },
    }


def _page(spec: NoiseSpec, facts: dict[str, Any]) -> str:
    lines = _device_lines(facts["device"]) if "device" in facts else _channel_lines(facts)
    return "\n".join([f"{spec.name}: {spec.title}", f"Source: {spec.source}", *lines])


def _device_lines(device: dict[str, Any]) -> list[str]:
    head = f"{device['name']}: {device['n_qubits']} qubits, calibrated {device['calibrated']}"
    lines = ["", head, "", "Medians:"]
    lines += [f"  {key:<10}{value:>12.5g}" for key, value in device["medians"].items()]
    lines += ["", "Median gate errors (average infidelity):"]
    for name, error in device["median_gate_errors"].items():
        lines.append(f"  {name:<10}{'unknown' if error is None else format(error, '.4g'):>12}")
    if device["learnt"]:
        lines += ["", f"Learnt on qubits {', '.join(map(str, device['learnt']))}."]
    for kind, turned in device["rotations"].items():
        if turned:
            lines += ["", f"Pairs that turn too far ({kind}, mrad):"]
            lines += [f"  {f'{a}-{b}':<10}{1e3 * angle:>12.3g}" for a, b, angle in turned]
    return lines


def _channel_lines(facts: dict[str, Any]) -> list[str]:
    lines = []
    for channel in facts["channels"]:
        lines += ["", f"{channel['description']} after {', '.join(channel['after'])}{_where(channel)}"]
        for number, operator in enumerate(channel["kraus"]):
            lines += _labelled(f"  K{number} = ", [[complex(*entry) for entry in row] for row in operator])
        lines.append(f"  |sum K^dagger K - 1| = {channel['completeness_error']:.1e}")
        lines += _labelled("  Pauli transfer matrix = ", channel["pauli_transfer_matrix"])
        lines.append(f"  average gate fidelity = {channel['average_gate_fidelity']:.6f}")
    for readout in facts["readout"]:
        qubits = "all qubits" if readout["qubits"] is None else f"qubits {readout['qubits']}"
        told = f"1 for |0> with {readout['p01']:g}, 0 for |1> with {readout['p10']:g}"
        lines += ["", f"Readout of {qubits}: {told}"]
    if "does_not_fit" in facts:
        lines += ["", f"Not on {facts['circuit']}: {facts['does_not_fit']}"]
    for gate in facts.get("gates", []):
        places = ", ".join("-".join(map(str, qubits)) for qubits in gate["qubits"])
        lines += ["", f"All that follows `{gate['gate']}` of {facts['circuit']} (qubits {places}):"]
        for number, matrix in enumerate(gate.get("on_each_qubit", [gate["pauli_transfer_matrix"]])):
            which = f" on its qubit {number}" if "on_each_qubit" in gate else ""
            lines += _labelled(f"  Pauli transfer matrix{which} = ", matrix)
        lines.append(f"  average gate fidelity = {gate['average_gate_fidelity']:.6f}")
    return lines


def _where(channel: dict[str, Any]) -> str:
    places = (f", on {kind} {channel[kind]}" for kind in ("qubits", "pairs") if channel[kind] is not None)
    return next(places, "")


def _labelled(label: str, matrix: list[list[complex]] | list[list[float]]) -> list[str]:
    """A matrix with its name before the first row."""
    texts = [[_number(entry) for entry in row] for row in matrix]
    width = max(len(text) for row in texts for text in row)
    rows = ["[" + "  ".join(text.rjust(width) for text in row) + "]" for row in texts]
    return [(label if i == 0 else " " * len(label)) + row for i, row in enumerate(rows)]


def _number(value: complex | float) -> str:
    value = complex(value)
    if value.imag == 0.0:
        return f"{value.real:.5g}"
    return f"{value.imag:.5g}i" if value.real == 0.0 else f"{value.real:.5g}{value.imag:+.5g}i"
