"""The public test suites of Qiskit and its packages, with our estimators and gradients in their place.

How to get the suites (the tests are not in the wheels):

    pip install ddt fixtures testtools
    H=https://github.com
    git clone --depth 1 --branch stable/0.9 $H/qiskit-community/qiskit-machine-learning suites/qml
    git clone --depth 1 $H/Qiskit/qiskit suites/qiskit
    git clone --depth 1 $H/Qiskit/qiskit-aer suites/aer
    python -m benchmarks.public_suites suites

Each suite runs in a process of its own, from its folder, in which these names stand for ours:

    QMLEstimator, StatevectorEstimator        ExactEstimator
    ParamShiftEstimatorGradient, LinComb...   PackedParameterShift, ExactGradient
    EstimatorQNN                              BroadcastEstimatorQNN
    qiskit_aer.primitives.EstimatorV2         AerConeEstimator

and prints how many tests pass, and the failures by name. What may differ is what a test asserts about another
simulator's inside: its metadata, the numbers it draws, the gates it was sent, the jobs of a fake device.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main"]

# Name of the suite -> folder of `suites`, files to run, names to leave out.
SUITES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "gradients": ("qml", ("test/gradients/test_estimator_gradient.py",), ""),
    "EstimatorQNN": ("qml", ("test/neural_networks/test_estimator_qnn.py",), ""),
    "torch": (
        "qml",
        ("test/connectors/test_cpu_torch_connector.py", "test/connectors/test_cpu_torch_networks.py"),
        "sampler",
    ),
    "algorithms": (
        "qml",
        (
            "test/algorithms/regressors/test_vqr.py",
            "test/algorithms/regressors/test_neural_network_regressor.py",
            "test/algorithms/classifiers/test_neural_network_classifier.py",
        ),
        "sampler",
    ),
    "StatevectorEstimator": ("qiskit", ("test/python/primitives/test_statevector_estimator.py",), ""),
    "BackendEstimatorV2": ("qiskit", ("test/python/primitives/test_backend_estimator_v2.py",), ""),
    "Aer EstimatorV2": ("aer", ("test/terra/primitives/test_estimator_v2.py",), ""),
}

# What is put in the place of Qiskit's classes before a suite is imported. The names stay the suite's.
_PLUGIN = '''
import sys
import qiskit.primitives as primitives
import qiskit_aer.primitives as aer
import qiskit_machine_learning.gradients as gradients
import qiskit_machine_learning.neural_networks as networks
import qiskit_machine_learning.primitives as qml
from qiskit.primitives import PrimitiveJob

from sqdr_qiskit.gradients import ExactGradient, PackedParameterShift
from sqdr_qiskit.model.quantum_layer import BroadcastEstimatorQNN
from sqdr_qiskit.simulators.aer import AerConeEstimator
from sqdr_qiskit.simulators.exact import ExactEstimator


class Statevector(ExactEstimator):
    """Qiskit's constructor; draws at any precision but 0."""

    def __init__(self, *, default_precision=0.0, seed=None):
        super().__init__(default_precision=default_precision or 1e-300, seed=seed)
        self.default_precision = default_precision or 1e-300
        self._asked = default_precision

    def run(self, pubs, *, precision=None):
        return super().run(pubs, precision=self._asked if precision is None else precision)


class QML(ExactEstimator):
    def __init__(self, *, default_precision=0.0, seed=None, **kwargs):
        super().__init__(default_precision=default_precision, seed=seed)


class Shift(PackedParameterShift):
    def __init__(self, estimator, options=None, pass_manager=None, **kwargs):
        super().__init__(estimator, pass_manager=pass_manager)
        if options:
            self.update_default_options(**options)


class Exact(ExactGradient):
    def __init__(self, estimator, derivative_type=None, options=None, pass_manager=None, **kwargs):
        super().__init__(estimator if isinstance(estimator, ExactEstimator) else None)
        if options:
            self.update_default_options(**options)


class Aer(AerConeEstimator):
    def __init__(self, *, options=None):
        settings = dict((options or {}).get("run_options") or {})
        super().__init__(seed=settings.get("seed_simulator") or settings.get("seed"))
        self._default = (options or {}).get("default_precision", 0.0)

    @classmethod
    def from_backend(cls, backend, **options):
        return cls(options=options)

    def run(self, pubs, *, precision=None):
        return super().run(pubs, precision=self._default if precision is None else precision)


def everywhere(old, new):
    for module in [module for name, module in sys.modules.items() if name.startswith("qiskit")]:
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


def pytest_configure():
    everywhere(qml.QMLEstimator, QML)
    everywhere(gradients.ParamShiftEstimatorGradient, Shift)
    everywhere(gradients.LinCombEstimatorGradient, Exact)
    everywhere(networks.EstimatorQNN, BroadcastEstimatorQNN)
    primitives.StatevectorEstimator = Statevector
    aer.EstimatorV2 = Aer
'''


def main() -> None:
    """Run the suites and print their counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", type=Path, help="folder with qml, qiskit and aer")
    parser.add_argument("--only", choices=SUITES, help="one suite")
    parser.add_argument("--stock", action="store_true", help="without ours in their place, for comparison")
    arguments = parser.parse_args()
    ours = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ours_in_place.py").write_text(_PLUGIN, encoding="utf-8")
        for name in [arguments.only] if arguments.only else SUITES:
            where, files, without = SUITES[name]
            root = (arguments.suites / where).resolve()
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "-rf"]
            command += [] if arguments.stock else ["-p", "ours_in_place"]
            command += [*files, "--rootdir", str(root), "-c", os.devnull]
            command += ["-k", f"not {without}"] if without else []
            path = os.pathsep.join([folder, str(root), str(ours), os.environ.get("PYTHONPATH", "")])
            environment = {**os.environ, "PYTHONPATH": path}
            done = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, check=False
            )
            lines = done.stdout.splitlines()
            print(f"{name}: {lines[-1] if lines else done.stderr.strip().splitlines()[-1]}")
            for line in lines:
                if re.match(r"FAILED|ERROR", line):
                    print(f"    {line}")


if __name__ == "__main__":
    main()
