"""The wheel: what is in it, and that it runs alone."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]

# Every file of the wheel matches one of these, and every one of these matches a file.
_CONTENTS = (
    r"sqdr_qiskit/([a-z_]+/){0,2}[a-z0-9_]+\.py",
    r"sqdr_qiskit/py\.typed",
    r"sqdr_qiskit/reports/templates/[a-z]+\.(html|css|svg)",
    r"sqdr_qiskit/_catalog/circuits/[a-z0-9-]+\.toml",
    r"sqdr_qiskit/_catalog/noise_models/[a-z0-9-]+\.toml",
    r"sqdr_qiskit/_catalog/jobs/[a-z0-9-]+\.toml",
    r"sqdr_qiskit/pretrained/[a-z0-9-]+\.safetensors",
    r"sqdr_qiskit/pretrained/[a-z0-9-]+\.json",
    r"sqdr_qiskit-[0-9.]+\.dist-info/(METADATA|RECORD|WHEEL|entry_points\.txt|licenses/LICENSE)",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(_ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.iterdir()
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if not any(re.fullmatch(pattern, name) for pattern in _CONTENTS)] == []
    assert [p for p in _CONTENTS if not any(re.fullmatch(p, name) for name in names)] == []


def test_the_wheel_holds_every_source_and_every_catalogue_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(_ROOT).as_posix()
        for path in (_ROOT / "sqdr_qiskit").rglob("*.py")
        if "_catalog" not in path.parts
    }
    sources |= {
        path.relative_to(_ROOT).as_posix() for path in (_ROOT / "sqdr_qiskit/reports/templates").iterdir()
    }
    files = {
        f"sqdr_qiskit/_catalog/{path.relative_to(_ROOT).as_posix()}"
        for folder in ("circuits", "noise_models", "jobs")
        for path in (_ROOT / folder).glob("*.toml")
    }
    assert sources | files <= names


def test_the_wheel_runs_alone_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import sqdr_qiskit; "
        f"assert sqdr_qiskit.__file__.startswith({str(installed)!r}); "
        "from sqdr_qiskit.cli import main; sys.exit(main(['catalog']))"
    )
    # -I: neither this folder nor PYTHONPATH may lend a hand.
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=empty, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2b-9q" in done.stdout
    assert list(empty.iterdir()) == []
