from __future__ import annotations

import os
import shutil
import string
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.tables import (
    PAPER,
    Table,
    noise_sweep_table,
    paper_accuracy,
    per_class_table,
    percent,
    results_table,
)


def test_markdown() -> None:
    table = Table(("name", "value"), (("a|b", "1"), ("c", "22")), frozenset({1}))
    assert table.markdown() == "| name | value |\n| --- | ---: |\n| a\\|b | 1 |\n| c | 22 |\n"


def test_csv_quotes_what_needs_it() -> None:
    table = Table(("name", "value"), (('a "b", c', "1 ± 2"),))
    assert table.csv() == 'name,value\n"a ""b"", c",1 ± 2\n'


def test_latex_escapes_everything_and_uses_booktabs() -> None:
    table = Table(("a_b", "50 %"), (("x & y \\\\ {z}", "1 ± 2"), ("#1 ~ $^", "− –")), frozenset({1}), "Title")
    assert table.latex() == (
        "% Title: needs \\usepackage{booktabs}\n\\begin{tabular}{lr}\n\\toprule\n"
        "a\\_b & 50 \\% \\\\\n\\midrule\n"
        "x \\& y \\textbackslash{}\\textbackslash{} \\{z\\} & 1 $\\pm$ 2 \\\\\n"
        "\\#1 \\textasciitilde{} \\$\\textasciicircum{} & $-$ -- \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_latex_compiles(tmp_path: Path) -> None:
    odd = (
        "[1] a bracket",
        "* a star",
        "{",
        string.punctuation,
        "± – − µ ⟨Z⟩ ≤ ≥ αβγδεζηθικλμνξπρστυφχψω",
        "",
    )
    text = Table(("run",), tuple((cell,) for cell in odd), frozenset(), "a title\nof two lines").latex()
    assert text.splitlines()[0] == r"% a title of two lines: needs \usepackage{booktabs}"
    assert "\n{}[1] a bracket \\\\\n{}* a star \\\\\n" in text
    assert r"$\alpha$$\beta$" in text
    assert r"$\lambda$" in text
    if shutil.which("pdflatex") is None:
        return
    rules = "".join(rf"\newcommand\{where}rule{{\hline}}" for where in ("top", "mid", "bottom"))
    page = rf"\documentclass{{article}}{rules}\begin{{document}}{os.linesep}{text}\end{{document}}"
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_text_lines_columns_up() -> None:
    table = Table(("name", "value"), (("a", "1"), ("long name", "22")), frozenset({1}), "Title")
    assert table.text() == "Title\nname       value\na              1\nlong name     22\n"


def test_rows_must_fit_the_headers() -> None:
    with pytest.raises(ArgumentError, match="Argument `rows` must have 2 cells in each row, but has 1"):
        Table(("a", "b"), (("1",),))


@pytest.mark.parametrize(
    ("value", "text"), [(0.9153, "91.53 %"), (1, "100.00 %"), (None, "–"), (float("nan"), "–")]
)
def test_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_per_class() -> None:
    table = per_class_table([[8, 2, 0], [0, 30, 0], [0, 0, 0]], ["cat", "dog", "cow"])
    assert table.rows == (
        ("cat", "10", "8", "80.00 %", "100.00 %", "dog (2)"),
        ("dog", "30", "30", "100.00 %", "93.75 %", "–"),
        ("cow", "0", "0", "–", "–", "–"),
        ("all", "40", "38", "95.00 %", "", ""),
    )


def test_per_class_names_must_fit() -> None:
    with pytest.raises(
        ArgumentError, match=r"must be of shape \(1, 1\) for 1 class names, but is of shape \(2, 2\)"
    ):
        per_class_table([[1, 0], [0, 1]], ["a"])


def test_noise_sweep() -> None:
    points = [
        {"channel": "bit flip", "strength": 0.03, "accuracy": 0.8},
        {"channel": "bit flip", "strength": 0.005, "accuracy": 0.9},
        {"channel": "damping", "strength": 0.03, "accuracy": 0.85},
    ]
    table = noise_sweep_table(points)
    assert table.headers == ("channel", "0.5 %", "3 %")
    assert table.rows == (("bit flip", "90.00 %", "80.00 %"), ("damping", "–", "85.00 %"))


def test_results() -> None:
    records = [
        {
            "circuit": "2b-9q",
            "n_parameters": 803,
            "test_accuracy": 0.9165,
            "seconds": 123.456,
            "pretrained": True,
        },
        {"circuit": "4b-18q", "n_parameters": 1298, "test_accuracy": None},
    ]
    table = results_table(records, ["circuit", "n_parameters", "test_accuracy", "seconds", "pretrained"])
    assert table.headers == ("circuit", "n parameters", "test accuracy", "seconds", "pretrained")
    assert table.rows == (("2b-9q", "803", "91.65 %", "123.5", "yes"), ("4b-18q", "1,298", "–", "–", "–"))
    assert results_table(records, {"circuit": "Variant"}).headers == ("Variant",)
    assert 0 not in table.right
    assert {1, 2, 3} <= table.right


def test_every_cell_of_the_tables_is_there_once() -> None:
    assert Counter(row["table"] for row in PAPER) == {2: 9, 3: 12, 4: 12, 5: 20}
    keys = ("table", "circuit", "dataset", "noise", "optimiser", "initialisation")
    assert max(Counter(tuple(row.get(key) for key in keys) for row in PAPER).values()) == 1
    assert all(0.2 < row["accuracy"] < 0.9 for row in PAPER)


@pytest.mark.parametrize(
    ("settings", "table", "accuracy"),
    [
        ({"circuit": "2b-9q", "dataset": "mnist", "noise": None}, 3, 0.8403),
        ({"circuit": "4b-18q", "dataset": "fashion-mnist", "noise": "paper"}, 4, 0.7497),
        ({"circuit": "hea-9q", "dataset": "kmnist", "noise": None}, 2, 0.7626),
        ({"circuit": "2b-9q", "dataset": "mnist", "noise": None, "optimiser": "sgd"}, 5, 0.4736),
        ({"circuit": "2b-9q", "dataset": "mnist", "noise": None, "initialisation": "normal-1"}, 5, 0.8207),
    ],
)
def test_a_run_finds_its_cell(settings: dict[str, Any], table: int, accuracy: float) -> None:
    row = paper_accuracy(settings)
    assert row is not None
    assert (row["table"], row["accuracy"]) == (table, accuracy)


def test_what_the_paper_has_not_is_not_found() -> None:
    assert paper_accuracy({"circuit": "2b-9q", "dataset": "digits", "noise": None}) is None
    assert paper_accuracy({"circuit": "2b-9q", "dataset": "mnist", "noise": "bit-flip"}) is None
    assert paper_accuracy({"circuit": "4b-9q", "dataset": "mnist", "noise": None, "optimiser": "sgd"}) is None
