"""Records made readable: figures and tables. Nothing here knows torch or Qiskit."""

from __future__ import annotations

from sqdr_qiskit.reports.figures import confusion_figure, noise_sweep_figure, training_curves
from sqdr_qiskit.reports.page import require_figure_path, save_figure
from sqdr_qiskit.reports.tables import Table, noise_sweep_table, per_class_table, percent, results_table

__all__ = [
    "Table",
    "confusion_figure",
    "noise_sweep_figure",
    "noise_sweep_table",
    "per_class_table",
    "percent",
    "require_figure_path",
    "results_table",
    "save_figure",
    "training_curves",
]
