from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any, get_args

import pytest

from sqdr_qiskit.encoder import PoolGradient
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.job import JOB_OPTIONS
from sqdr_qiskit.training.optimisation import INITIALISATIONS, OPTIMISERS, SCHEDULES
from sqdr_qiskit.training.recipes import RECIPES, Recipe, find_recipe


def test_the_papers_recipe_says_what_the_paper_says() -> None:
    paper = find_recipe("paper")
    assert (paper.optimiser, paper.learning_rate, paper.weight_decay) == ("adam", 1e-3, 1e-3)
    assert (paper.epochs, paper.flip, paper.initialisation) == (100, True, "uniform-2pi")
    assert (paper.schedule, paper.averaging, paper.angle_scale) == ("constant", 0.0, 1.0)
    assert (paper.surrogate_slope, paper.pool_gradient) == (math.pi, "first")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_found_by_its_name_and_survives_its_record(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    assert Recipe(**recipe.to_dict()) == recipe


def test_a_changed_recipe_says_so_in_its_name() -> None:
    ours = find_recipe("ours")
    assert ours.changed(epochs=None) is ours
    changed = ours.changed(epochs=3, learning_rate=None).changed(batch_size=7)
    assert (changed.name, changed.epochs, changed.batch_size) == ("ours*", 3, 7)
    assert changed.learning_rate == ours.learning_rate


def test_sgdr_brings_its_own_schedule() -> None:
    assert find_recipe("ours").changed(optimiser="sgdr").schedule == "constant"
    with pytest.raises(ArgumentError, match="`schedule` must be constant with optimiser sgdr"):
        find_recipe("ours").changed(optimiser="sgdr", schedule="cosine")


def test_few_images_get_more_epochs_unless_the_epochs_are_named() -> None:
    recipe = find_recipe("paper").changed(batch_size=10, least_steps=95, epochs=None)
    assert recipe.fitted(100).epochs == 100
    short = replace(recipe, epochs=2)
    assert short.fitted(100).epochs == 10
    assert short.changed(epochs=4).fitted(100).epochs == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimiser": "adan"}, "`optimiser` must be one of adam, .* did you mean 'adam'"),
        ({"schedule": "cosin"}, "`schedule` must be one of .* did you mean 'cosine'"),
        ({"initialisation": "zeros"}, "`initialisation` must be one of"),
        ({"epochs": 0}, "`epochs` must be at least 1, but is 0"),
        ({"batch_size": 2.5}, "`batch_size` must be a whole number"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0, but is 0.0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be a finite number, but is nan"),
        ({"weight_decay": -1.0}, "`weight_decay` must be at least 0, but is -1.0"),
        ({"averaging": 1.0}, "`averaging` must be below 1, but is 1.0"),
        ({"label_smoothing": 1.5}, "`label_smoothing` must be below 1, but is 1.5"),
        ({"clip": 0.0}, "`clip` must be above 0"),
        ({"surrogate_slope": 0.0}, "`surrogate_slope` must be above 0, but is 0.0"),
        ({"pool_gradient": "largets"}, "`pool_gradient` must be one of first, largest, .* mean 'largest'"),
        ({"angel_scale": 1.0}, "`settings` must be one of .* did you mean 'angle_scale'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        find_recipe("ours").changed(**settings)


def test_every_setting_is_an_option_of_a_run_and_every_choice_is_there() -> None:
    fed = {name: one for name, one in JOB_OPTIONS.items() if one.feeds == "recipe"}
    assert set(fed) == {field.name for field in fields(Recipe)} - {"name"}
    for name, table in (
        ("optimiser", OPTIMISERS),
        ("schedule", SCHEDULES),
        ("initialisation", INITIALISATIONS),
    ):
        assert fed[name].choices == tuple(table)
    assert fed["pool_gradient"].choices == get_args(PoolGradient)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`recipe` must be one of .* did you mean 'ours'"):
        find_recipe("our")
