"""The names that `import sqdr_qiskit` offers: there, explained, and not loaded before they are asked for."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sqdr_qiskit

_NAMES = [name for name in sqdr_qiskit.__all__ if name != "__version__"]


def _parameters(thing: Any) -> list[str]:
    """What a caller can give, but for `self`."""
    taken = inspect.signature(thing).parameters.values()
    return [parameter.name for parameter in taken if parameter.kind is not inspect.Parameter.VAR_POSITIONAL]


@pytest.mark.parametrize("name", _NAMES)
def test_a_name_is_there_and_says_what_it_takes(name: str) -> None:
    thing = getattr(sqdr_qiskit, name)
    words = inspect.getdoc(thing)
    assert words, f"{name} has no docstring"
    assert len(words.splitlines()[0]) <= 110, f"{name}: the first line is one promise"
    if isinstance(thing, type) and issubclass(thing, Exception):
        return
    for parameter in _parameters(thing):
        assert re.search(rf"^ +{parameter}: ", words, flags=re.MULTILINE), f"{name}: no word on `{parameter}`"
    if inspect.isfunction(thing):
        assert "Raises:" in words or "Returns:" in words, f"{name} says neither what it gives nor what fails"


def test_dir_lists_the_public_names() -> None:
    assert set(sqdr_qiskit.__all__) <= set(dir(sqdr_qiskit))
    assert 20 <= len(_NAMES) <= 33
    assert len(set(_NAMES)) == len(_NAMES)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'sqdr_qiskit' has no attribute 'trane'"):
        sqdr_qiskit.trane  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse(Path(sqdr_qiskit.__file__).read_text(encoding="utf-8"))
    block = next(
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.asname: f"{statement.module}"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if alias.asname == alias.name
    }
    homes = {name: f"sqdr_qiskit.{home}" for name, home in sqdr_qiskit._HOMES.items()}
    assert seen == homes


def test_importing_and_listing_load_no_library() -> None:
    code = (
        "import sys, sqdr_qiskit; dir(sqdr_qiskit); sqdr_qiskit.__version__; sqdr_qiskit.SqdrError; "
        "print([m for m in ('torch', 'qiskit', 'numpy', 'numba', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
