"""How a network is trained, as frozen settings; two of them have names.

`paper` reproduces Luu et al. `ours` is the best of the search that docs/recipe-search.md describes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.job import JOB_OPTIONS
from sqdr_qiskit.specs.reader import Table

if TYPE_CHECKING:  # torch, which `--help` does without
    from sqdr_qiskit.encoder import PoolGradient

__all__ = ["RECIPES", "Recipe", "find_recipe"]

# What each setting means and may be stands there; a job overrules a recipe's settings one by one.
_OPTIONS = {name: one for name, one in JOB_OPTIONS.items() if one.feeds == "recipe"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of one training run; they check themselves.

    Each field is the option of the same name (`specs.job.JobSpec`), which says what it means and may be. None
    of `clip` lets the gradient be; None of `patience` never stops early.

    Attributes:
        name: What to call it; `ours` and `paper` changed in any setting are called `ours*` and `paper*`.

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
    norm_images: int = 0
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
        values = Table({name: getattr(self, name) for name in _OPTIONS if getattr(self, name) is not None})
        for one in _OPTIONS.values():
            one.read(values)
        if self.optimiser == "sgdr" and self.schedule != "constant":
            raise ArgumentError(
                "Argument `schedule` must be constant with optimiser sgdr, whose warm restarts are its "
                f"schedule, but is {self.schedule!r}."
            )

    def changed(self, **settings: Any) -> Recipe:
        """This recipe with other settings; those that are None stay as they are.

        Raises:
            ArgumentError: If a setting is unknown or out of range.
        """
        known = tuple(sorted(field.name for field in fields(self)))
        for name in settings:
            Table({"settings": name}).text("settings", choices=known)
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
        """Plain values, as a run record and a checkpoint keep them; `Recipe(**values)` is the same again."""
        return asdict(self)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "ours": Recipe(
            name="ours",
            epochs=64,
            batch_size=64,
            optimiser="adam",
            learning_rate=2e-2,
            weight_decay=0.0,
            schedule="one-cycle",
            warm_up=0.1,
            readout_rate=3.0,
            averaging=0.998,
            norm_images=8192,
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
    return RECIPES[Table({"recipe": name}).text("recipe", choices=tuple(RECIPES))]
