"""A job file carried out."""

from __future__ import annotations

from sqdr_qiskit.jobs.checkpoints import Chosen, choose_checkpoint
from sqdr_qiskit.jobs.grid import GridResult, carry_out_grid
from sqdr_qiskit.jobs.noise_sweep import NoiseSweep, parse_sweep, sweep_noise
from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training
from sqdr_qiskit.jobs.use import Answer, Evaluation, evaluate_checkpoint, infer_dataset, infer_files

__all__ = [
    "Answer",
    "Chosen",
    "Evaluation",
    "GridResult",
    "NoiseSweep",
    "TrainedRun",
    "carry_out_grid",
    "carry_out_training",
    "choose_checkpoint",
    "evaluate_checkpoint",
    "infer_dataset",
    "infer_files",
    "parse_sweep",
    "sweep_noise",
]
