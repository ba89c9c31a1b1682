"""The order of the rooms: each imports only from rooms below it; each heavy library has its rooms."""

from __future__ import annotations

import ast
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
    ("specs",),
    ("catalog", "records", "parallel"),
    ("errors", "__init__"),
)
_LEVEL = {room: len(_ROWS) - row for row, rooms in enumerate(_ROWS) for room in rooms}

# Library -> the only rooms that import it. What is not listed may be imported anywhere above the specs.
_ONLY_IN: dict[str, set[str]] = {
    "typer": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"reports"},
    "dask": {"jobs"},
    "distributed": {"jobs"},
    "qiskit_machine_learning": {"model", "gradients"},
    "qiskit_aer": {"simulators", "devices", "noise_models"},
    "qiskit_ibm_runtime": {"runtime", "devices", "noise_models"},
    "snntorch": {"encoder"},
    "torchvision": {"data"},
    "sklearn": {"data"},
    "PIL": {"data"},
    "numba": {"lightcone", "encoder"},
    "safetensors": {"model", "training"},
}
_STANDARD_LIBRARY_ONLY = {"specs", "catalog", "records", "parallel", "errors", "__init__", "__main__"}
_NO_TORCH = {"reports"} | _STANDARD_LIBRARY_ONLY

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


@pytest.mark.parametrize("path", _FILES, ids=_module)
def test_a_library_is_imported_only_where_it_lives(path: Path) -> None:
    room = _room(_module(path))
    for module in _imports(path):
        library = module.split(".")[0]
        rooms = _ONLY_IN.get(library)
        assert rooms is None or room in rooms, f"{_module(path)} imports {module}"
        assert library != "torch" or room not in _NO_TORCH, f"{_module(path)} imports {module}"


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
