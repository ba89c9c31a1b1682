"""What the README and the pages in docs/ show works as it stands, and what they point at is there."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import sqdr_qiskit
from docs.figures import accuracy_figure, one_image, read_speeds, speed_figure
from docs.results import SIZES, one_group, tables
from docs.tables import PAGES, updated
from sqdr_qiskit.specs.circuit import read_circuit
from sqdr_qiskit.specs.job_file import read_job
from sqdr_qiskit.specs.noise import read_noise
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]

_ROOT = Path(__file__).parents[1]
_PAGES = [_ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((_ROOT / "docs").rglob("*.md"))
_NAMES = [page.relative_to(_ROOT).as_posix() for page in _PAGES]


def _examples(page: Path) -> str:
    """A page's Python blocks as one program, each on the lines that it has there."""
    text = page.read_text(encoding="utf-8")
    program, line = "", 1
    for block in re.finditer(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        first = text.count("\n", 0, block.start(1)) + 1
        program += "\n" * (first - line) + block[1]
        line = first + block[1].count("\n")
    return program


_WITH_CODE = [page for page in _PAGES if _examples(page)]


@pytest.mark.parametrize("page", _WITH_CODE, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub: StubServer
) -> None:
    """In an empty folder; `ibm_kingston` is the stub's."""
    monkeypatch.chdir(tmp_path)
    exec(compile(_examples(page), str(page), "exec"), {"__name__": page.stem})


def test_there_are_examples() -> None:
    assert _ROOT / "README.md" in _WITH_CODE


@pytest.mark.parametrize("page", _PAGES, ids=_NAMES)
def test_the_files_that_a_page_links_to_are_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", _PAGES, ids=_NAMES)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    """`rooms/of/code.py`, from the package or from the repository's root."""
    for named in re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|md|toml))`", page.read_text(encoding="utf-8")):
        assert any((root / named).exists() for root in (_ROOT / "sqdr_qiskit", _ROOT)), named


_ROOMS = {path.stem for path in (_ROOT / "sqdr_qiskit").iterdir() if path.suffix in ("", ".py")}


def _resolves(name: str) -> bool:
    try:
        pkgutil.resolve_name(f"sqdr_qiskit.{name}")
    except AttributeError:
        parent, _, field = name.rpartition(".")
        return field in getattr(pkgutil.resolve_name(f"sqdr_qiskit.{parent}"), "__annotations__", {})
    except ImportError:
        return False
    return True


def test_the_names_that_pages_and_docstrings_give_are_there() -> None:
    """`room.module.name`, or `room.name` of what the room itself offers."""
    missing = []
    for path in (*_PAGES, *(_ROOT / "sqdr_qiskit").rglob("*.py")):
        for name in re.findall(r"`(?:sqdr_qiskit\.)?([a-z_]+(?:\.\w+)+)`", path.read_text(encoding="utf-8")):
            room, _, rest = name.partition(".")
            if room in _ROOMS and rest not in ("py", "toml", "json", "csv") and not _resolves(name):
                missing.append(f"{path.relative_to(_ROOT)}: {name}")
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tables_of_a_page_are_those_that_the_code_makes(page: Path) -> None:
    found = page.read_text(encoding="utf-8")
    assert found == updated(found), "python -m docs.tables writes them"


@pytest.mark.parametrize("page", _PAGES, ids=_NAMES)
def test_the_files_that_a_page_shows_can_be_read(page: Path, tmp_path: Path) -> None:
    readers = {"noise": read_noise, "job": read_job, "reupload": read_circuit}
    for number, text in enumerate(_blocks(page, "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        readers[text.split('kind = "')[1].split('"')[0]](path)


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", _PAGES, ids=_NAMES)
def test_a_page_has_no_tags_by_accident(page: Path) -> None:
    """`<Z>` outside of code is a tag to browsers, and vanishes."""
    code = r"^```.*?^```$|^    .*?$|`[^`\n]*`|<!--.*?-->|</?(?:picture|source|img|p|a|br)\b[^>]*>"
    prose = re.sub(code, "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"</?[A-Za-z][^>\n]*>", prose) == []


def _svg(text: str) -> None:
    """A drawing that stands alone: well-formed, nothing fetched, readable in the dark."""
    ElementTree.fromstring(text)
    assert re.findall(r"(?:href|src)=[\"'](?!data:|#)|url\((?!#)", text) == []
    assert "prefers-color-scheme" in text


@pytest.mark.parametrize("path", sorted((_ROOT / "docs").glob("*.svg")), ids=lambda path: path.stem)
def test_a_drawing_stands_alone(path: Path) -> None:
    _svg(path.read_text(encoding="utf-8"))


def test_the_figures_show_the_runs_and_the_speeds() -> None:
    speeds = read_speeds((_ROOT / "docs" / "speed.md").read_text(encoding="utf-8"))
    assert {"2b-9q", "4b-9q", "2b-18q", "4b-18q"} <= speeds.keys()
    assert all(
        min(found["ours"]) > max(peer) for found in speeds.values() for peer in list(found.values())[1:]
    )
    _svg(accuracy_figure())
    _svg(speed_figure(speeds))


@pytest.mark.parametrize("grid", ["table-3", "table-4"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_every_size_of_the_model_was_run(grid: str, dataset: str) -> None:
    found = [one_group(grid, circuit=name, dataset=dataset) for name in SIZES]
    assert all(group is not None and group.spread is not None for group in found)
    assert [group.paper["accuracy"] < 1 for group in found if group and group.paper] == [True] * 4


def test_no_row_of_the_results_is_left_out() -> None:
    """Seeds may be few, rows may not be missing."""
    for name, table in tables.items():
        head, rows = table()
        assert rows, name
        assert all(len(row) == len(head) and "not run" not in row for row in rows), name


def test_one_image_is_drawn_from_a_page_s_example() -> None:
    example = {
        "image": "digits[0]",
        "truth": "3",
        "pixels": [[[0, 255], [255, 0]]],
        "n_steps": 2,
        "layers": [{"words": [[[0, 3], [1, 2]]]}, {"words": [[[1]], [[2]]]}],
        "features": [1, 2, 3],
        "rates": [0.5, 0.5, 1.0],
        "exact": {"expectations": [0.3], "label": "3", "probabilities": {"1": 0.25, "3": 0.75}},
        "ran": None,
    }
    drawn = one_image(example)
    _svg(drawn)
    assert "75%" in drawn


def test_the_citation_names_the_version_that_is_here() -> None:
    found = re.search(
        r"^version: (.+)$", (_ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert found is not None
    assert found[1] == sqdr_qiskit.__version__


def test_the_workflow_calls_what_ci_calls() -> None:
    assert ".ci/run" in (_ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(
        r"^make (\w+)$", (_ROOT / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE
    ) == [
        "lint",
        "docs",
        "test",
    ]
