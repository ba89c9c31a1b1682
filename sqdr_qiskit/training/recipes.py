"""How a network is trained, as frozen settings; two of them have names.

`paper` reproduces Luu et al. `ours` is the best of the search that docs/recipe-search.md describes.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, get_args

from sqdr_qiskit.encoder import PoolGradient
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.training.initialisation import INITIALISATIONS
from sqdr_qiskit.training.optimisers import OPTIMISERS
from sqdr_qiskit.training.schedules import SCHEDULES

__all__ = ["RECIPES", "Recipe", "find_recipe"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of one training run; they check themselves.

    Attributes:
        name: What to call it; `ours` and `paper` changed in any setting are called `ours*` and `paper*`.
        epochs: Passes through the training images.
        batch_size: Images a step.
        optimiser: Name in `optimisers.OPTIMISERS`.
        learning_rate: Largest learning rate of the schedule.
        weight_decay: The optimiser's, 0 or more.
        readout_rate: Learning rate of the circuit and the head, as a multiple of the encoder's.
        schedule: Name in `schedules.SCHEDULES`; `sgdr` brings its own and takes only `constant`.
        warm_up: Fraction of the steps that `one-cycle` rises for.
        final: Learning rate at the very end, as a fraction of the largest, for `cosine` and `one-cycle`.
        averaging: Decay per step of the exponential moving average of the weights, which is what is
            validated and kept; 0 keeps the latest weights.
        norm_momentum: Share of a new batch in batch norm's running statistics (torch's convention).
        initialisation: Distribution of the circuit's first weights, a name in
            `initialisation.INITIALISATIONS`.
        positive: Whether the encoder's linear map starts without negative weights, see `initialise`.
        angle_scale: Radians of a rotation for a firing rate of 1.
        surrogate_slope: Steepness of the spikes' surrogate derivative, see `SpikingEncoder`.
        pool_gradient: Which neuron of a pooling window the gradient goes to, see `SpikingEncoder`.
        flip: Whether half the images of each batch, at random, are mirrored left to right.
        label_smoothing: Probability taken from the right class and shared among all, 0 to below 1.
        clip: Longest the gradient may be (its 2-norm over all weights); a longer one is scaled down. None
            lets it be.
        least_steps: Where the training images are few, as many more epochs as this many steps take.
        patience: Stop after so many epochs without a better validation accuracy; None never stops early.

    Raises:
        ArgumentError: If a setting is out of range or a name unknown.
    """

    name: str
    epochs: int
    batch_size: int
    optimiser: str
    learning_rate: float
    weight_decay: float
    schedule: str
    readout_rate: float = 1.0
    warm_up: float = 0.2
    final: float = 0.001
    averaging: float = 0.0
    norm_momentum: float = math.sqrt(0.1)
    initialisation: str = "uniform-2pi"
    positive: bool = False
    angle_scale: float = 1.0
    surrogate_slope: float = math.pi
    pool_gradient: PoolGradient = "first"
    flip: bool = False
    label_smoothing: float = 0.0
    clip: float | None = None
    least_steps: int = 0
    patience: int | None = None

    def __post_init__(self) -> None:
        for name, table in (
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("initialisation", INITIALISATIONS),
            ("pool_gradient", get_args(PoolGradient)),
        ):
            _choice(name, getattr(self, name), tuple(table))
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ArgumentError(f"Argument `{name}` must be a whole number from 1, but is {value!r}.")
        for name, low, high, closed in _RANGES:
            value = getattr(self, name)
            if value is None:
                continue
            inside = low <= value and (value <= high if closed else value < high)
            if not math.isfinite(value) or not inside or (value == 0 and name in _POSITIVE):
                least = f"above {low:g}" if name in _POSITIVE else f"from {low:g}"
                most = "" if high == math.inf else f" {'to' if closed else 'to below'} {high:g}"
                raise ArgumentError(f"Argument `{name}` must be {least}{most}, but is {value!r}.")
        if self.optimiser == "sgdr" and self.schedule != "constant":
            raise ArgumentError(
                f"Argument `schedule` must be constant with optimiser sgdr, whose warm restarts are its "
                f"schedule, "
                f"but is {self.schedule!r}."
            )

    def changed(self, **settings: Any) -> Recipe:
        """This recipe with other settings; those that are None stay as they are.

        Raises:
            ArgumentError: If a setting is unknown or out of range.
        """
        known = {field.name for field in fields(self)}
        for name in settings:
            _choice("settings", name, tuple(sorted(known)))
        new = {name: value for name, value in settings.items() if value is not None}
        if not new:
            return self
        if new.get("optimiser") == "sgdr" and "schedule" not in new:
            new["schedule"] = "constant"
        if "epochs" in settings and settings["epochs"] is not None:
            new.setdefault("least_steps", 0)  # who names the epochs gets so many
        return replace(self, **{"name": self.name.removesuffix("*") + "*", **new})

    def fitted(self, n_images: int) -> Recipe:
        """This recipe with the epochs that so many training images need, see `least_steps`."""
        steps = math.ceil(n_images / self.batch_size)
        return replace(self, epochs=max(self.epochs, math.ceil(self.least_steps / steps)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a run record and a checkpoint keep them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` described.

        Raises:
            ArgumentError: If a setting is missing, unknown or out of range.
        """
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise ArgumentError(
                f"Argument `values` must have exactly a recipe's settings, but differs in {odd}."
            )
        return cls(**values)


# Name, lowest, highest, whether the highest is allowed.
_RANGES = (
    ("learning_rate", 0.0, math.inf, False),
    ("weight_decay", 0.0, math.inf, False),
    ("readout_rate", 0.0, math.inf, False),
    ("warm_up", 0.0, 1.0, False),
    ("final", 0.0, 1.0, True),
    ("averaging", 0.0, 1.0, False),
    ("norm_momentum", 0.0, 1.0, True),
    ("angle_scale", 0.0, math.inf, False),
    ("surrogate_slope", 0.0, math.inf, False),
    ("label_smoothing", 0.0, 1.0, False),
    ("clip", 0.0, math.inf, False),
    ("least_steps", 0, math.inf, False),
)
_POSITIVE = frozenset(
    {"learning_rate", "readout_rate", "angle_scale", "surrogate_slope", "norm_momentum", "clip"}
)


def _choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ArgumentError(
            f"Argument `{argument}` must be one of {', '.join(choices)}, but is {value!r}{hint}"
        )


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "ours": Recipe(
            name="ours",
            epochs=20,
            batch_size=64,
            optimiser="adam",
            learning_rate=2e-2,
            weight_decay=0.0,
            schedule="one-cycle",
            warm_up=0.1,
            readout_rate=3.0,
            averaging=0.998,
            positive=True,
            angle_scale=math.pi,
            surrogate_slope=2 * math.pi,
            pool_gradient="largest",
            clip=1.0,
            least_steps=5000,
        ),
        # The paper's text names no batch size.
        "paper": Recipe(
            name="paper",
            epochs=100,
            batch_size=64,
            optimiser="adam",
            learning_rate=1e-3,
            weight_decay=1e-3,
            schedule="constant",
            flip=True,
        ),
    }
)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ArgumentError: If there is none; the message offers the likely spelling.
    """
    _choice("recipe", name, tuple(RECIPES))
    return RECIPES[name]
