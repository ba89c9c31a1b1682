from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError, CheckpointError, StorageError
from sqdr_qiskit.model.network import (
    SQDRCNN,
    Checkpoint,
    ModelSettings,
    build_model,
    load_weights,
    named_weights,
    read_checkpoint,
    require_fit,
    restore,
    save_checkpoint,
)
from sqdr_qiskit.specs.circuit import circuit_spec


def test_the_four_sizes_of_table_3_have_its_numbers_of_parameters() -> None:
    for name, total in (("2b-9q", 803), ("4b-9q", 857), ("2b-18q", 1190), ("4b-18q", 1298)):
        model = build_model(ModelSettings(circuit=circuit_spec(name)), make_backend("exact"))
        assert sum(weight.numel() for weight in model.parameters()) == total, name


def test_the_network_is_its_three_parts(rng: np.random.Generator) -> None:
    encoder = SpikingEncoder(n_features=6).eval()
    quantum = nn.Linear(6, 3)
    head = nn.Linear(3, 4)
    model = SQDRCNN(encoder, quantum, head, n_classes=4, angle_scale=1.7)
    images = torch.from_numpy(rng.integers(0, 256, (5, 1, 8, 8), dtype=np.uint8))
    with torch.no_grad():
        expected = head(quantum(1.7 * encoder(images)))
        assert torch.equal(model(images), expected)


def test_without_a_head_the_first_outputs_are_the_logits(rng: np.random.Generator) -> None:
    settings = ModelSettings(circuit=circuit_spec("2b-5q"), n_classes=3, head=False)
    model = build_model(settings, make_backend("exact")).eval()
    images = torch.from_numpy(rng.integers(0, 256, (2, 1, 8, 8), dtype=np.uint8))
    with torch.no_grad():
        logits = model(images)
        assert logits.shape == (2, 3)
        assert torch.equal(logits, model.expectations(model.encode(images))[:, :3])
    assert model.head is None


def test_uint8_and_floating_point_images_are_the_same(rng: np.random.Generator) -> None:
    model = build_model(ModelSettings(circuit=circuit_spec("2b-3q")), make_backend("exact")).eval()
    images = torch.from_numpy(rng.integers(0, 256, (3, 1, 8, 8), dtype=np.uint8))
    with torch.no_grad():
        assert torch.equal(model(images), model(images.double() / 255.0))


def test_settings_survive_their_record() -> None:
    settings = ModelSettings(circuit=circuit_spec("2b-12q"), in_channels=3, head=False, angle_scale=2.5)
    assert ModelSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(ArgumentError, match="differs in color"):
        ModelSettings.from_dict({**settings.to_dict(), "color": 1})


def test_more_classes_than_outputs_need_a_head() -> None:
    settings = ModelSettings(circuit=circuit_spec("2b-9q"))
    message = r"`head` must be true for circuit 2b-9q, .* need at least 10 qubits, and it has 9"
    with pytest.raises(ArgumentError, match=message):
        replace(settings, head=False)
    assert not replace(settings, head=False, n_classes=9).head


def test_settings_out_of_range_are_refused() -> None:
    settings = ModelSettings(circuit=circuit_spec("2b-9q"))
    with pytest.raises(ArgumentError, match="`n_classes` must be at least 2, but is 1"):
        replace(settings, n_classes=1)
    with pytest.raises(ArgumentError, match="`angle_scale` must be a finite number, but is nan"):
        replace(settings, angle_scale=float("nan"))


SETTINGS = ModelSettings(circuit=circuit_spec("2b-9q"), angle_scale=1.5)


def build(settings: ModelSettings = SETTINGS) -> SQDRCNN:
    return build_model(settings, make_backend("exact"))


def checkpoint(model: SQDRCNN, settings: ModelSettings = SETTINGS) -> Checkpoint:
    return Checkpoint(
        settings=settings,
        weights=named_weights(model),
        recipe={"name": "ours", "epochs": 3},
        dataset={"name": "digits", "class_names": ["0", "1"], "size": [8, 8], "style": "fill"},
        metrics={"accuracy": 0.5, "validation_accuracy": None},
        versions={"torch": "2"},
        seed=4,
    )


def test_a_network_comes_back_with_the_same_answers(tmp_path: Path, rng: np.random.Generator) -> None:
    model = build().train()
    images = torch.from_numpy(rng.integers(0, 256, (6, 1, 8, 8), dtype=np.uint8))
    model(images)  # moves the batch norms' statistics
    model.eval()
    path = save_checkpoint(tmp_path / "a.safetensors", checkpoint(model))
    found = read_checkpoint(path)
    assert found.describe() == checkpoint(model).describe()
    again = restore(found, make_backend("exact"))
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(images), model(images))


def test_a_checkpoint_is_small_repeatable_and_holds_each_weight_once(tmp_path: Path) -> None:
    model = build()
    paths = [save_checkpoint(tmp_path / name, checkpoint(model)) for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size < 12_000
    stored = safetensors.torch.load_file(paths[0])
    assert [name for name in stored if name.startswith("quantum")] == ["quantum.weight"]
    floats = [name for name in stored if "running" not in name and "tracked" not in name]
    assert sum(stored[name].numel() for name in floats) == 803


Weights = dict[str, torch.Tensor]


def _without(weights: Weights) -> None:
    del weights["head.bias"]


def _more(weights: Weights) -> None:
    weights["tail"] = torch.zeros(1)


def _longer(weights: Weights) -> None:
    weights["quantum.weight"] = torch.zeros(55)


def _whole(weights: Weights) -> None:
    weights["head.bias"] = torch.zeros(10, dtype=torch.int64)


def _infinite(weights: Weights) -> None:
    weights["head.bias"] = torch.full((10,), float("nan"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without, r"a.safetensors: weight `head.bias` is missing"),
        (_more, r"weight `tail` belongs to no part of the network"),
        (_longer, r"weight `quantum.weight` must be torch.float32 of shape \(54,\), .* of shape \(55,\)"),
        (_whole, r"weight `head.bias` must be torch.float32 .* but is torch.int64"),
        (_infinite, r"weight `head.bias` holds a value that is not a finite number"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(damage: Callable[[Weights], None], message: str) -> None:
    model = build()
    before = {name: tensor.clone() for name, tensor in named_weights(model).items()}
    weights = {name: tensor + 1 for name, tensor in before.items()}
    damage(weights)
    with pytest.raises(CheckpointError, match=message):
        load_weights(model, weights, where="a.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in named_weights(model).items())


def test_a_checkpoint_for_another_network_is_refused_by_the_field_that_differs() -> None:
    found = checkpoint(build())
    require_fit(found, where="a.safetensors", in_channels=1, n_classes=10)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"in_channels": 3}, "field `in_channels` must be 3, but is 1"),
        ({"n_classes": 47}, "field `n_classes` must be 47, but is 10"),
        ({"model": "convnet"}, "a.safetensors: field `model` must be 'convnet', but is 'circuit'"),
    ]
    for wanted, message in wrong:
        with pytest.raises(CheckpointError, match=message):
            require_fit(found, where="a.safetensors", **wanted)


def test_a_description_that_does_not_match_the_weights_is_refused() -> None:
    found = checkpoint(build(), ModelSettings(circuit=circuit_spec("4b-9q")))
    with pytest.raises(
        CheckpointError,
        match=r"weight `quantum.weight` must be .*\(108,\), but is "
        r".*\(54,\)",
    ):
        restore(found, make_backend("exact"))


def test_damaged_missing_and_foreign_files_get_one_line(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "a.safetensors", checkpoint(build()))
    whole = path.read_bytes()
    for damaged in (whole[:1000], b"", b"junk" * 50, b"\xff" * 8 + whole[8:]):
        path.write_bytes(damaged)
        with pytest.raises(
            CheckpointError,
            match=r"^a.safetensors: is no intact checkpoint \([^\n]*\); "
            "copy it anew",
        ):
            read_checkpoint(path)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        read_checkpoint(tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        read_checkpoint(tmp_path)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="is a safetensors file, but no checkpoint of sqdr-qiskit"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{", "its description is damaged"),
        ('{"schema": 2}', "field `schema` must be 1, .* but is 2"),
        ('{"schema": 1}', r"its description is damaged \('model'\)"),
        ('{"schema": 1, "model": {}}', "its description is damaged .*must have exactly a model's settings"),
    ],
)
def test_a_damaged_description_is_refused(header: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, metadata={"sqdr-qiskit": header}))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_checkpoint(tmp_path / "a.safetensors", checkpoint(build()))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"Cannot write 'a.safetensors'"):
        save_checkpoint(path, checkpoint(build()))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
