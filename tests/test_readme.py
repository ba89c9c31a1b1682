"""What the README shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
_EXAMPLES = re.findall(r"^```python\n(.*?)^```$", _README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda example: example.splitlines()[0])
def test_an_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})


def test_there_are_examples() -> None:
    assert _EXAMPLES


def test_the_files_it_names_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", _README):
        assert (Path(__file__).parents[1] / target).exists(), target
