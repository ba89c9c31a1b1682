"""Results of the stub's jobs: what the device's snapshot gives, always the same for the same job."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0 import QuantumProgramResultModel
from qiskit.primitives import BackendEstimatorV2, DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.providers import BackendV2
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder
from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import passthrough_data_to_2_0
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from samplomatic.quantum_program import SamplexItem

__all__ = ["compute", "spoilt"]

_SEED = 20261120


def compute(program: str, params: Any, device: BackendV2) -> str:
    """The result of a job as the service sends it.

    Args:
        program: `executor` or `estimator`.
        params: The job's `params`, as parsed from JSON.
        device: What it runs on.
    """
    if program == "executor":
        return _executor(params, device)
    if program == "estimator":
        return _estimator(params, device)
    raise ValueError(f"the stub knows no program {program!r}")


def _executor(params: dict[str, Any], device: BackendV2) -> str:
    converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[params["schema_version"]]
    program, _ = converter.decoder(converter.model.model_validate(params))
    for item in program.items:
        if isinstance(item, SamplexItem):
            item.samplex.finalize()
    done = run_quantum_program(device, program, SimulatorOptions(seed_simulator=_SEED))
    now = datetime.now(UTC)
    items = [
        {
            "results": {name: CompressedTensorModel.from_numpy(value) for name, value in item.items()},
            "metadata": {},
        }
        for item in done
    ]
    part = {"idx_item": 0, "size": 1, "permutation": [], "element_range": (0, 1, 1)}
    return QuantumProgramResultModel.model_validate(
        {
            "data": items,
            "metadata": {"chunk_timing": [{"start": now, "stop": now, "parts": [part]}]},
            "passthrough_data": passthrough_data_to_2_0(done.passthrough_data),
            "semantic_role": program._semantic_role,
        }
    ).model_dump_json()


def _estimator(params: dict[str, Any], device: BackendV2) -> str:
    decoded = json.loads(json.dumps(params), cls=RuntimeDecoder)
    pubs = [EstimatorPub.coerce(tuple(pub)) for pub in decoded["pubs"]]
    options = decoded.get("options", {})
    precision = options.get("default_precision") or 0.015625
    simulator = AerSimulator.from_backend(device)
    estimator = BackendEstimatorV2(
        backend=simulator, options={"default_precision": precision, "seed_simulator": _SEED}
    )
    return json.dumps(estimator.run(pubs).result(), cls=RuntimeEncoder)


def spoilt(program: str, params: Any, result: str, fault: str) -> str:
    """A result with an item too few, a number that is none, or one that cannot be; a legacy job's always."""
    values = json.loads(result, cls=RuntimeDecoder) if program == "estimator" else None
    if values is None:
        return _spoilt_program(result, fault)
    pubs = list(values)
    if fault == "results-short":
        return json.dumps(PrimitiveResult(pubs[:-1], metadata={"version": 2}), cls=RuntimeEncoder)
    evs = np.array(pubs[0].data.evs, dtype=float)
    evs.flat[0] = np.nan if fault == "results-nan" else 7.0
    pubs[0] = PubResult(DataBin(evs=evs, stds=pubs[0].data.stds, shape=evs.shape), metadata={})
    return json.dumps(PrimitiveResult(pubs, metadata={"version": 2}), cls=RuntimeEncoder)


def _spoilt_program(result: str, fault: str) -> str:
    """The same for samples: fewer of them, or weights that make the mean no number or too large."""
    values = json.loads(result)
    item = values["data"][0]["results"]
    if fault == "results-short":
        item.pop(sorted(item)[0])
    else:
        values["data"] = values["data"] * 2 if fault == "results-large" else []
    return json.dumps(values)
