from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sqdr_qiskit.data import DATASETS, DataSplits, load_dataset
from sqdr_qiskit.errors import ArgumentError, DataError

from .conftest import FakeKMNIST

# Training images per class, from the data sets' own documentation.
REAL = {
    "mnist": ("MNIST", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
    "fashion-mnist": ("FashionMNIST", [6000] * 10),
}


def check(splits: DataSplits) -> None:
    """What every loaded data set promises."""
    entry = DATASETS[splits.name]
    assert splits.size == entry.size
    assert splits.n_channels == entry.n_channels
    for part in (splits.train, splits.validation, splits.test):
        if part is not None:
            assert part.images.dtype == np.uint8
            assert part.labels.dtype == np.int64
            assert part.images.shape == (len(part), entry.n_channels, *entry.size)
            assert set(part.labels.tolist()) == set(range(len(splits.class_names)))
            assert part.images.min() == 0
            assert part.images.max() == 255


def test_digits_are_all_there_and_scaled() -> None:
    from sklearn.datasets import load_digits

    splits = load_dataset("digits")
    check(splits)
    assert (len(splits.train), len(splits.test), splits.validation) == (1438, 359, None)
    found = np.concatenate([splits.train.images, splits.test.images])
    assert found.shape == (1797, 1, 16, 16)
    originals = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    expected = [Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR) for image in originals]
    assert sorted(map(bytes, found)) == sorted(bytes(np.asarray(image)) for image in expected)


def test_held_out_digits_are_the_same_for_every_seed() -> None:
    first, second = load_dataset("digits", seed=1, limit=100), load_dataset("digits", seed=2, limit=100)
    assert first.test.digest == second.test.digest
    assert first.train.digest != second.train.digest
    # Pinned: with another split, models trained before would be tested on images they have seen.
    assert hashlib.sha256(first.test.labels.tobytes()).hexdigest()[:16] == "a6888213be266ab5"


def test_limit_is_shared_by_training_and_validation() -> None:
    splits = load_dataset("digits", limit=200, test_limit=30, validation=0.25, seed=4)
    check(splits)
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (150, 50, 30)
    for part in (splits.train, splits.validation, splits.test):
        assert len(set(np.bincount(part.labels).tolist())) == 1
    images = {bytes(image) for part in (splits.train, splits.validation) for image in part.images}
    assert not images & {bytes(image) for image in splits.test.images}


def test_record_is_plain_and_says_what_was_used() -> None:
    splits = load_dataset("digits", limit=50, validation=0.2)
    assert splits.validation is not None
    assert splits.record() == {
        "name": "digits",
        "source": "scikit-learn load_digits, 8 x 8 pixels enlarged to 16 x 16",
        "classes": 10,
        "size": [1, 16, 16],
        "train": {"images": 40, "sha256": splits.train.digest},
        "validation": {"images": 10, "sha256": splits.validation.digest},
        "test": {"images": 359, "sha256": splits.test.digest},
    }
    assert len(splits.train.digest) == 64


def test_digest_sees_pixels_labels_and_order() -> None:
    images = load_dataset("digits", test_limit=10).test
    other = images.take(np.arange(10)[::-1])
    assert images.digest != other.digest
    assert images.digest == other.take(np.arange(10)[::-1]).digest


@pytest.mark.parametrize("name", list(REAL))
def test_real_data_set(name: str, tmp_path: Path) -> None:
    folder, train_counts = REAL[name]
    raw = Path(os.environ.get("SQDR_DATA_DIR", "")) / folder / "raw"
    if not (raw / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no {folder} files: set SQDR_DATA_DIR to a folder that holds them")
    (tmp_path / folder / "raw").mkdir(parents=True)
    for path in raw.glob("*.gz"):
        (tmp_path / folder / "raw" / path.name).symlink_to(path.resolve())
    splits = load_dataset(name, data_dir=tmp_path)
    check(splits)
    assert np.bincount(splits.train.labels).tolist() == train_counts
    assert len(splits.test) == 10_000


def test_gz_files_alone_are_enough(
    kmnist: FakeKMNIST, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = kmnist.write_gz(tmp_path)
    splits = load_dataset("kmnist", data_dir=tmp_path)
    check(splits)
    np.testing.assert_array_equal(splits.train.images[:, 0], kmnist.arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(splits.test.labels, kmnist.arrays["t10k-labels-idx1-ubyte"])
    assert sorted(path.name for path in raw.iterdir()) == sorted([*kmnist.arrays, *kmnist.gz])
    assert capfd.readouterr() == ("", "")


def test_unpacked_files_alone_are_enough(kmnist: FakeKMNIST, tmp_path: Path) -> None:
    raw = kmnist.write_gz(tmp_path)
    first = load_dataset("kmnist", data_dir=tmp_path)
    for name in kmnist.gz:
        (raw / name).unlink()
    assert load_dataset("kmnist", data_dir=tmp_path).train.digest == first.train.digest


def test_data_folder_comes_from_the_environment(
    kmnist: FakeKMNIST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kmnist.write_gz(tmp_path)
    monkeypatch.setenv("SQDR_DATA_DIR", str(tmp_path))
    assert len(load_dataset("kmnist").train) == 40


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "labels"])
def test_damaged_unpacked_file_is_named(damage: str, kmnist: FakeKMNIST, tmp_path: Path) -> None:
    raw = kmnist.write_gz(tmp_path)
    load_dataset("kmnist", data_dir=tmp_path)
    images, labels = raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"
    if damage == "labels":
        labels.write_bytes(labels.read_bytes()[:-1] + b"\x63")
    else:
        data = images.read_bytes()
        images.write_bytes({"cut": data[:-100], "header": b"not an IDX file!" + data, "empty": b""}[damage])
    with pytest.raises(
        DataError, match=r"unpacked files train-\*-ubyte in .*raw are damaged.*delete them"
    ) as caught:
        load_dataset("kmnist", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mnits", "'mnist'"),
        ("fashon_mnist", "'fashion-mnist'"),
        ("CIFAR", "'cifar-10'"),
        ("digit", "'digits'"),
    ],
)
def test_unknown_name_gets_the_likely_spelling(name: str, hint: str) -> None:
    with pytest.raises(DataError, match=rf"There is no data set '{name}'.*Did you mean {hint}\?"):
        load_dataset(name)


def test_bad_validation_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"Argument `validation` must be a fraction .* but is 1\.5\."):
        load_dataset("digits", validation=1.5)


def test_bad_test_limit_is_named() -> None:
    with pytest.raises(ArgumentError, match=r"Argument `test_limit` must be from 1 to 359.* but is 360\."):
        load_dataset("digits", test_limit=360)
