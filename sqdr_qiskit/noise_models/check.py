"""Does a noise file fit a circuit, and does it do anything? Asked once, before anything long starts."""

from __future__ import annotations

import difflib

from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.errors import SpecError
from sqdr_qiskit.noise_models.places import gate_key
from sqdr_qiskit.specs.noise import GROUPS, PLACES, NoiseSpec

__all__ = ["check_gates"]


def check_gates(spec: NoiseSpec, circuit: QuantumCircuit) -> None:
    """Refuse a noise file whose noise would miss.

    Each gate and each group of gates (`all_gates`, ...) that the file names must be in the circuit, and so
    must at least one of its places if it names nothing else (a ring of an even number of qubits, say, has
    none that idles).

    Args:
        spec: The noise file.
        circuit: The circuit, with markers at the places that it has.

    Raises:
        SpecError: Names the gate and says which ones the circuit has.
    """
    present = {gate_key(instruction) for instruction in circuit.data} - {"barrier", "measure"}
    missed = [
        (error.channel, word)
        for error in spec.errors
        for word in error.after
        if not present & set(GROUPS.get(word, (word,)))
    ]
    everything = len(missed) == sum(len(error.after) for error in spec.errors)
    for channel, word in missed:
        attaches = f"Noise `{spec.name}` attaches {channel.describe()} to {word!r}"
        if word not in PLACES:
            close = difflib.get_close_matches(word, sorted(present), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise SpecError(f"{attaches}, but the circuit has only {', '.join(sorted(present))}{hint}")
        if everything and not spec.readout:
            raise SpecError(
                f"{attaches} ({PLACES[word]}), but the circuit has no such place: nothing would be noisy."
            )
