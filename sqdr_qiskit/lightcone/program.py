"""Chains and tapes as the flat arrays that the kernel reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sqdr_qiskit.lightcone.operations import NormalForm
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.lightcone.sites import Chain
from sqdr_qiskit.lightcone.tape import TapeCode

__all__ = ["Program", "assemble"]

Table = NDArray[np.int64]


class Program(NamedTuple):
    """What `kernels.evaluate` reads, in the order of its arguments; the columns are described there."""

    chains: Table
    steps: Table
    entries: RealArray
    start: RealArray
    tapes: Table
    code: NDArray[np.int32]
    coefficients: RealArray
    outputs: Table
    leaves: Table
    slots: Table
    slopes: RealArray
    parameters: Table
    n_tangents: int
    n_rows: int
    n_local: int


def assemble(form: NormalForm, chains: Sequence[Chain], codes: Sequence[TapeCode]) -> Program:
    """Lay out the chains that some tape reads, and the tapes, equal ones once.

    Args:
        form: The circuit, for the slopes of its angles along its parameters.
        chains: Under the numbers that the tapes' leaves name.
        codes: One tape for each output.
    """
    used = sorted({chain for code in codes for chain, _ in code.leaves})
    chain_rows, steps, entries = _chain_tables([chains[number] for number in used])
    tape_rows: list[tuple[int, ...]] = []
    written: list[TapeCode] = []
    numbers: dict[bytes, int] = {}
    outputs: list[tuple[int, ...]] = []
    leaves: list[tuple[int, int]] = []
    slots: list[tuple[int, ...]] = []
    slopes: list[float] = []
    parameters: list[int] = []
    n_instructions = 0
    for code in codes:
        key = (
            code.code.tobytes() + code.coefficients.tobytes() + str((len(code.leaves), code.result)).encode()
        )
        if key not in numbers:
            numbers[key] = len(written)
            end = n_instructions + len(code.code)
            tape_rows.append((n_instructions, end, len(code.leaves), code.n_rows, code.result))
            n_instructions = end
            written.append(code)
        first = (numbers[key], len(leaves), len(slots), len(parameters))
        places = {chain: used.index(chain) for chain, _ in code.leaves}
        leaves += [(places[chain], component) for chain, component in code.leaves]
        columns: dict[int, int] = {}
        found = []
        for row, (chain, component) in enumerate(code.leaves):
            for tangent, angle in enumerate(chains[chain].angles, start=chain_rows[places[chain]][2]):
                for column in np.flatnonzero(form.coefficients[angle]).tolist():
                    local = columns.setdefault(column, len(columns))
                    found.append(((row, tangent, component, local), float(form.coefficients[angle, column])))
        found.sort(key=lambda item: item[0][3])
        slots += [slot for slot, _ in found]
        slopes += [slope for _, slope in found]
        parameters += list(columns)
        outputs.append((first[0], first[1], first[2], len(slots), first[3], len(parameters)))
    return Program(
        chains=_table(chain_rows, 3),
        steps=_table(steps, 3),
        entries=np.array(entries, dtype=np.float64).reshape(-1, 3),
        start=np.array([chains[number].start for number in used], dtype=np.float64).reshape(-1, 4),
        tapes=_table(tape_rows, 5),
        code=np.concatenate([np.zeros((0, 4), np.int32), *(code.code for code in written)]),
        coefficients=np.concatenate([np.zeros(0), *(code.coefficients for code in written)]),
        outputs=_table(outputs, 6),
        leaves=_table(leaves, 2),
        slots=_table(slots, 4),
        slopes=np.array(slopes, dtype=np.float64),
        parameters=np.array(parameters, dtype=np.int64),
        n_tangents=sum(len(chains[number].angles) for number in used),
        n_rows=max((code.n_rows for code in written), default=0),
        n_local=max((row[5] - row[4] for row in outputs), default=0),
    )


def _chain_tables(
    chains: Sequence[Chain],
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]], list[tuple[float, float, float]]]:
    rows: list[tuple[int, int, int]] = []
    steps: list[tuple[int, int, int]] = []
    entries: list[tuple[float, float, float]] = []
    n_tangents = 0
    for chain in chains:
        rows.append((len(steps), len(steps) + len(chain.steps), n_tangents))
        n_tangents += len(chain.angles)
        for step in chain.steps:
            if isinstance(step, tuple):
                steps.append((step[0], step[1], int(step[2])))
                continue
            begin = len(entries)
            shifted = 3 if step[3, 0] else 0
            rest = step - np.diag(np.diag(step))
            rest[shifted, 3 - shifted] = 0.0
            if step[0, 0] == 1.0 and not rest.any():
                entries += [(step[1, 1], step[2, 2], step[3, 3]), (step[shifted, 3 - shifted], 0.0, 0.0)]
                steps.append((-1, begin, shifted))
            else:
                entries += [(float(r), float(c), float(step[r, c])) for r, c in np.argwhere(step != 0.0)]
                steps.append((0, begin, len(entries)))
    return rows, steps, entries


def _table(rows: Sequence[tuple[int, ...]], width: int) -> Table:
    return np.array(rows, dtype=np.int64).reshape(-1, width)
