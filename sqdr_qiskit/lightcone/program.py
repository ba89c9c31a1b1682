"""Chains and tapes as the flat arrays that the kernel reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqdr_qiskit.lightcone.operations import NormalForm
from sqdr_qiskit.lightcone.sites import Chain
from sqdr_qiskit.lightcone.tape import TapeCode

__all__ = ["Program", "assemble"]


@dataclass(frozen=True, eq=False)
class Program:
    """What `kernels.evaluate` reads, in the order of its arguments."""

    arrays: tuple[Any, ...]


def assemble(form: NormalForm, chains: Sequence[Chain], codes: Sequence[TapeCode]) -> Program:
    """Lay out the chains that some tape reads, and the tapes, equal ones once."""
    used = sorted({chain for code in codes for chain, _ in code.leaves})
    number = {chain: i for i, chain in enumerate(used)}
    chain_rows, steps, entries, tangents = [], [], [], 0
    first_tangent = []
    for chain in (chains[i] for i in used):
        chain_rows.append((len(steps), len(steps) + len(chain.steps), tangents))
        first_tangent.append(tangents)
        tangents += len(chain.angles)
        for step in chain.steps:
            if isinstance(step, tuple):
                steps.append((step[0], step[1], int(step[2])))
            else:
                begin = len(entries)
                entries += [(float(r), float(c), step[r, c]) for r, c in np.argwhere(step != 0.0)]
                steps.append((0, begin, len(entries)))

    tapes: dict[bytes, int] = {}
    tape_rows, code, coefficients = [], [], []
    outputs, leaves, slots, slopes, parameters = [], [], [], [], []
    n_local = 0
    for tape in codes:
        key = tape.code.tobytes() + tape.coefficients.tobytes() + bytes([tape.result + 1 > 0])
        if tape.result < 0:  # a known number: an empty tape whose one row the kernel never fills
            outputs.append((_empty(tapes, tape_rows), len(leaves), len(slots), len(slots), 0, 0))
            continue
        if key not in tapes:
            tapes[key] = len(tape_rows)
            begin = sum(len(c) for c in code)
            tape_rows.append((begin, begin + len(tape.code), len(tape.leaves), tape.n_rows, tape.result))
            code.append(tape.code)
            coefficients.append(tape.coefficients)
        first_leaf, first_slot, first_parameter = len(leaves), len(slots), len(parameters)
        columns: dict[int, int] = {}
        found = []
        for row, (chain, component) in enumerate(tape.leaves):
            leaves.append((number[chain], component))
            for k, angle in enumerate(chains[chain].angles):
                for column in np.flatnonzero(form.coefficients[angle]):
                    place = columns.setdefault(int(column), len(columns))
                    slot = (row, first_tangent[number[chain]] + k, component, place)
                    found.append((place, slot, form.coefficients[angle, column]))
        found.sort(key=lambda item: item[0])
        slots += [slot for _, slot, _ in found]
        slopes += [slope for _, _, slope in found]
        parameters += list(columns)
        n_local = max(n_local, len(columns))
        outputs.append(
            (tapes[key], first_leaf, first_slot, len(slots), first_parameter, first_parameter + len(columns))
        )
    start = np.array([chains[i].start for i in used]).reshape(-1, 4)
    return Program(
        (
            _table(chain_rows, 3),
            _table(steps, 3),
            np.array(entries, dtype=np.float64).reshape(-1, 3),
            start,
            _table(tape_rows, 5),
            np.concatenate(code) if code else np.zeros((0, 4), np.int32),
            np.concatenate(coefficients) if coefficients else np.zeros(0),
            _table(outputs, 6),
            _table(leaves, 2),
            _table(slots, 4),
            np.array(slopes, dtype=np.float64),
            np.array(parameters, dtype=np.int64),
            tangents,
            max((row[3] for row in tape_rows), default=1),
            max(n_local, 1),
        )
    )


def _empty(tapes: dict[bytes, int], tape_rows: list[tuple[int, int, int, int, int]]) -> int:
    if b"" not in tapes:
        tapes[b""] = len(tape_rows)
        tape_rows.append((0, 0, 0, 1, -1))
    return tapes[b""]


def _table(rows: Sequence[tuple[int, ...]], width: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(rows, dtype=np.int64).reshape(-1, width)
