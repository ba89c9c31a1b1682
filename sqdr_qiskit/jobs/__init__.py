"""A job file carried out."""

from __future__ import annotations

from sqdr_qiskit.jobs.evaluation import Evaluation, NoiseSweep, evaluate_checkpoint, sweep_noise
from sqdr_qiskit.jobs.folders import Chosen, choose_checkpoint
from sqdr_qiskit.jobs.grid import GridResult, carry_out_grid
from sqdr_qiskit.jobs.inference import Answer, infer
from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training

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
    "infer",
    "sweep_noise",
]
