"""The exception tree."""

from __future__ import annotations

import pytest

from sqdr_qiskit import errors


def test_the_whole_tree_is_exported() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_exit_code_follows_from_the_branch(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, errors.SqdrError)
    codes = {errors.InputError: 2, errors.Interrupted: 130}
    assert error.exit_code == next((code for kind, code in codes.items() if issubclass(error, kind)), 1)


def test_the_drawing_names_every_class() -> None:
    assert errors.__doc__ is not None
    for name in errors.__all__:
        assert name in errors.__doc__
