"""From what `transpile` found to a layout file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sqdr_qiskit import records
from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.chosen import compile_as_chosen
from sqdr_qiskit.devices.layout_file import digest_of
from sqdr_qiskit.devices.programs import DeviceProgram
from sqdr_qiskit.devices.study import Finding, Source, compile_task
from sqdr_qiskit.errors import ArgumentError, BackendError
from sqdr_qiskit.specs.layout import LAYOUTS, LayoutSpec

__all__ = ["choose_layout", "require_layout_path", "write_layout"]


def choose_layout(finding: Finding, source: Source, chip: Chip, *, command: Sequence[str] = ()) -> LayoutSpec:
    """The layout that a finding is of, compiled again and found to be the same.

    Args:
        finding: One of layout `tiled` or `whole`.
        source: Its circuit.
        chip: Its device.
        command: The words typed.

    Raises:
        ArgumentError: The finding is of another layout, or of a variation of the circuit.
        BackendError: Compiled again, the circuit stands elsewhere (a fault of this package).
    """
    task = finding.task
    if task.layout not in LAYOUTS:
        raise ArgumentError(f"Argument `finding` must be {' or '.join(LAYOUTS)}, but is `{task.layout}`.")
    if task.variation:
        raise ArgumentError(
            "Argument `finding` must be of the circuit as given, but is of variation "
            f"`{task.variation}`, which is another."
        )
    layout: Literal["tiled", "whole"] = "tiled" if task.layout == "tiled" else "whole"
    program = compile_task(source, chip, task)
    if not isinstance(program, DeviceProgram) or program.lines != finding.lines:
        raise BackendError(f"{source.name} on {chip.name}, compiled again, stands on other qubits.")
    choice = LayoutSpec(
        circuit=source.name,
        digest=digest_of(source.circuit, source.observables),
        device=chip.name,
        layout=layout,
        lines=program.lines,
        two_qubit_gates=program.two_qubit_gates,
        calibrated=chip.calibrated,
        level=task.level,
        seed=task.seed,
        initial=program.initial or None,
        success=finding.success,
        title=f"{source.name} on {chip.name}, {layout}: {100 * finding.success:.1f} % success of an output",
        source=" ".join(records.public_command(command)) or "sqdr_qiskit.devices.choosing.choose_layout",
        versions=records.versions(("sqdr-qiskit", "qiskit", "qiskit-ibm-runtime")),
    )
    compile_as_chosen(source.circuit, list(source.observables), chip, choice)
    return choice


def require_layout_path(path: str | os.PathLike[str]) -> None:
    """Refuse a name that `--layout` would not take for a layout file.

    Raises:
        ArgumentError: It does not end in `.toml`.
    """
    if Path(path).suffix != ".toml":
        raise ArgumentError(f"Option `--choose` must name a file FILE.toml, but is `{os.fspath(path)}`.")


def write_layout(choice: LayoutSpec, path: str | os.PathLike[str]) -> Path:
    """Write a layout file atomically.

    Raises:
        StorageError: It cannot be written.
    """
    return records.write_text(path, choice.text())
