from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.comparison import compare_runs, runs_table, write_comparison
from tests.reports.browser import WIDTHS, needs_browser, show


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


def test_controls_are_not_set_beside_the_paper_s_number() -> None:
    groups = compare_runs([run(0, 0.9, model=name) for name in ("circuit", "grouped-tanh")]).groups
    assert [group.paper is None for group in groups] == [False, True]


def test_the_files_hold_the_same_in_every_format(runs: list[dict[str, Any]], tmp_path: Path) -> None:
    written = write_comparison(compare_runs(runs), tmp_path / "new", title="a & b", command="typed")
    assert [path.name for path in written] == [
        "report.html", "report.md", "report.csv", "report.tex", "runs.csv", "report.json",
        "seeds.pdf", "differences.pdf", "curves.pdf", "noise.pdf",
    ]  # fmt: skip
    read = {path.name: path.read_bytes() for path in written}
    assert "| 2b-9q, no noise | 803 | 7 | 90.30 ± 0.22 |" in read["report.md"].decode()
    tex = read["report.tex"].decode()
    assert r"2b-9q, no noise & 803 & 7 & 90.30 $\pm$ 0.22 & " in tex
    assert r"test \% & lowest to highest" in tex
    rows = list(csv.DictReader(read["report.csv"].decode().splitlines()))
    assert rows[0]["test %"] == "90.30 ± 0.22"
    scalars = list(csv.DictReader(read["runs.csv"].decode().splitlines()))
    assert len(scalars) == 17 * 3 * 4 + 16
    assert float(scalars[0]["value"]) == 1.0
    assert json.loads(read["report.json"])["groups"][0]["by_seed"]["6"] == pytest.approx(0.906)
    page = read["report.html"].decode()
    assert "a &amp; b" in page
    assert "--seed 3 &lt;x&gt;" in page
    assert "established." in page


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_the_page(width: int, runs: list[dict[str, Any]], tmp_path: Path) -> None:
    page = write_comparison(compare_runs(runs), tmp_path / "new", title="t")[0].read_text(encoding="utf-8")
    assert show(page, tmp_path, width=width).wrong == {}


def test_a_list_of_runs_shows_what_is_known(runs: list[dict[str, Any]]) -> None:
    damaged = {"run": "broken", "folder": "runs/broken", "state": "damaged", "written": ""}
    rows = runs_table([runs[7], runs[-1], damaged]).rows
    assert rows[0] == (
        "2b-9q-paper-0", "89.00 %", "train", "2b-9q", "mnist", "exact_noisy", "paper", "0", "1 min 01 s",
        "finished",
    )  # fmt: skip
    assert rows[1][1] == "–"
    assert rows[2] == ("broken", *8 * ("–",), "damaged")
