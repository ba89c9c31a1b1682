"""torchvision's sets by name, on small files of their shape; nothing is downloaded."""

from __future__ import annotations

import bz2
import pickle
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision.datasets

from sqdr_qiskit.data import DATASETS, dataset_name, downloads, load_dataset
from sqdr_qiskit.errors import ArgumentError, DataError, StorageError

from .conftest import FakeKMNIST, idx_bytes


@pytest.fixture(autouse=True)
def nothing_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files made here have other checksums than the real ones."""
    for name in ("cifar", "svhn"):
        monkeypatch.setattr(
            f"torchvision.datasets.{name}.check_integrity", lambda path, md5=None: Path(path).is_file()
        )


def cifar(root: Path, rng: np.random.Generator) -> dict[str, Any]:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    made: dict[str, Any] = {}
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        made[name] = {
            "data": rng.integers(0, 256, (20, 3072), dtype=np.uint8),
            "labels": [int(i % 10) for i in range(20)],
        }
        (folder / name).write_bytes(pickle.dumps(made[name]))
    names = [f"thing {i}" for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return made


def test_cifar_10(tmp_path: Path, rng: np.random.Generator) -> None:
    made = cifar(tmp_path, rng)
    data = load_dataset("CIFAR10", data_dir=tmp_path, validation=0.1)
    assert (data.name, data.n_channels, data.size) == ("cifar-10", 3, (32, 32))
    assert data.class_names[3] == "thing 3"
    assert (len(data.train), len(data.test)) == (90, 20)
    np.testing.assert_array_equal(data.test.images, made["test_batch"]["data"].reshape(20, 3, 32, 32))
    assert data.test.names[7] == "cifar-10/test[7]"
    smaller = load_dataset("cifar-10", data_dir=tmp_path, image_size=(16, 16))
    assert smaller.size == (16, 16)
    assert "scaled from 32 x 32 to 16 x 16" in smaller.source


def test_emnist_is_turned_upright_and_counts_from_0(tmp_path: Path, rng: np.random.Generator) -> None:
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    images = {part: rng.integers(0, 256, (52, 28, 28), dtype=np.uint8) for part in ("train", "test")}
    labels = (np.arange(52) % 26 + 1).astype(np.uint8)
    for part, pixels in images.items():
        (raw / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(idx_bytes(pixels))
        (raw / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    data = load_dataset("emnist-letters", data_dir=tmp_path)
    assert data.class_names == tuple("abcdefghijklmnopqrstuvwxyz")
    assert data.test.labels.tolist() == [i % 26 for i in range(52)]
    np.testing.assert_array_equal(data.test.images[:, 0], images["test"].transpose(0, 2, 1))
    assert data.style == "mnist"


def test_usps_and_svhn(tmp_path: Path, rng: np.random.Generator) -> None:
    for part in ("usps", "usps.t"):
        rows = [
            f"{i % 10 + 1} " + " ".join(f"{k + 1}:{v:.3f}" for k, v in enumerate(rng.uniform(-1, 1, 256)))
            for i in range(20)
        ]
        (tmp_path / f"{part}.bz2").write_bytes(bz2.compress("\n".join(rows).encode()))
    usps = load_dataset("usps", data_dir=tmp_path)
    assert (usps.size, usps.n_channels, len(usps.train), len(usps.test)) == ((16, 16), 1, 20, 20)
    assert usps.class_names == tuple("0123456789")
    for part in ("train", "test"):
        x = rng.integers(0, 256, (32, 32, 3, 20), dtype=np.uint8)
        scipy.io.savemat(tmp_path / f"{part}_32x32.mat", {"X": x, "y": (np.arange(20) % 10 + 1)[:, None]})
    svhn = load_dataset("svhn", data_dir=tmp_path)
    assert (svhn.size, svhn.n_channels) == ((32, 32), 3)
    assert svhn.test.labels[9] == 0  # SVHN's files call the digit 0 class 10


def test_every_row_names_a_class_that_torchvision_has() -> None:
    assert len(DATASETS) > 25
    for name, row in DATASETS.items():
        assert 2 <= row.n_classes <= 1000
        assert row.n_channels in (1, 3)
        assert min(row.size) >= 16
        assert dataset_name(name.upper().replace("-", "_")) == name


def test_mnist_files_of_another_size_are_refused(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            idx_bytes(rng.integers(0, 256, (20, 27, 27), dtype=np.uint8))
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes((np.arange(20) % 10).astype(np.uint8)))
    with pytest.raises(DataError, match=r"are damaged \(images of 27 x 27 pixels, not 28 x 28\)"):
        load_dataset("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["cifar-10", "svhn", "usps", "emnist-letters", "stl-10", "fgvc-aircraft"])
def test_offline_one_line_says_so_and_nothing_is_left(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    with pytest.raises(
        DataError, match=r"missing or damaged and cannot be downloaded \(.*refused.*go online"
    ) as caught:
        load_dataset(name, data_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_set_that_torchvision_does_not_download(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Data set StanfordCars: its files are missing"):
        load_dataset("stanford-cars", data_dir=tmp_path)


def test_what_is_downloaded_appears_whole(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two files the second fails: neither is left; then both come."""
    served: dict[str, bytes] = {}
    for part in ("usps", "usps.t"):
        rows = [f"{i % 10 + 1} " + " ".join(f"{k + 1}:0.5" for k in range(256)) for i in range(20)]
        served[f"{part}.bz2"] = bz2.compress("\n".join(rows).encode())
    monkeypatch.setattr("torchvision.datasets.utils.check_md5", lambda *_, **__: True)
    fail = ["usps.t.bz2"]

    def transfer(url: str, path: Path, progress: Any, deadline: float) -> None:
        name = url.rsplit("/", 1)[-1]
        if name in fail:
            raise TimeoutError("no answer within 12 s")
        path.write_bytes(served[name])

    monkeypatch.setattr(downloads, "_download", transfer)
    with pytest.raises(DataError, match=r"usps\.t\.bz2: no answer within 12 s"):
        load_dataset("usps", data_dir=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    fail.clear()
    assert len(load_dataset("usps", data_dir=tmp_path).train) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["usps.bz2", "usps.t.bz2"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "writable", lambda folder: False)
    with pytest.raises(StorageError, match=r"has no usable files of CIFAR10 and cannot be written to"):
        load_dataset("cifar-10", data_dir=tmp_path)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_mirrors_that_never_answer_are_not_waited_for_one_by_one(
    kmnist: FakeKMNIST, silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", [silent] * 5)
    monkeypatch.setattr(downloads, "ANSWER_S", 0.2)
    asked: list[float | None] = []
    plain_get = threading.Thread.start

    def started(thread: threading.Thread) -> None:
        asked.append(None)
        plain_get(thread)

    monkeypatch.setattr(threading.Thread, "start", started)
    with pytest.raises(DataError, match=r"cannot be downloaded \(no answer within 0 s\): go online"):
        load_dataset("kmnist", data_dir=tmp_path)
    assert len(asked) == 5  # one thread each, and none is joined: the error is here while they still hang


def test_torchvision_still_has_the_functions_that_carry_its_downloads() -> None:
    for name in ("_urlretrieve", "_get_redirect_url"):
        assert callable(getattr(torchvision.datasets.utils, name))


def test_bad_size_is_refused() -> None:
    with pytest.raises((ArgumentError, DataError), match="at least 8 pixels"):
        load_dataset("digits", image_size=(4, 4))
