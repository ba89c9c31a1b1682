"""`sqdr-qiskit transpile`: what circuits become on devices, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import going_on, out_option, typed_command
from sqdr_qiskit.errors import ArgumentError, StorageError

__all__ = ["transpile"]


def transpile(
    more: Annotated[
        list[str] | None,
        typer.Argument(help="More circuits and devices, after --circuit A or --backend B.", metavar="NAME"),
    ] = None,
    *,
    circuits: Annotated[
        list[str] | None,
        typer.Option("--circuit", help="A catalogue name, <b>b-<n>q, or a TOML file. [default: 2b-9q]"),
    ] = None,
    qasm: Annotated[
        list[Path] | None,
        typer.Option("--qasm", help="An OpenQASM 2 or 3 file; may be repeated.", metavar="FILE"),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            help="A device's snapshot, fake_<device>, or a device of your account, ibm_<device>. "
            "[default: fake_brisbane]",
        ),
    ] = None,
    n_seeds: Annotated[int, typer.Option("--seeds", help="Seeds of the transpiler to try.", min=1)] = 4,
    out: Annotated[
        Path, out_option("Folder for report.html, report.md, report.json and the circuits.", True)
    ] = Path("runs/transpile"),
    choose: Annotated[
        Path | None,
        typer.Option(
            help="Write the winning layout to this file, FILE.toml, which infer, evaluate and train take as "
            "--layout; one circuit, one device."
        ),
    ] = None,
    mitigation: Annotated[
        bool,
        typer.Option(
            "--mitigation", help="Rehearse error mitigation for each winner: error against quantum seconds."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Lay circuits out on devices, tiled and whole, at every optimisation level; say which layout wins.

    At level 3 it is laid out as Qiskit alone writes it too, with Rots not fused, with a line instead of the
    ring and without the last entangling layer. Every transpiled circuit is compared with its source before it
    is counted. The winner of each circuit and device is written as QPY and OpenQASM 3.
    """
    print_note("loading Qiskit")
    from sqdr_qiskit import records
    from sqdr_qiskit.devices.study import choose_layout, require_layout_path
    from sqdr_qiskit.jobs.transpile_report import catalogue_source, qasm_source, study_circuits
    from sqdr_qiskit.reports.transpile_page import transpile_markdown, transpile_page
    from sqdr_qiskit.reports.transpile_tables import (
        changes_table,
        mitigation_table,
        mitigation_words,
        transpile_table,
        verdicts,
    )

    names, devices = _sorted_out(circuits or [], backends or [], more or [], default=not qasm)
    if choose is not None:
        require_layout_path(choose)
        n_circuits = len(names) + len(qasm or [])
        if (n_circuits, len(devices)) != (1, 1):
            raise ArgumentError(
                "Option `--choose` must come with one circuit and one device, but there are "
                f"{n_circuits} and {len(devices)}."
            )
    sources = [*map(catalogue_source, names), *map(qasm_source, qasm or [])]
    with going_on(lambda: None), Progress("transpiling", unit="circuits") as bar:
        studied = study_circuits(
            sources, devices, seeds=range(n_seeds), progress=lambda done, total: bar.update(done, total=total)
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {str(out)!r} cannot be made: {error.strerror or error}.") from error
    record = {
        "subtitle": f"{', '.join(studied.sources)} on {', '.join(studied.chips)}, seeds 0 to {n_seeds - 1}",
        **studied.record(out, mitigation=mitigation),
        "made_by": {
            "command": " ".join(records.public_command(typed_command())),
            "seeds": f"0 to {n_seeds - 1}",
            **{
                f"{name} calibrated": chip.calibrated or "at an unknown time"
                for name, chip in studied.chips.items()
            },
            **records.versions(("sqdr-qiskit", "qiskit", "qiskit-ibm-runtime")),
        },
    }
    records.write_text(out / "report.html", transpile_page(record))
    records.write_text(out / "report.md", transpile_markdown(record))
    records.write_json(out / "report.json", record)
    if choose is not None:
        ((pair, best),) = studied.winners.items()
        choice = choose_layout(
            best, studied.sources[pair[0]], studied.chips[pair[1]], command=typed_command()
        )
        records.write_text(choose, choice.text())
    if as_json:
        print_json(record)
        return
    for said in verdicts(record["rows"], record["same"]):
        own = [r for r in record["rows"] if (r["circuit"], r["device"]) == (said.circuit, said.device)]
        print_text(transpile_table(own, title=f"{said.circuit} on {said.device}").text())
        print_text(changes_table(own, title="one change at a time, level 3").text())
        for what, words in said.lines:
            print_text(f"{what}: {words}")
        print_text("")
    for chosen in record["chosen"]:
        if chosen["mitigation"]:
            title = f"{chosen['circuit']} on {chosen['device']}, {chosen['layout']}"
            budget = chosen["mitigation_budget_s"]
            print_text(f"{title}:\n{mitigation_table(chosen['mitigation'], budget).text().rstrip()}")
            print_text(f"{mitigation_words(chosen['mitigation'], budget)}\n")
    for line in studied.refused:
        print_note(f"left out: {line}")
    n_files = sum(len(chosen["files"]) for chosen in record["chosen"])
    if choose is not None:
        print_text(f"layout in {choose}: {choice.title}")
    print_text(f"in {out}: report.html, report.md, report.json, and {n_files} files of the winners' circuits")


def _sorted_out(
    circuits: list[str], devices: list[str], more: list[str], *, default: bool
) -> tuple[list[str], list[str]]:
    """Circuits and devices of a command line, each once; fake_... and what IBM has is a device."""
    from sqdr_qiskit.devices.names import is_hardware

    names = list(circuits)
    chosen = list(devices)
    for word in more:
        (chosen if word.startswith("fake_") or is_hardware(word) else names).append(word)
    if not names and default:
        names = ["2b-9q"]
    return list(dict.fromkeys(names)), list(dict.fromkeys(chosen or ["fake_brisbane"]))
