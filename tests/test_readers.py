"""Every file that the program reads back, written by anybody: read, or refused in one line of ours."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqdr_qiskit.catalog import find, list_names
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.circuits.formats import read_qasm
from sqdr_qiskit.errors import InputError, SqdrError
from sqdr_qiskit.jobs.folders import is_finished, job_of_run, read_record
from sqdr_qiskit.jobs.run_report import collect_run
from sqdr_qiskit.jobs.runs import list_runs
from sqdr_qiskit.jobs.settings import choose_checkpoint
from sqdr_qiskit.model.network import read_checkpoint
from sqdr_qiskit.runtime.ledger import LEDGER, Ledger
from sqdr_qiskit.runtime.service import read_result
from sqdr_qiskit.specs.circuit import read_circuit
from sqdr_qiskit.specs.device import LayoutSpec, read_layout
from sqdr_qiskit.specs.job_file import read_job
from sqdr_qiskit.specs.noise import read_noise

FEW = settings(
    max_examples=int(os.environ.get("SQDR_EXAMPLES", "12")),
    deadline=10_000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**9)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([10**400, -(10**400), "", "\x1b[2J", "../../x", "9" * 10_000, 2**63])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
TOML_VALUES = st.sampled_from(
    [
        *("[" * 5_000, "{a = " * 3_000, "9" * 10_000, "1000000000", "-1", "0", "nan", "inf", "''", "true"),
        *("[]", "[[]]", "{}", "[1, 'a']", "1979-05-27", "'" + "x" * 100_000 + "'", "1e308", "[1000000000]"),
        *("[[1000000000, 0]]", "'../../../etc/passwd'", "'\\u001b[2J'"),
    ]
)
READERS: dict[str, Callable[[Path], Any]] = {
    "circuits": read_circuit,
    "noise_models": read_noise,
    "jobs": read_job,
    "layouts": read_layout,
}


def _refused_or_read(act: Callable[[], Any]) -> None:
    said = ""
    try:
        act()
    except SqdrError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 2_000


def _texts(kind: str) -> list[str]:
    if kind == "layouts":
        tiles = (((((0, 1, 2)),),), (((2, 1, 0),),))
        spec = {"circuit": "2b-4q", "digest": "0" * 64, "device": "fake_manila", "layout": "tiled"}
        return [LayoutSpec(**spec, tiles=tiles, two_qubit_gates=8, title="t", source="s").text()]  # type: ignore[arg-type]
    return [find(kind, name).read_text(encoding="utf-8") for name in list_names(kind)]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", READERS)
@FEW
@given(content=st.binary(max_size=200))
def test_any_bytes(kind: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    with pytest.raises(SqdrError, match=r"any\.toml"):
        READERS[kind](path)


@pytest.mark.parametrize("kind", READERS)
@FEW
@given(data=st.data())
def test_any_value_in_a_file_of_the_catalogue(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    lines = data.draw(st.sampled_from(_texts(kind)), label="file").splitlines()
    places = [number for number, line in enumerate(lines) if " = " in line]
    place = data.draw(st.sampled_from(places), label="line")
    value = data.draw(TOML_VALUES, label="value")
    lines[place] = f"{lines[place].split(' = ')[0]} = {value}"
    path = tmp_path / "changed.toml"
    path.write_text("\n".join(lines), encoding="utf-8")

    def read() -> None:
        found = READERS[kind](path)
        if kind == "circuits":
            build_circuit(found)

    _refused_or_read(read)


# ---- files of a run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sqdr_qiskit.cli import main

    folder = tmp_path_factory.mktemp("runs")
    words = ["--limit", "60", "--epochs", "1", "--out", str(folder / "a")]
    assert main(["train", "--circuit", "2b-3q", *words]) == 0
    assert main(["infer", str(folder / "a"), "--limit", "3", "--out", str(folder / "b")]) == 0
    return folder


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value; of a long list the first two alone."""
    yield path
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = list(enumerate(value))[:2]
    for key, inner in items:
        yield from _places(inner, (*path, key))


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _changed(copy[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("name", ["a/run.json", "a/metrics.json", "b/run.json", "b/answers.json"])
@FEW
@given(data=st.data())
def test_any_value_in_a_record_of_a_run(name: str, data: st.DataObject, run: Path) -> None:
    path = run / name
    if not path.is_file():
        pytest.skip("there is no such record")
    before = path.read_bytes()
    values = json.loads(before)
    place = data.draw(st.sampled_from(list(_places(values))), label="place")
    try:
        path.write_text(json.dumps(_changed(values, place, data.draw(VALUES, label="value"))))
        for act in (read_record, job_of_run, is_finished, collect_run):
            _refused_or_read(lambda act=act: act(path.parent))  # type: ignore[misc]
        _refused_or_read(lambda: choose_checkpoint(str(path.parent)))
        _refused_or_read(lambda: list_runs(run))
    finally:
        path.write_bytes(before)


@FEW
@given(content=st.binary(max_size=100) | st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000]))
def test_any_bytes_as_the_record_of_a_run(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    for act in (read_record, job_of_run, is_finished, collect_run, list_runs):
        _refused_or_read(lambda act=act: act(tmp_path))  # type: ignore[misc]


@FEW
@given(data=st.data())
def test_any_value_in_a_checkpoint_s_description(data: st.DataObject, run: Path, tmp_path: Path) -> None:
    from sqdr_qiskit.backends import make_backend
    from sqdr_qiskit.model.network import restore

    whole = read_checkpoint(run / "a" / "best.safetensors")
    values = whole.describe()
    places = [place for place in _places(values) if place[:1] in ((), ("model",), ("schema",), ("seed",))]
    place = data.draw(st.sampled_from(places), label="place")
    text = json.dumps(_changed(values, place, data.draw(VALUES, label="value")))
    path = tmp_path / "any.safetensors"
    weights = {name: tensor.clone() for name, tensor in whole.weights.items()}
    path.write_bytes(safetensors.torch.save(weights, metadata={"sqdr-qiskit": text}))
    _refused_or_read(lambda: restore(read_checkpoint(path), make_backend(), where=path.name))


@FEW
@given(content=st.binary(max_size=200))
def test_any_bytes_as_a_checkpoint(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "any.safetensors").write_bytes(content)
    _refused_or_read(lambda: read_checkpoint(tmp_path / "any.safetensors"))


def test_a_checkpoint_of_absurd_size_is_refused_before_work_is_done(run: Path, tmp_path: Path) -> None:
    values = read_checkpoint(run / "a" / "best.safetensors").describe()
    for key, value in (("n_qubits", 10**9), ("n_blocks", 10**9)):
        changed = _changed(values, ("model", "circuit", key), value)
        path = tmp_path / "large.safetensors"
        weights = {"quantum.weight": torch.zeros(3)}
        path.write_bytes(safetensors.torch.save(weights, metadata={"sqdr-qiskit": json.dumps(changed)}))
        with pytest.raises(InputError, match=key):
            read_checkpoint(path)


# ---- ledgers and circuits ----------------------------------------------------------------------------------


@FEW
@given(
    column=st.sampled_from(
        [
            *("digest", "number", "tag", "label", "device", "planned_s", "used_s", "created", "facts"),
            *("posted", "reason", "result", "posts", "post_s", "calibrated"),
        ]
    ),
    value=SCALARS.filter(lambda value: not isinstance(value, int) or abs(value) < 2**63)
    | st.binary(max_size=9)
    | VALUES.map(json.dumps),
)
def test_any_value_in_a_row_of_a_ledger(column: str, value: Any, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    entry = {"digest": "d", "number": 0, "label": "l", "device": "ibm_x", "planned_s": 2.0, "facts": {}}
    with Ledger(folder) as ledger:
        ledger.done(ledger.plan(**entry, calibrated=None).row, "{}", used_s=None)  # type: ignore[arg-type]
    with closing(sqlite3.connect(folder / LEDGER)) as file:
        try:
            file.execute(f"update request set {column} = ?", (value,))
        except (sqlite3.IntegrityError, UnicodeEncodeError):
            return
        file.commit()

    def read() -> None:
        with Ledger(folder) as ledger:
            assert ledger.committed_s() >= 0
            assert ledger.committed_executions() >= 0
            for found in ledger.entries():
                read_result(found)

    _refused_or_read(read)


@FEW
@given(content=st.binary(max_size=300))
def test_any_bytes_as_a_ledger(content: bytes, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    (folder / LEDGER).write_bytes(content)
    _refused_or_read(lambda: Ledger(folder, read_only=True).entries())


@pytest.mark.parametrize(
    "text",
    [
        'OPENQASM 2.0; include "/etc/passwd"; qreg q[1];',
        'OPENQASM 2.0; include "other.qasm"; qreg q[1];',
        'OPENQASM 3.0; include "/etc/passwd"; qubit q;',
        'OPENQASM 2.0; include "qelib1.inc"; qreg q[1000000000]; x q[0];',
        "OPENQASM 3.0; qubit[1000000000] q;",
        'OPENQASM 2.0; include "qelib1.inc"; qreg q[' + "9" * 10_000 + "]; x q[0];",
        'OPENQASM 2.0; include "qelib1.inc"; gate g0 a { x a; x a; } '
        + " ".join(f"gate g{n + 1} a {{ g{n} a; g{n} a; }}" for n in range(40))
        + " qreg q[1]; g40 q[0];",
    ],
    ids=["passwd", "other", "passwd-3", "qubits", "qubits-3", "digits", "nested"],
)
def test_a_circuit_that_reaches_out_or_is_absurd_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.qasm").write_text("gate secret a { x a; }")
    (tmp_path / "a.qasm").write_text(text)
    with pytest.raises(SqdrError, match=r"a\.qasm"):
        read_qasm(tmp_path / "a.qasm")
