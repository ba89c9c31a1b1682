"""Train the spiking-quantum classifier SQDR-CNN, simulate it with noise, run it on quantum hardware.

    import sqdr_qiskit as sqdr

    run = sqdr.train("digits", circuit="2b-9q")
    network = sqdr.load_network(run.folder, backend="exact_noisy", noise="paper")

The names below are the package's public face; they stay where they are from version to version, while the
rooms behind them may be rearranged. Each is imported when it is first asked for: importing this package
imports neither torch nor Qiskit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers and editors; a test compares both lists
    from sqdr_qiskit.backends import make_backend as make_backend
    from sqdr_qiskit.circuits import CircuitModel as CircuitModel
    from sqdr_qiskit.circuits import build_circuit as build_circuit
    from sqdr_qiskit.data import DataSplits as DataSplits
    from sqdr_qiskit.data import ImageSet as ImageSet
    from sqdr_qiskit.data import as_splits as as_splits
    from sqdr_qiskit.data import load_dataset as load_dataset
    from sqdr_qiskit.encoder import SpikingEncoder as SpikingEncoder
    from sqdr_qiskit.encoder import phase_code as phase_code
    from sqdr_qiskit.errors import SqdrError as SqdrError
    from sqdr_qiskit.gradients import ExactGradient as ExactGradient
    from sqdr_qiskit.gradients import PackedParameterShift as PackedParameterShift
    from sqdr_qiskit.gradients import PhysicsAwareGradient as PhysicsAwareGradient
    from sqdr_qiskit.gradients import SPSAGradient as SPSAGradient
    from sqdr_qiskit.gradients import make_gradient as make_gradient
    from sqdr_qiskit.jobs.folders import RunFolder as RunFolder
    from sqdr_qiskit.jobs.inference import infer as infer
    from sqdr_qiskit.jobs.inference import load_network as load_network
    from sqdr_qiskit.jobs.training import train as train
    from sqdr_qiskit.jobs.transpile_report import study_circuits as study_circuits
    from sqdr_qiskit.model.network import SQDRCNN as SQDRCNN
    from sqdr_qiskit.model.network import ModelSettings as ModelSettings
    from sqdr_qiskit.model.network import build_model as build_model
    from sqdr_qiskit.model.quantum_layer import accelerate as accelerate
    from sqdr_qiskit.model.quantum_layer import quantum_layer as quantum_layer
    from sqdr_qiskit.noise_models.build import build_noise_model as build_noise_model
    from sqdr_qiskit.simulators.aer import AerConeEstimator as AerConeEstimator
    from sqdr_qiskit.simulators.aer import noisy_engine as noisy_engine
    from sqdr_qiskit.simulators.exact import ExactEstimator as ExactEstimator
    from sqdr_qiskit.specs.noise import noise_spec as noise_spec
    from sqdr_qiskit.training.metrics import class_probabilities as class_probabilities
    from sqdr_qiskit.training.metrics import evaluate as evaluate

__version__ = "0.1.0"

# Name -> the module that it comes from, in the order of a training.
_HOMES = {
    "train": "jobs.training",
    "load_network": "jobs.inference",
    "evaluate": "training.metrics",
    "class_probabilities": "training.metrics",
    "infer": "jobs.inference",
    "RunFolder": "jobs.folders",
    "load_dataset": "data",
    "as_splits": "data",
    "DataSplits": "data",
    "ImageSet": "data",
    "phase_code": "encoder",
    "SpikingEncoder": "encoder",
    "build_circuit": "circuits",
    "CircuitModel": "circuits",
    "quantum_layer": "model.quantum_layer",
    "accelerate": "model.quantum_layer",
    "ModelSettings": "model.network",
    "build_model": "model.network",
    "SQDRCNN": "model.network",
    "make_backend": "backends",
    "ExactEstimator": "simulators.exact",
    "AerConeEstimator": "simulators.aer",
    "make_gradient": "gradients",
    "ExactGradient": "gradients",
    "PackedParameterShift": "gradients",
    "SPSAGradient": "gradients",
    "PhysicsAwareGradient": "gradients",
    "noise_spec": "specs.noise",
    "build_noise_model": "noise_models.build",
    "noisy_engine": "simulators.aer",
    "study_circuits": "jobs.transpile_report",
    "SqdrError": "errors",
}

__all__ = ["__version__", *_HOMES]

if not TYPE_CHECKING:  # else every name would be right to a type checker

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found  # the next look finds it without this function
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
