"""The exception tree, and what a message may hold."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from sqdr_qiskit import errors
from sqdr_qiskit.errors import clean, printable

TREE = [name for name in errors.__all__ if isinstance(getattr(errors, name), type)]


def test_the_whole_tree_is_exported() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert defined == set(TREE)


@pytest.mark.parametrize("name", TREE)
def test_exit_code_follows_from_the_branch(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, errors.SqdrError)
    codes = {errors.InputError: 2, errors.Interrupted: 130}
    assert error.exit_code == next((code for kind, code in codes.items() if issubclass(error, kind)), 1)


def test_the_drawing_names_every_class() -> None:
    assert errors.__doc__ is not None
    for name in TREE:
        assert name in errors.__doc__


TOKEN = "a-token/of+mine"
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/me:1234-5678::"


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", "my-instance")
    (tmp_path / ".qiskit").mkdir()
    saved = {"default": {"token": "the-saved-token", "instance": CRN}}
    (tmp_path / ".qiskit" / "qiskit-ibm.json").write_text(json.dumps(saved))


@pytest.mark.parametrize(
    "secret",
    [TOKEN, quote(TOKEN, safe=""), "the-saved-token", "my-instance", CRN, CRN.replace("5678", "0000")],
)
def test_secrets_are_gone(secret: str) -> None:
    for text in (f"no: {secret}!", f"{{'a': '{secret}'}}", secret * 2):
        assert secret not in clean(text)
        assert secret not in printable(text)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def",
        "apikey=abc.def&x",
        "apikey abc.def",
        "access_token: abc.def",
        "eyJhbGciOiJIUzI1NiJ9.abc.def",
        "password = abc.def",
    ],
)
def test_what_looks_like_a_secret_is_gone_too(text: str) -> None:
    assert "abc" not in clean(text)


def test_control_characters_and_tags_are_gone() -> None:
    said = "a\x1b[31mb\x1b]0;title\x07c\x00d\x9be\u202ef<b>g</b><script src='x'>h<!-- i -->\nj\tk 1 < 2"
    assert clean(said).replace(" ", "") == "abcdefgh\nj\tk1<2"
    assert printable("`fake_<device>` of an API token while it lasts") == (
        "`fake_<device>` of an API token while it lasts"
    )


def test_json_stays_json() -> None:
    values = {"a": f"Bearer {TOKEN}", "b": [f"token={TOKEN}", "\x1b[0m"], "c": CRN}
    cleaned = json.loads(printable(json.dumps(values)))
    assert set(cleaned) == set(values)
    assert TOKEN not in str(cleaned)


def test_a_damaged_account_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".qiskit" / "qiskit-ibm.json").write_text("[1, 2")
    assert clean("fine") == "fine"
