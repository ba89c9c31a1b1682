"""Learning rate over a run, as a factor of the largest.

A pure function of the place in the run, so that resuming needs no scheduler's state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

__all__ = ["SCHEDULES", "Schedule", "constant", "cosine", "one_cycle", "warm_restarts"]

# (fraction of the run done, 0 to below 1; warm_up; final) -> factor
Schedule = Callable[[float, float, float], float]

ONE_CYCLE_START = 0.1  # one-cycle begins at a tenth of the largest rate
RESTART_EPOCHS = 10  # length of sgdr's first cycle; each next one is as long


def constant(done: float, warm_up: float, final: float) -> float:
    """1 all the way."""
    del done, warm_up, final
    return 1.0


def cosine(done: float, warm_up: float, final: float) -> float:
    """From 1 down to `final` along half a cosine."""
    del warm_up
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def one_cycle(done: float, warm_up: float, final: float) -> float:
    """From 0.1 up to 1 along half a cosine during `warm_up`, then down to `final` along another.

    Source: Smith and Topin, arXiv 1708.07120; the shape of `torch.optim.lr_scheduler.OneCycleLR`.
    """
    if done < warm_up:
        rise = done / warm_up
        return ONE_CYCLE_START + (1.0 - ONE_CYCLE_START) * 0.5 * (1.0 - math.cos(math.pi * rise))
    return cosine((done - warm_up) / (1.0 - warm_up), 0.0, final)


def warm_restarts(epochs_done: float) -> float:
    """SGDR: from 1 to 0 along half a cosine every `RESTART_EPOCHS` epochs.

    Equal to `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(T_0=RESTART_EPOCHS)` stepped with
    fractions of epochs.

    Args:
        epochs_done: Epochs since the start of the run, with fraction.

    Source: Loshchilov and Hutter, arXiv 1608.03983, equation 5.
    """
    return 0.5 * (1.0 + math.cos(math.pi * (epochs_done % RESTART_EPOCHS) / RESTART_EPOCHS))


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {"constant": constant, "cosine": cosine, "one-cycle": one_cycle}
)
