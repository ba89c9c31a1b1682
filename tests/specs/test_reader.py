"""The strict TOML reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import ArgumentError, SpecError
from sqdr_qiskit.specs.reader import Table, read_document

_HEAD = 'schema = 1\nkind = "thing"\ntitle = "A thing"\nsource = "A paper"\n'


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(text: str) -> Path:
        path = tmp_path / "a.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_a_good_file_is_read(write: Callable[[str], Path]) -> None:
    text = (
        _HEAD
        + 'names = ["a"]\n[sizes]\nn = 3\np = 0.5\nflag = true\n[[part]]\nname = "x"\n[[part]]\nname = "y"\n'
    )
    document = read_document(write(text), kinds=("thing",))
    assert (document.kind, document.title, document.source) == ("thing", "A thing", "A paper")
    assert document.top.texts("names") == ("a",)
    sizes = document.table("sizes")
    assert sizes.integer("n", at_least=1) == 3
    assert sizes.number("p", above=0, below=1) == 0.5
    assert sizes.flag("flag") is True
    assert sizes.text("colour", default=None) is None
    assert [part.text("name") for part in document.top.tables("part")] == ["x", "y"]
    assert document.top.tables("none", optional=True) == ()
    assert document.table("none", optional=True).keys() == ()
    document.finish()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = ", r"^a\.toml: is not valid TOML: "),
        ('kind = "thing"\n', r"^a\.toml: key `schema` is missing\.$"),
        (
            _HEAD.replace("1", "2"),
            r"^a\.toml: key `schema` must be 1, the only schema this version reads, but is 2\.$",
        ),
        (_HEAD.replace("1", "true"), r"^a\.toml: key `schema` must be a whole number, but is True\.$"),
        (_HEAD.replace('"thing"', '"thin"'), r"must be one of thing, but is 'thin'; did you mean 'thing'\?$"),
        (_HEAD.replace('"A paper"', '""'), r"^a\.toml: key `source` must be a text, but is ''\.$"),
        (_HEAD.replace("source", "sorce"), r"^a\.toml: key `source` is missing; did you write `sorce`\?$"),
        (
            "x = 1\n" + _HEAD,
            r"^a\.toml: must begin with the keys schema, kind, title, source, in this order\.$",
        ),
        ("\n".join(reversed(_HEAD.splitlines())), r"must begin with the keys"),
    ],
)
def test_a_bad_beginning_is_refused(write: Callable[[str], Path], text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_document(write(text), kinds=("thing",))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"^a\.toml: must be UTF-8 text, but byte 0 is not\.$"):
        read_document(path, kinds=("thing",))


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^a\.toml: cannot be read: No such file or directory\.$"):
        read_document(tmp_path / "a.toml", kinds=("thing",))


@pytest.mark.parametrize(
    ("value", "read", "message"),
    [
        ("3", lambda t: t.integer("k"), r"^f: table `t`: key `k` must be a whole number, but is '3'\.$"),
        (True, lambda t: t.integer("k"), "must be a whole number, but is True"),
        (0, lambda t: t.integer("k", at_least=1), "must be at least 1, but is 0"),
        (9, lambda t: t.integer("k", at_most=8), "must be at most 8, but is 9"),
        (0.0, lambda t: t.number("k", above=0), "must be above 0, but is 0.0"),
        (1, lambda t: t.number("k", below=1), "must be below 1, but is 1"),
        (float("nan"), lambda t: t.number("k"), "must be a finite number, but is nan"),
        (1, lambda t: t.flag("k"), "must be true or false, but is 1"),
        ([], lambda t: t.texts("k"), r"must be a list with at least one entry, but is \[\]"),
        (["a", 1], lambda t: t.texts("k"), "must be a text, but is 1"),
        ([1.5], lambda t: t.integers("k"), "must be a whole number, but is 1.5"),
        ([1, 2], lambda t: t.numbers("k", below=2), "must be below 2, but is 2"),
        (
            "rong",
            lambda t: t.text("k", choices=("ring", "line")),
            r"one of ring, line, but is 'rong'; did you mean 'ring'\?$",
        ),
        ("x" * 99, lambda t: t.integer("k"), r"but is 'x+\.\.\.\.$"),
        (1, lambda t: t.table("k"), "must be a table, but is 1"),
        ({}, lambda t: t.tables("k"), r"must be an array of tables \(\[\[k\]\]\), but is \{\}"),
    ],
)
def test_a_wrong_value_is_refused(value: Any, read: Callable[[Table], Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read(Table({"k": value}, file="f", name="t"))


def test_an_unknown_key_gets_the_likely_spelling() -> None:
    table = Table({"n_qbits": 3}, file="f", name="t")
    table.integer("n_qubits", default=1)
    with pytest.raises(
        SpecError, match=r"^f: table `t`: key `n_qbits` is unknown; did you mean `n_qubits`\?$"
    ):
        table.finish()


def test_an_unknown_key_unlike_any_gets_the_list() -> None:
    table = Table({"zzz": 3}, file="f")
    table.integer("n_qubits", default=1)
    with pytest.raises(SpecError, match=r"^f: key `zzz` is unknown; known keys: `n_qubits`\.$"):
        table.finish()


def test_an_unknown_key_in_an_inner_table_is_found() -> None:
    table = Table({"a": {"b": {"c": 1}}}, file="f")
    table.table("a").table("b")
    with pytest.raises(SpecError, match=r"^f: table `a\.b`: key `c` is unknown"):
        table.finish()


def test_arguments_get_an_argument_error() -> None:
    with pytest.raises(ArgumentError, match=r"^Argument `k` must be at least 1, but is 0\.$"):
        Table({"k": 0}).integer("k", at_least=1)
