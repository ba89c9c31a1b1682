"""`sqdr-qiskit catalog`: what circuits, noise models and jobs there are, and what is in them."""

from __future__ import annotations

import difflib
import shutil
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from sqdr_qiskit import catalog
from sqdr_qiskit.cli.console import JsonOption, print_json, print_text
from sqdr_qiskit.cli.options import HelpCommand
from sqdr_qiskit.errors import ArgumentError, CatalogError, SpecError
from sqdr_qiskit.specs.job_file import read_job
from sqdr_qiskit.specs.noise import noise_spec

__all__ = ["app", "export", "list_all", "show"]

app = typer.Typer(help="List, show and export circuits, noise models and jobs.", invoke_without_command=True)

_HEADINGS = {"circuits": "Circuits", "noise_models": "Noise models", "jobs": "Jobs"}
_PATTERN = "<b>b-<n>q"


@app.callback()
def list_all(context: typer.Context, *, as_json: JsonOption = False) -> None:
    """List circuits, noise models and jobs; `show` says more about one."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise ArgumentError(
                "Option `--json` must stand after the name of the sub-command, but stands before it."
            )
        return
    titles = {kind: {name: _title(kind, name) for name in catalog.list_names(kind)} for kind in catalog.KINDS}
    if as_json:
        print_json(titles)
        return
    width = max([len(_PATTERN), *(len(name) for entries in titles.values() for name in entries)]) + 2
    for kind, entries in titles.items():
        print_text(f"{_HEADINGS[kind]}:")
        for name, title in entries.items():
            print_text(f"  {name:<{width}}{title}")
        if kind == "circuits":
            print_text(f"  {_PATTERN:<{width}}Data re-uploading, any number of blocks and qubits, CZ ring")
        print_text("")
    print_text("`sqdr-qiskit catalog show NAME` says more about one of them.")


@app.command(cls=HelpCommand)
def show(
    name: Annotated[str, typer.Argument(help="A catalogue name, or the path of a TOML file.")],
    *,
    n_channels: Annotated[int, typer.Option("--channels", help="Channels of an image.")] = 1,
    n_classes: Annotated[int, typer.Option("--classes", help="Classes to tell apart.")] = 10,
    head: Annotated[bool, typer.Option(help="Count the linear head.")] = True,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print the file, to begin one of your own with.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draw a circuit and count its parts and the whole model's parameters; print a noise model or a job."""
    kind, path = _find(name)
    if as_toml:
        if as_json:
            raise ArgumentError("Option `--toml` must be left out with `--json`, which prints an object.")
        print_text(_circuit_toml(name) if path is None else path.read_text(encoding="utf-8").rstrip())
        return
    if kind == "circuits":
        facts, drawing = _circuit_facts(name, n_channels=n_channels, n_classes=n_classes, head=head)
        if as_json:
            print_json(facts)
        else:
            print_text(drawing)
            print_text("")
            print_text(_circuit_text(facts))
        return
    assert path is not None
    if kind == "jobs":  # what cannot be read is not shown as if it could
        read_job(path)
    else:
        noise_spec(str(path))
    text = path.read_text(encoding="utf-8")
    if as_json:
        print_json({"name": path.stem, "catalogue": kind, "content": tomllib.loads(text)})
    else:
        print_text(text.rstrip())


@app.command(cls=HelpCommand)
def export(
    name: Annotated[str, typer.Argument(help="A circuit's catalogue name, or the path of its TOML file.")],
    file: Annotated[Path, typer.Argument(help="Where to: a name ending in .qasm (OpenQASM 3) or .qpy.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a circuit with its parameters as OpenQASM 3 or QPY."""
    from sqdr_qiskit.circuits import build_circuit
    from sqdr_qiskit.circuits.formats import export_circuit
    from sqdr_qiskit.records import digest_file

    model = build_circuit(name)
    export_circuit(model, file)
    if as_json:
        print_json({"circuit": model.name, "file": str(file), "sha256": digest_file(file)})
    else:
        print_text(f"Wrote {model.name} to {file}.")


def _find(name: str) -> tuple[catalog.CatalogKind, Path | None]:
    """The kind of thing that a name means, and its file if it has one."""
    from sqdr_qiskit.specs.circuit import CIRCUIT_KIND_NAMES, circuit_spec

    if catalog.is_path(name):
        path = catalog.find("circuits", name)
        kind = _kind_in(path)
        if kind in CIRCUIT_KIND_NAMES:
            return "circuits", path
        return ("jobs" if kind == "job" else "noise_models"), path
    others: tuple[catalog.CatalogKind, ...] = ("noise_models", "jobs")
    for other in others:
        if name in catalog.list_names(other) and name not in catalog.list_names("circuits"):
            return other, catalog.find(other, name)
    try:
        circuit_spec(name)
    except CatalogError as error:
        known = [known for kind in others for known in catalog.list_names(kind)]
        close = difflib.get_close_matches(name, known, n=1)
        if close:
            raise CatalogError(f"There is nothing called {name!r}; did you mean {close[0]!r}?") from error
        raise
    return "circuits", None


def _circuit_toml(name: str) -> str:
    """The file of a circuit that is known by its name; one is written for a name of the pattern."""
    from sqdr_qiskit.specs.circuit import circuit_spec, circuit_toml

    if name in catalog.list_names("circuits"):
        return catalog.find("circuits", name).read_text(encoding="utf-8").rstrip()
    return circuit_toml(circuit_spec(name)).rstrip()


def _kind_in(path: Path) -> str:
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8")).get("kind", ""))
    except (ValueError, RecursionError) as error:  # numbers of 10,000 digits, and too deep, among them
        why = str(error).rstrip(".") or "it is nested too deeply"
        raise SpecError(f"{path.name}: is not valid TOML: {why}.") from error


def _title(kind: catalog.CatalogKind, name: str) -> str:
    with catalog.find(kind, name).open("rb") as file:
        return str(tomllib.load(file).get("title", ""))


def _circuit_facts(name: str, *, n_channels: int, n_classes: int, head: bool) -> tuple[dict[str, Any], str]:
    """Counts of a circuit and of the model around it, and the circuit's drawing."""
    from sqdr_qiskit.circuits import build_circuit
    from sqdr_qiskit.specs.circuit import parameter_counts

    model = build_circuit(name)
    facts = {
        **model.spec.to_dict(),
        "n_features": model.n_features,
        "n_weights": model.n_weights,
        "n_outputs": model.n_outputs,
        "n_gates": model.circuit.size(),
        "gates": dict(model.circuit.count_ops()),
        "depth": model.circuit.depth(),
        "n_channels": n_channels,
        "n_classes": n_classes,
        "parameters": parameter_counts(
            n_features=model.n_features,
            n_weights=model.n_weights,
            n_outputs=model.n_outputs,
            n_channels=n_channels,
            n_classes=n_classes,
            head=head,
        ),
    }
    width = shutil.get_terminal_size((110, 24)).columns
    return facts, str(model.circuit.draw("text", fold=width))


def _circuit_text(facts: dict[str, Any]) -> str:
    """The counts as a page."""
    gates = ", ".join(f"{count} {gate}" for gate, count in sorted(facts["gates"].items()))
    lines = [
        f"{facts['name']}: {facts['title']}",
        f"Source: {facts['source']}",
        "",
        f"  qubits           {facts['n_qubits']:>6}",
        f"  blocks           {facts['n_blocks']:>6}",
        f"  gates            {facts['n_gates']:>6}   ({gates})",
        f"  depth            {facts['depth']:>6}",
        f"  features         {facts['n_features']:>6}",
        f"  circuit weights  {facts['n_weights']:>6}",
        f"  outputs          {facts['n_outputs']:>6}",
        "",
        f"Trainable parameters of the model ({facts['n_channels']} channels, {facts['n_classes']} classes):",
        "",
    ]
    lines += [f"  {part.replace('_', ' '):<15}{count:>8}" for part, count in facts["parameters"].items()]
    return "\n".join(lines)
