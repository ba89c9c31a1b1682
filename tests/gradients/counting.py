"""An estimator that counts what it is sent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from qiskit.primitives import (
    BaseEstimatorV2,
    EstimatorPubLike,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub

__all__ = ["CountingEstimator"]


class CountingEstimator(BaseEstimatorV2):
    """Passes everything on, and remembers PUBs and executions (parameter sets times measurement bases)."""

    def __init__(self, inner: BaseEstimatorV2) -> None:
        self._inner = inner
        self.pubs = 0
        self.executions = 0

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        self.pubs += len(coerced)
        for pub in coerced:
            # observables and parameters broadcast as disjoint axes: all observables see each parameter set
            bases: set[tuple[str, ...]] = set()
            letters: dict[int, set[str]] = {}
            for place in np.ndindex(*pub.observables.shape):
                for pauli in pub.observables[place]:
                    for qubit, letter in enumerate(reversed(str(pauli))):
                        if letter != "I":
                            letters.setdefault(qubit, set()).add(letter)
            bases.add(tuple(sorted("".join(sorted(found)) for found in letters.values())))
            assert all(len(found) == 1 for found in letters.values()), "one basis for all"
            self.executions += int(np.prod(pub.parameter_values.shape)) * len(bases)
        return self._inner.run(coerced, precision=precision)
