"""What noise files may say, and what they are told when they must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqdr_qiskit.catalog import find, list_names
from sqdr_qiskit.errors import ArgumentError, CatalogError, SpecError
from sqdr_qiskit.specs.channels import SWEEPABLE, ChannelSpec
from sqdr_qiskit.specs.noise import (
    ErrorSpec,
    NoiseSpec,
    ReadoutSpec,
    noise_spec,
    noise_text,
    read_noise,
    single_channel_noise,
)

HEAD = 'schema = 1\nkind = "noise"\ntitle = "t"\nsource = "s"\n'
BIT_FLIP = '[[error]]\nchannel = "bit_flip"\np = 0.1\n'


@pytest.fixture
def noise_file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def read(path: Path, body: str) -> NoiseSpec:
    path.write_text(HEAD + body, encoding="utf-8")
    return read_noise(path)


def written(spec: NoiseSpec, folder: Path) -> NoiseSpec:
    """The noise, read back from what is written of it."""
    path = folder / f"{spec.name}.toml"
    path.write_text(noise_text(spec), encoding="utf-8")
    return read_noise(path)


@pytest.mark.parametrize("name", list_names("noise_models"))
def test_every_shipped_file_reads_and_survives_the_way_through_toml(name: str, tmp_path: Path) -> None:
    spec = noise_spec(name)
    assert spec.name == name
    assert spec.title
    assert written(spec, tmp_path) == spec


def test_the_papers_noise_is_three_channels_after_every_gate() -> None:
    spec = noise_spec("paper")
    assert [error.channel.describe() for error in spec.errors] == [
        "bit_flip(p = 0.02)",
        "depolarizing(p = 0.03)",
        "amplitude_damping(gamma = 0.02)",
    ]
    assert all({"u", "rx", "cz", "cx"} <= set(error.gates) for error in spec.errors)
    assert not any("id" in error.gates for error in spec.errors)


def test_a_description_is_returned_as_it_is_and_a_path_is_read(noise_file: Path) -> None:
    spec = read(noise_file, BIT_FLIP + 'after = ["rot"]')
    assert noise_spec(spec) is spec
    assert noise_spec(noise_file) == spec
    with pytest.raises(CatalogError, match="did you mean 'paper'"):
        noise_spec("papr")


def test_every_channel_and_key(noise_file: Path) -> None:
    spec = read(
        noise_file,
        """
        [[error]]
        channel = "depolarizing"
        lambda = 0.04
        after = ["rot", "rx"]
        qubits = [0, -1]
        [[error]]
        channel = "thermal_relaxation"
        t1_us = 100
        t2_us = 200
        duration_ns = 35.5
        after = ["idle"]
        [[error]]
        channel = "kraus"
        kraus = [[[0, 1], [1, 0]], [[0, [0.0, 0.0]], [0, 0]]]
        after = ["one_qubit_gates"]
        [[error]]
        channel = "pauli"
        probabilities = { X = 0.1, Z = 0.2 }
        after = ["cz"]
        [[error]]
        channel = "pauli"
        probabilities = { II = 0.5, XY = 0.5 }
        after = ["cz", "cx"]
        pairs = [[0, 1], [3, 2]]
        [[readout]]
        p01 = 0.01
        p10 = 0.03
        [[readout]]
        p01 = 0.2
        p10 = 0
        qubits = [1, 2]
        """,
    )
    depolarizing, thermal, kraus, pauli, pair = spec.errors
    assert depolarizing == ErrorSpec(ChannelSpec("depolarizing", (("p", 0.03),)), ("u", "rx"), (0, -1))
    assert thermal.channel["duration_ns"] == 35.5
    assert kraus.channel.matrices[0] == (((0.0, 0.0), (1.0, 0.0)), ((1.0, 0.0), (0.0, 0.0)))
    assert dict(pauli.channel.params) == pytest.approx({"I": 0.7, "X": 0.1, "Z": 0.2})
    assert (pair.channel.n_qubits, pair.pairs) == (2, ((0, 1), (3, 2)))
    assert spec.readout == (ReadoutSpec(0.01, 0.03), ReadoutSpec(0.2, 0.0, (1, 2)))
    assert spec.places == ("idle",)
    assert written(spec, noise_file.parent) == spec


KRAUS_1 = '[[error]]\nchannel = "kraus"\nafter = ["rot"]\n'
PAULI = '[[error]]\nchannel = "pauli"\nafter = ["cz"]\n'
THERMAL = '[[error]]\nchannel = "thermal_relaxation"\nafter = ["rot"]\nduration_ns = 1\n'
BAD = {
    "nothing": ("", r"mine.toml: key `error` or key `readout` must be given"),
    "unknown channel": (
        '[[error]]\nchannel = "bitflip"\np = 0.1\nafter = ["rot"]',
        r"table `error\[1\]`: key `channel` must be one of .*did you mean 'bit_flip'",
    ),
    "p above 1": (
        '[[error]]\nchannel = "bit_flip"\np = 1.5\nafter = ["rot"]',
        r"mine.toml: table `error\[1\]`: key `p` must be from 0 to 1, but is 1.5",
    ),
    "p missing": (
        '[[error]]\nchannel = "bit_flip"\nafter = ["rot"]',
        r"table `error\[1\]`: key `p` is missing",
    ),
    "wrong key": (
        '[[error]]\nchannel = "amplitude_damping"\np = 0.1\nafter = ["rot"]',
        r"key `gamma` is missing",
    ),
    "unknown key": (
        BIT_FLIP + 'after = ["rot"]\nqubit = [1]',
        r"key `qubit` is unknown; did you mean `qubits`",
    ),
    "unknown gate": (BIT_FLIP + 'after = ["rt"]', r"key `after` must be one of .*did you mean"),
    "no gate": (BIT_FLIP + "after = []", r"key `after` must be a list with at least one entry"),
    "qubit twice": (BIT_FLIP + 'after = ["rot"]\nqubits = [1, 1]', r"key `qubits` must name each qubit once"),
    "pairs for one qubit": (BIT_FLIP + 'after = ["cz"]\npairs = [[0, 1]]', r"key `pairs` is unknown"),
    "both strengths": (
        '[[error]]\nchannel = "depolarizing"\np = 0.1\nlambda = 0.1\nafter = ["rot"]',
        r"key `p` or key `lambda` .*one of them, but both is",
    ),
    "no strength": (
        '[[error]]\nchannel = "depolarizing"\nafter = ["rot"]',
        r"key `p` or key `lambda` .*but neither is",
    ),
    "lambda too large": (
        '[[error]]\nchannel = "depolarizing"\nlambda = 1.4\nafter = ["rot"]',
        r"key `lambda` must be at most 1.333333333, but is 1.4",
    ),
    "T2 above 2 T1": (
        THERMAL + "t1_us = 50\nt2_us = 100.5",
        r"table `error\[1\]`: key `t2_us` must be at most 2 \* t1_us = 100, but is 100.5",
    ),
    "T1 zero": (THERMAL + "t1_us = 0\nt2_us = 1", r"key `t1_us` must be above 0"),
    "kraus loses probability": (
        KRAUS_1 + "kraus = [[[1, 0], [0, 0.9]]]",
        r"key `kraus` must satisfy sum of K\^dagger K = identity, but is off by 0.19",
    ),
    "kraus shape": (
        KRAUS_1 + "kraus = [[[1, 0, 0], [0, 1, 0]]]",
        r"key `kraus` must be matrices of shape 2 x 2",
    ),
    "kraus entry": (
        KRAUS_1 + 'kraus = [[["a", 0], [0, 1]]]',
        r"key `kraus` must hold numbers or \[real, imaginary",
    ),
    "kraus no matrix": (KRAUS_1 + "kraus = [1]", r"key `kraus` must hold matrices"),
    "pauli sum": (
        PAULI + "probabilities = { I = 0.5, X = 0.4 }",
        r"key `probabilities` must be from 0 to 1 and sum to 1, but is I = 0.5, X = 0.4",
    ),
    "pauli too much": (
        PAULI + "probabilities = { X = 0.7, Y = 0.4 }",
        r"key `probabilities` must be from 0 to 1",
    ),
    "pauli letters": (
        PAULI + "probabilities = { Q = 0.5 }",
        r"key `probabilities` must have keys of I, X, Y, Z",
    ),
    "pauli lengths": (
        PAULI + "probabilities = { X = 0.5, XX = 0.5 }",
        r"key `probabilities` must have keys of I",
    ),
    "pauli empty": (PAULI + "probabilities = {}", r"key `probabilities` must give the probability"),
    "two-qubit channel on a Rot": (
        '[[error]]\nchannel = "depolarizing_2q"\np = 0.1\nafter = ["all_gates"]',
        r"key `after` must name two-qubit gates for a two-qubit channel, but names 'u'",
    ),
    "qubits for a pair": (
        '[[error]]\nchannel = "depolarizing_2q"\np = 0.1\nafter = ["cz"]\nqubits = [0]',
        r"key `qubits` is unknown",
    ),
    "no pair": (
        '[[error]]\nchannel = "depolarizing_2q"\np = 0.1\nafter = ["cz"]\npairs = [[0, 1, 2]]',
        r"key `pairs` must be a list of pairs",
    ),
    "pair twice": (
        '[[error]]\nchannel = "depolarizing_2q"\np = 0.1\nafter = ["cz"]\npairs = [[0, 1], [1, 0]]',
        r"key `pairs` must name pairs of two different qubits, each once",
    ),
    "readout twice": (
        "[[readout]]\np01 = 0.1\np10 = 0.1\n[[readout]]\np01 = 0.2\np10 = 0.1",
        r"table `readout\[2\]`: key `qubits` must give each qubit one readout error, but all qubits has two",
    ),
    "readout above 1": (
        "[[readout]]\np01 = 1.1\np10 = 0.1",
        r"table `readout\[1\]`: key `p01` must be at most 1",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_files_are_told_what_where_and_what_would_be_right(noise_file: Path, case: str) -> None:
    body, message = BAD[case]
    with pytest.raises(SpecError, match=message):
        read(noise_file, body)


@pytest.mark.parametrize("kind", list(SWEEPABLE))
def test_a_sweep_makes_one_channel_after_every_gate(kind: str) -> None:
    spec = single_channel_noise(kind, 0.1)
    (error,) = spec.errors
    assert error.channel == ChannelSpec(kind, ((SWEEPABLE[kind], 0.1),))
    assert {"u", "cz"} <= set(error.gates)


def test_a_sweep_needs_a_channel_of_one_strength() -> None:
    with pytest.raises(ArgumentError, match=r"`channel` must be one of bit_flip, .*'thermal_relaxation'"):
        single_channel_noise("thermal_relaxation", 0.1)
    with pytest.raises(ArgumentError, match=r"`p` of channel 'bit_flip' must be from 0 to 1, but is 1.5"):
        single_channel_noise("bit_flip", 1.5)


def test_specs_made_in_code_check_themselves() -> None:
    bit_flip = ChannelSpec("bit_flip", (("p", 0.1),))
    with pytest.raises(ArgumentError, match="`pairs` must be left out for a one-qubit channel"):
        ErrorSpec(bit_flip, ("cz",), pairs=((0, 1),))
    with pytest.raises(ArgumentError, match="`qubits` must be left out for a two-qubit channel"):
        ErrorSpec(ChannelSpec("depolarizing_2q", (("p", 0.1),)), ("cz",), qubits=(0,))
    with pytest.raises(ArgumentError, match="`gamma` of channel 'bit_flip' is unknown"):
        ChannelSpec("bit_flip", (("p", 0.1), ("gamma", 0.1)))
    with pytest.raises(ArgumentError, match="`kind` of channel 'bitflip' must be one of"):
        ChannelSpec("bitflip", (("p", 0.1),))


def test_the_catalogue_finds_noise_models() -> None:
    assert find("noise_models", "paper").name == "paper.toml"


def test_the_example_in_the_documentation_is_a_noise_file(noise_file: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "noise.md"
    noise_file.write_text(
        page.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0], encoding="utf-8"
    )
    spec = read_noise(noise_file)
    assert [error.after for error in spec.errors] == [("u", "cz"), ("cz",)]
    assert spec.readout[0].qubits == (3,)
