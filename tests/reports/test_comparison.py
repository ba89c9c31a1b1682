from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.comparison import (
    Paired,
    bootstrap_interval,
    compare_pairs,
    compare_runs,
    holm,
    spread_of,
    verdict,
)
from sqdr_qiskit.reports.tables import runs_table


def run(seed: int, accuracy: float | None, *, sweep: bool = False, **settings: Any) -> dict[str, Any]:
    """A training of three epochs, as `jobs.runs.collect_runs` gives it."""
    job: dict[str, Any] = {"circuit": "2b-9q", "dataset": "mnist", "noise": None, "backend": "exact"}
    job["head"] = True
    job |= {"seed": seed, **settings}
    name = f"{job['circuit']}-{job['noise']}-{seed}"
    points = [{"channel": "bit_flip", "strength": p, "accuracy": (accuracy or 0) - p} for p in (0.0, 0.1)]
    history = [
        {"epoch": e, "loss": 1 / e, "accuracy": e / 4, "validation_loss": 1 / e, "validation_accuracy": e / 5}
        for e in (1, 2, 3)
    ]
    return {
        **{key: job[key] for key in ("circuit", "dataset", "backend", "noise", "seed")},
        "run": name,
        "folder": f"runs/{name}",
        "task": "train",
        "recipe": "ours",
        "epochs": 3,
        "state": "finished" if accuracy else "unfinished",
        "parameters": 803,
        "n_images": 1000,
        "accuracy": accuracy,
        "validation_accuracy": accuracy,
        "seconds": 61.0,
        "written": "2026-01-01",
        "command": f"sqdr-qiskit train --seed {seed} <x>",
        "job": job,
        "recipe_settings": {},
        "sweeps": [{"n_images": 1000, "points": points}] if sweep else [],
        "history": history,
        "n_qubits": 9,
        "variance": [],
    }


@pytest.fixture
def runs() -> list[dict[str, Any]]:
    """Seven seeds without noise, under noise and of another circuit, one of them unfinished."""
    plain = [run(seed, 0.90 + 0.001 * seed, sweep=seed < 3) for seed in range(7)]
    noisy = [run(seed, 0.89 + 0.001 * seed, noise="paper", backend="exact_noisy") for seed in range(7)]
    wider = [run(seed, 0.91, circuit="2b-18q") for seed in range(2)] + [run(2, None, circuit="2b-18q")]
    return [*plain, *noisy, *wider]


def test_runs_that_differ_in_their_seed_alone_are_one_row_beside_the_paper_s_number(
    runs: list[dict[str, Any]],
) -> None:
    table = compare_runs(runs).table()
    assert [row[0] for row in table.rows] == ["2b-9q, no noise", "2b-9q, noise paper", "2b-18q, no noise"]
    assert table.rows[0][1:] == (
        "803", "7", "90.30 ± 0.22", "90.00 to 90.60", "90.30 ± 0.22", "84.03", "+6.27", "1 min 01 s",
    )  # fmt: skip
    assert table.rows[1][6:8] == ("82.67", "+6.63")
    assert table.rows[2][2:4] == ("2 of 3", "91.00 ± 0.00")


def test_the_differences_are_of_equal_seeds(runs: list[dict[str, Any]]) -> None:
    found = compare_runs(runs)
    assert list(found.pairs) == [
        ("2b-9q, no noise", "2b-9q, noise paper"), ("2b-9q, no noise", "2b-18q, no noise"),
    ]  # fmt: skip
    assert found.differences_table().rows[0][:5] == (
        "2b-9q, noise paper", "2b-9q, no noise", "7", "-1.00", "-1.00 to -1.00",
    )  # fmt: skip
    assert found.verdicts[0].endswith("Wilcoxon p = 0.0312 after Holm): established.")
    other = compare_runs(runs, reference="2b-9q-paper-3")
    assert {reference for reference, _ in other.pairs} == {"2b-9q, noise paper"}
    with pytest.raises(ArgumentError, match=r"`reference` must be one of 2b-9q, no noise; .*, but is 'nix'"):
        compare_runs(runs, reference="nix")


def test_data_sets_are_not_compared_with_each_other() -> None:
    found = compare_runs([run(seed, 0.9, dataset=name) for name in ("mnist", "kmnist") for seed in range(3)])
    assert found.pairs == {}
    assert [group.label for group in found.groups] == ["mnist", "kmnist"]


def test_a_control_is_compared_with_its_own_circuit() -> None:
    found = compare_runs(
        [
            run(seed, 0.9, circuit=circuit, model=model)
            for circuit in ("2b-9q", "4b-9q")
            for model in ("circuit", "grouped-tanh")
            for seed in range(3)
        ]
    )
    assert list(found.pairs) == [
        ("2b-9q, model circuit", "2b-9q, model grouped-tanh"),
        ("4b-9q, model circuit", "4b-9q, model grouped-tanh"),
    ]


def test_a_run_that_goes_on_does_not_count_in_the_validation() -> None:
    (group,) = compare_runs(
        [run(0, 0.9), {**run(1, 0.8), "accuracy": None, "validation_accuracy": 0.1}]
    ).groups
    assert group.validation is not None
    assert group.validation.n == 1


def test_one_kind_of_run_is_called_what_it_is() -> None:
    (group,) = compare_runs([run(0, 0.9), run(1, 0.8)]).groups
    assert group.label == "2b-9q on mnist"
    with pytest.raises(ArgumentError, match="`runs` must have at least one run"):
        compare_runs([])


def test_any_setting_may_tell_runs_apart() -> None:
    found = compare_runs([run(0, 0.9, learning_rate=0.01), run(0, 0.9, learning_rate=0.1, head=False)])
    assert [group.label for group in found.groups] == [
        "head, learning rate 0.01",
        "no head, learning rate 0.1",
    ]
    assert found.groups[1].paper is None  # the paper's numbers are with a head


def test_many_pictures_are_counted_in_a_label_not_listed() -> None:
    asked = [run(0, 0.9, input=("a.png",) * n) for n in (12, 3)]
    assert [group.label for group in compare_runs(asked).groups] == ["12 inputs", "3 inputs"]


def test_an_inference_without_truths_is_not_compared(runs: list[dict[str, Any]]) -> None:
    known = {**run(0, 0.9), "task": "infer"}
    unknown = {**known, "folder": "runs/own", "accuracy": None}
    with pytest.raises(ArgumentError, match="whose classes are known, but 'runs/own' is an inference on"):
        compare_runs([*runs, unknown])
    begun = {**unknown, "state": "unfinished"}
    assert len(compare_runs([known, begun]).groups) == 1


def test_controls_are_not_set_beside_the_paper_s_number() -> None:
    groups = compare_runs([run(0, 0.9, model=name) for name in ("circuit", "grouped-tanh")]).groups
    assert [group.paper is None for group in groups] == [False, True]


def test_a_list_of_runs_shows_what_is_known(runs: list[dict[str, Any]]) -> None:
    damaged = {"run": "broken", "folder": "runs/broken", "state": "damaged", "written": ""}
    rows = runs_table([runs[7], runs[-1], damaged]).rows
    assert rows[0] == (
        "2b-9q-paper-0", "89.00 %", "train", "2b-9q", "mnist", "exact_noisy", "paper", "0", "1 min 01 s",
        "finished",
    )  # fmt: skip
    assert rows[1][1] == "–"
    assert rows[2] == ("broken", *8 * ("–",), "damaged")


def test_the_spread_is_that_of_a_sample() -> None:
    assert spread_of([0.9, 0.92]).mean == pytest.approx(0.91)
    assert spread_of([0.9, 0.92]).sd == pytest.approx(0.02 / 2**0.5)
    assert spread_of([0.9]).sd is None
    with pytest.raises(ArgumentError, match="`values` must have at least one value"):
        spread_of([])


def test_holm_by_hand() -> None:
    # 0.01 * 4; 0.02 * 3; then 0.03 * 2 = 0.06 is not below 0.06; 0.5 * 1
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_interval_covers_a_normal_mean_about_95_times_in_100(
    rng: np.random.Generator,
) -> None:
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(1.0, 1.0, 30))
        covered += low <= 1.0 <= high
    assert 176 <= covered <= 199  # the percentile interval of 30 values covers 93 to 95 %


def test_the_interval_is_the_same_each_time() -> None:
    values = [0.1, 0.2, 0.4, 0.1]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval([0.25, 0.25]) == (0.25, 0.25)


def test_pairs_are_of_equal_seeds_and_all_tests_are_corrected_together(rng: np.random.Generator) -> None:
    base = {seed: float(value) for seed, value in enumerate(rng.normal(0.9, 0.01, 10))}
    better = {seed: value + 0.003 + 1e-4 * seed for seed, value in base.items()}
    found = compare_pairs(
        base, {"better": {**better, 99: 0.1}, "same": base, "one": {3: 0.9}, "none": {77: 0.5}}
    )
    pair = found["better"]
    assert pair is not None
    assert pair.seeds == tuple(range(10))
    assert pair.mean == pytest.approx(0.00345)
    assert pair.p == pytest.approx(2 / 2**10)  # all ten on one side
    assert pair.p == pytest.approx(stats.wilcoxon(pair.differences).pvalue)
    assert pair.p_holm == pytest.approx(4 / 2**10)  # two tests were made
    assert pair.low is not None
    assert 0.003 < pair.low < pair.mean
    same = found["same"]
    assert same is not None
    assert (same.p, same.p_holm, same.low) == (1.0, 1.0, 0.0)
    assert found["one"] == Paired((3,), (0.9 - base[3],), 0.9 - base[3], None, None, None, None)
    assert found["none"] is None


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (None, "b and a share no seed: nothing can be said of their difference."),
        (
            Paired((1,), (0.01,), 0.01, None, None, None, None),
            "b is 1.00 points above a in the one seed they share: no",
        ),
        (
            Paired(tuple(range(10)), (0.01,) * 10, 0.01, 0.0, 0.005, 0.015, 0.002, 0.004),
            "b is 1.00 points above a (95 % interval +0.50 to +1.50; 10 paired seeds, Wilcoxon p = 0.004 "
            "after Holm): established.",
        ),
        (
            Paired(tuple(range(10)), (-0.01,) * 10, -0.01, 0.0, -0.03, 0.01, 0.2, 0.4),
            "No difference between b and a is established (95 % interval -3.00 to +1.00; 10 paired",
        ),
        (
            Paired((0, 1, 2), (-0.01,) * 3, -0.01, 0.0, -0.01, -0.01, 0.25, 0.25),
            "b is 1.00 points below a on average (95 % interval -1.00 to -1.00; 3 paired seeds, Wilcoxon "
            "p = 0.25 after Holm): so few seeds cannot establish a difference by this test.",
        ),
    ],
)
def test_a_verdict_says_no_more_than_the_pairs_do(pair: Paired | None, words: str) -> None:
    assert verdict("a", "b", pair).startswith(words)
