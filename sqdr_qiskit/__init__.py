"""Train the spiking-quantum classifier SQDR-CNN, simulate it with noise, run it on quantum hardware.

Importing this package imports neither torch nor Qiskit; its rooms do, each only what it needs.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
