"""Finding circuits, noise models and jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqdr_qiskit import catalog
from sqdr_qiskit.errors import ArgumentError, CatalogError


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_every_listed_name_is_found(kind: catalog.CatalogKind) -> None:
    names = catalog.list_names(kind)
    assert names == tuple(sorted(names))
    for name in names:
        assert catalog.find(kind, name).is_file()


def test_a_wheels_own_copy_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sqdr_qiskit"
    (package / "_catalog" / "circuits").mkdir(parents=True)
    (package / "_catalog" / "circuits" / "mine.toml").touch()
    monkeypatch.setattr(catalog, "__file__", str(package / "catalog.py"))
    assert catalog.list_names("circuits") == ("mine",)


def test_a_separator_or_the_ending_makes_a_path(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.touch()
    assert catalog.find("circuits", str(file)) == file
    assert catalog.find("circuits", file) == file
    assert catalog.is_path("own.toml")
    assert catalog.is_path("./own")
    assert not catalog.is_path("own")


def test_a_misspelt_name_gets_the_likely_one() -> None:
    with pytest.raises(CatalogError, match=r"^There is no circuit '2b-9'; did you mean '2b-9q'\?$"):
        catalog.find("circuits", "2b-9")


def test_an_unlike_name_gets_the_list() -> None:
    with pytest.raises(CatalogError, match=r"^There is no circuit 'zzz'; there is 2b-18q, .*sqnn-9q\.$"):
        catalog.find("circuits", "zzz")


def test_a_missing_path_is_named() -> None:
    with pytest.raises(CatalogError, match=r"^There is no noise model file 'no/such\.toml'"):
        catalog.find("noise_models", "no/such.toml")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^Argument `kind` must be one of circuits, noise_models, jobs"):
        catalog.folder("recipes")  # type: ignore[arg-type]
