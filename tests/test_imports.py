"""The order of the rooms: each imports only from rooms below it; each library has its own."""

from __future__ import annotations

import ast
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sqdr_qiskit

_PACKAGE = Path(sqdr_qiskit.__file__).parent

# From top to bottom. Rooms of one row do not import each other.
_ROWS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("reports",),
    ("jobs",),
    ("training",),
    ("model",),
    ("gradients",),
    ("backends",),
    ("runtime",),
    ("devices",),
    ("simulators",),
    ("tiles",),
    ("lightcone",),
    ("circuits", "noise_models", "encoder", "data"),
    ("simd",),
    ("specs",),
    ("catalog", "records", "parallel"),
    ("errors", "__init__"),
)
_LEVEL = {room: len(_ROWS) - row for row, rooms in enumerate(_ROWS) for room in rooms}

_DEPENDENCIES = _PACKAGE.parent / "docs" / "dependencies.md"
_ANY_ROOM = "any room above `specs`"
_IMPORT_NAMES = {"scikit-learn": "sklearn", "pillow": "PIL"}  # the others: a dash becomes an underscore


def _documented() -> dict[str, set[str]]:
    """Library -> the rooms that docs/dependencies.md names beside it."""
    text = _DEPENDENCIES.read_text(encoding="utf-8")
    found = {}
    for names, rooms in re.findall(r"^\| ([^`|]+) \|[^|]*\| ([^|]+) \|$", text, flags=re.MULTILINE):
        if set(names) == {"-"} or rooms.startswith(("where it", "through", "why")):
            continue  # the table's head, and what another library imports
        named = set(re.findall(r"`(\w+)`", rooms.removeprefix(_ANY_ROOM)))
        if rooms.startswith(_ANY_ROOM):
            named = {room for room in _LEVEL if _LEVEL[room] > _LEVEL["specs"]} - named
        for name in names.split(", "):
            found[_IMPORT_NAMES.get(name, name.replace("-", "_"))] = named
    return found


_STANDARD_LIBRARY_ONLY = {"specs", "catalog", "records", "errors", "__init__", "__main__"}

_FILES = sorted(path for path in _PACKAGE.rglob("*.py") if "_catalog" not in path.parts)


def _room(module: str) -> str:
    """The room of a module of ours, `sqdr_qiskit.specs.reader` -> `specs`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _module(path: Path) -> str:
    parts = ["sqdr_qiskit", *path.relative_to(_PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def _imports(path: Path) -> list[str]:
    """Every module that a file imports, at its top, inside a function or for type checking alone.

    Only the package's own `__init__`, which offers names of all rooms, may name them to type checkers.
    """
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == _PACKAGE / "__init__.py":
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute here"
            assert node.module is not None
            if node.module == "sqdr_qiskit":
                found += [f"sqdr_qiskit.{alias.name}" for alias in node.names]
            else:
                found.append(node.module)
    return found


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "sqdr_qiskit"


@pytest.mark.parametrize("path", _FILES, ids=_module)
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    room = _room(_module(path))
    for module in filter(_is_ours, _imports(path)):
        other = "__init__" if module == "sqdr_qiskit.__version__" else _room(module)
        assert other == room or _LEVEL[other] < _LEVEL[room], f"{_module(path)} imports {module}"


def test_each_library_is_imported_in_the_rooms_that_the_docs_name() -> None:
    found: dict[str, dict[str, str]] = {}
    for path in _FILES:
        for library in {module.split(".")[0] for module in _imports(path)}:
            if library not in sys.stdlib_module_names and library != "sqdr_qiskit":
                found.setdefault(library, {})[_room(_module(path))] = _module(path)
    documented = _documented()
    for library, rooms in found.items():
        assert library in documented, f"{library} needs a row with its reason in {_DEPENDENCIES.name}"
        for room, module in rooms.items():
            assert room in documented[library], f"{module} imports {library}: see {_DEPENDENCIES.name}"
    everywhere = {library for library, rooms in documented.items() if len(rooms) > 8}
    for library in documented.keys() - everywhere:
        assert set(found.get(library, ())) == documented[library], f"{library}: see {_DEPENDENCIES.name}"


@pytest.mark.parametrize("path", _FILES, ids=_module)
def test_the_lowest_rooms_need_the_standard_library_alone(path: Path) -> None:
    if _room(_module(path)) in _STANDARD_LIBRARY_ONLY:
        for module in _imports(path):
            library = module.split(".")[0]
            assert library in sys.stdlib_module_names or library == "sqdr_qiskit", (
                f"{_module(path)}: {module}"
            )


@pytest.mark.parametrize("path", _FILES, ids=_module)
def test_every_module_says_what_it_offers(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    if not public:
        return
    module = import_module(_module(path))
    assert set(public) <= set(module.__all__), f"{_module(path)}: __all__ lacks a public name"
    for name in module.__all__:
        assert hasattr(module, name), f"{_module(path)}: __all__ names {name}, which is not there"


def test_every_room_is_in_the_table() -> None:
    rooms = {path.stem if path.is_file() else path.name for path in _PACKAGE.iterdir() if _is_room(path)}
    assert rooms <= set(_LEVEL)


def _is_room(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()
