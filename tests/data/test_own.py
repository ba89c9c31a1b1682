"""Data of the user's own: what becomes a data set, and what is refused in one line."""

from __future__ import annotations

import shutil
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from sqdr_qiskit.data import as_splits, load_dataset, read_image, read_source
from sqdr_qiskit.errors import ArgumentError, DataError

CLASSES = {"aster": 14, "bluebell": 9, "crocus": 7, "daisy & rose": 6, "élan <i>": 5}
MODES = ("RGB", "RGBA", "L", "P", "CMYK", "1", "LA")


def picture(rng: np.random.Generator, number: int, *, grey: bool = False) -> Image.Image:
    """A picture of some size and mode."""
    height, width = rng.integers(18, 50, 2)
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return image.convert("L" if grey else MODES[number % len(MODES)])


def class_folders(root: Path, rng: np.random.Generator, *, grey: bool = False) -> Path:
    """Five unequal classes of pictures of mixed modes and sizes."""
    for name, n_images in CLASSES.items():
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(n_images):
            image = picture(rng, number, grey=grey)
            suffix = "jpg" if image.mode == "CMYK" else "png"
            image.save(folder / f"{number:02d}.{suffix}")
    return root


def test_class_folders_become_a_data_set(tmp_path: Path, rng: np.random.Generator) -> None:
    root = class_folders(tmp_path / "flowers", rng)
    (root / "aster" / "notes.txt").write_text("no picture")
    (root / ".hidden").mkdir()
    told: list[tuple[str, int, int | None, str]] = []
    data = load_dataset(str(root), validation=0.2, seed=3, progress=lambda *now: told.append(now))
    assert data.class_names == tuple(sorted(CLASSES))
    assert data.n_channels == 3
    assert 18 <= data.size[0] == data.size[1] <= 50
    assert data.validation is not None
    parts = (data.train, data.validation, data.test)
    assert sum(map(len, parts)) == sum(CLASSES.values())
    names = [name for part in parts for name in part.names]
    assert len(set(names)) == len(names)
    for part in parts:
        for name, label in zip(part.names, part.labels, strict=True):
            assert (tmp_path / name).is_file()
            assert name.split("/")[1] == data.class_names[label]
    assert (
        np.abs(np.bincount(data.test.labels) - 0.2 * np.array([CLASSES[n] for n in data.class_names])).max()
        < 1
    )
    assert told[-1] == ("reading flowers", 41, 41, "images")
    assert "scaled with their proportions" in data.source
    assert "in colour" in data.source


def test_an_image_keeps_its_name_whatever_is_taken(tmp_path: Path, rng: np.random.Generator) -> None:
    root = class_folders(tmp_path / "flowers", rng)
    whole, few = load_dataset(str(root)), load_dataset(str(root), test_limit=5, limit=10, seed=4)
    known = dict(zip(whole.test.names, whole.test.images, strict=True))
    for name, image in zip(few.test.names, few.test.images, strict=True):
        np.testing.assert_array_equal(image, known[name])


def test_splits_follow_the_seed_but_not_the_test_images(tmp_path: Path, rng: np.random.Generator) -> None:
    root = str(class_folders(tmp_path / "flowers", rng))
    first, again, other = (load_dataset(root, validation=0.25, seed=seed) for seed in (1, 1, 2))
    assert first.record() == again.record()
    assert first.test.digest == other.test.digest
    assert first.train.digest != other.train.digest


def test_folders_of_parts_are_kept_apart(tmp_path: Path, rng: np.random.Generator) -> None:
    for part in ("train", "val", "test"):
        class_folders(tmp_path / "set" / part, rng)
    data = load_dataset(str(tmp_path / "set"))
    assert data.validation is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [41, 41, 41]
    assert all(name.startswith("set/val/") for name in data.validation.names)
    with pytest.raises(ArgumentError, match=r"`validation` must be left out with data set set.*of its own"):
        load_dataset(str(tmp_path / "set"), validation=0.1)


def test_grey_pictures_stay_grey_and_are_read_like_the_set(tmp_path: Path, rng: np.random.Generator) -> None:
    root = class_folders(tmp_path / "grey", rng, grey=True)
    data = load_dataset(str(root), image_size=(20, 24))
    assert (data.n_channels, data.size, data.style) == (1, (20, 24), "whole")
    for name, image in list(zip(data.test.names, data.test.images, strict=True))[:4]:
        alone = read_image(tmp_path / name, channels=1, size=(20, 24), style="whole")
        np.testing.assert_array_equal(alone, image)


def test_pictures_of_one_size_are_taken_as_they_are(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (12, 20, 30), dtype=np.uint8)
    for number, image in enumerate(pixels):
        folder = tmp_path / "set" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    source = read_source(str(tmp_path / "set"))
    found = source.parts["train"]
    np.testing.assert_array_equal(found.images[:, 0], np.concatenate([pixels[::2], pixels[1::2]]))
    assert "20 x 30 pixels as they are" in source.words


def test_a_thousand_classes(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (3000, 16, 16), dtype=np.uint8)
    data = as_splits((x, np.arange(3000) % 1000))
    assert len(data.class_names) == 1000
    assert set(data.train.labels.tolist()) == set(range(1000))


# --- what is refused --------------------------------------------------------------------------------------


def truncate(root: Path) -> None:
    file = root / "crocus" / "03.png"
    file.write_bytes(file.read_bytes()[:120])


def elongated(root: Path) -> None:
    """A file that says that it has 88 million pixels in one row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 88_000_000, 1, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(88_000_001), 9))
    (root / "aster" / "00.png").write_bytes(png + chunk(b"IEND", b""))


def rename(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / old).rename(root / new)


def empty(root: Path) -> None:
    for file in (root / "aster").iterdir():
        file.unlink()


def keep_one(root: Path) -> None:
    for name in list(CLASSES)[1:]:
        shutil.rmtree(root / name)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, r"crocus.03\.png' cannot be read: .*--skip-damaged"),
    "no picture": (lambda root: (root / "aster" / "x.png").write_text("hello"), r"x\.png' is not an image"),
    "empty file": (lambda root: (root / "aster" / "x.png").touch(), r"x\.png' is empty"),
    "elongated": (elongated, r"00\.png' is 88,000,000 x 1 pixels: the longer side must be at most"),
    "empty class": (empty, r"class 'aster' is empty"),
    "one class": (keep_one, r"from 2 to 1,000 classes, but there are 1 \('aster'\)"),
    "alike": (rename("crocus", "ASTER"), r"class names must differ, but there are 'ASTER' and 'aster'"),
    "unprintable": (rename("crocus", "cro\x1b[31mcus"), r"class name .* must be printable"),
    "no class in train": (
        lambda root: (root / "train").mkdir(),
        r"folder 'aster' must be train, val or test",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_cannot_be_is_refused_in_one_line(
    case: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    break_it, words = REFUSED[case]
    root = class_folders(tmp_path / "flowers", rng)
    break_it(root)
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(str(root))
    assert "\n" not in str(caught.value)


def test_damaged_pictures_are_left_out_only_if_asked(tmp_path: Path, rng: np.random.Generator) -> None:
    root = class_folders(tmp_path / "flowers", rng)
    truncate(root)
    (root / "aster" / "x.png").write_text("hello")
    data = load_dataset(str(root), skip_damaged=True)
    assert len(data.train) + len(data.test) == sum(CLASSES.values()) - 1
    assert "2 damaged pictures left out" in data.source
    assert not any("03.png" in name and "crocus" in name for name in data.train.names + data.test.names)


def test_more_than_memory_is_refused_before_it_is_read(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folders(tmp_path / "flowers", rng)

    class Little:
        available = 20_000

    monkeypatch.setattr("psutil.virtual_memory", Little)
    with pytest.raises(DataError, match=r"its images take .* GB of memory, but only .* are free"):
        load_dataset(str(root))
    np.savez(tmp_path / "x.npz", x=np.zeros((100, 28, 28), np.uint8), y=np.zeros(100, np.int64))
    with pytest.raises(DataError, match=r"its images take .* GB of memory"):
        load_dataset(str(tmp_path / "x.npz"))


# --- arrays -------------------------------------------------------------------------------------------------


def arrays(rng: np.random.Generator, n: int = 60, shape: tuple[int, ...] = (28, 28)) -> dict[str, Any]:
    return {"x": rng.integers(0, 256, (n, *shape), dtype=np.uint8), "y": np.arange(n) % 3}


def test_medmnist_files(tmp_path: Path, rng: np.random.Generator) -> None:
    held: dict[str, Any] = {}
    for part, n_images in (("train", 60), ("val", 20), ("test", 30)):
        held[f"{part}_images"] = rng.integers(0, 256, (n_images, 28, 28, 3), dtype=np.uint8)
        held[f"{part}_labels"] = (np.arange(n_images) % 8)[:, None].astype(np.uint8)
    np.savez_compressed(tmp_path / "bloodmnist.npz", **held)
    data = load_dataset(str(tmp_path / "bloodmnist.npz"))
    assert data.validation is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [60, 20, 30]
    assert (data.n_channels, data.size, len(data.class_names)) == (3, (28, 28), 8)
    np.testing.assert_array_equal(data.test.images, held["test_images"].transpose(0, 3, 1, 2))
    assert data.test.names[4] == "bloodmnist/test[4]"


def test_plain_arrays_with_names(tmp_path: Path, rng: np.random.Generator) -> None:
    held = arrays(rng)
    names = np.array(["ant", "bee", "cat"])
    np.savez(tmp_path / "zoo.npz", x=held["x"] / 255.0, y=held["y"], class_names=names)
    data = load_dataset(str(tmp_path / "zoo.npz"))
    assert data.class_names == ("ant", "bee", "cat")
    by_label = load_dataset_of(tmp_path / "words.npz", x=held["x"], y=names[held["y"].astype(int)])
    assert by_label.class_names == data.class_names
    np.testing.assert_array_equal(by_label.test.images, data.test.images)
    assert data.test.names[0] == f"zoo[{data.test.index[0] if data.test.index is not None else ''}]"


def load_dataset_of(path: Path, **held: NDArray[np.generic]):  # type: ignore[no-untyped-def]
    np.savez(path, **held)  # type: ignore[arg-type]
    return load_dataset(str(path))


def test_large_arrays_are_made_smaller_and_small_ones_larger(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    assert load_dataset_of(tmp_path / "l.npz", **arrays(rng, 20, (224, 224))).size == (64, 64)
    assert load_dataset_of(tmp_path / "s.npz", **arrays(rng, 20, (8, 8))).size == (16, 16)
    assert load_dataset_of(tmp_path / "c.npz", **arrays(rng, 20, (3, 32, 48))).n_channels == 3


BAD_ARRAYS: dict[str, tuple[dict[str, NDArray[np.generic]], str]] = {
    "labels out of range": ({"y": np.arange(60) - 1}, r"labels must be from 0 to \d+, but there is -1"),
    "too many classes": ({"y": np.arange(60) * 100}, r"labels must be from 0 to 999, but there is 5900"),
    "a class without images": ({"y": np.arange(60) % 3 * 2}, r"class '1' has no training images"),
    "one class": ({"y": np.zeros(60, int)}, r"from 2 to 1,000 classes, but there are 1"),
    "fractions": ({"y": np.arange(60) / 7}, r"labels of train must be whole numbers"),
    "several labels": ({"y": np.zeros((60, 14))}, r"several labels per image"),
    "too few labels": ({"y": np.arange(59) % 3}, r"60 images and 59 labels"),
    "NaN": (
        {"x": np.where(np.arange(60)[:, None, None] == 7, np.nan, np.ones((60, 9, 9)))},
        r"image 7 of train",
    ),
    "range": ({"x": np.full((60, 9, 9), 300.0)}, r"go from 300 to 300"),
    "shape": ({"x": np.zeros((60, 9, 9, 2), np.uint8)}, r"but are of shape \(60, 9, 9, 2\)"),
    "objects": ({"x": np.array([None] * 60)}, r"holds Python objects"),
    "class names alike": ({"class_names": np.array(["a", "A", "b"])}, r"class names must differ"),
    "too few class names": ({"class_names": np.array(["a", "b"])}, r"from 0 to 1, but there is 2"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_cannot_be_are_refused_in_one_line(
    case: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    changed, words = BAD_ARRAYS[case]
    with pytest.raises(DataError, match=words) as caught:
        load_dataset_of(tmp_path / "bad.npz", **{**arrays(rng), **changed})
    assert "\n" not in str(caught.value)


def test_files_that_are_no_arrays_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match=r"There is no file .*a\.npz"):
        load_dataset(str(path))
    path.write_bytes(b"PK no")
    with pytest.raises(DataError, match=r"is no intact \.npz file"):
        load_dataset(str(path))
    np.savez(path, **arrays(rng))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"is no intact \.npz file"):
        load_dataset(str(path))
    np.savez(path, pictures=np.zeros(3))
    with pytest.raises(DataError, match=r"there must be arrays train_images .* but there are pictures"):
        load_dataset(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(DataError, match=r"is no intact \.npz file"):
        load_dataset(str(path))


def test_skip_damaged_is_for_folders() -> None:
    with pytest.raises(ArgumentError, match=r"`skip_damaged` must be left out with data set digits"):
        load_dataset("digits", skip_damaged=True)


# --- torch ----------------------------------------------------------------------------------


class Pictures(Dataset[tuple[Image.Image, int]]):
    """A torch data set of pictures of mixed modes and sizes."""

    classes = ("low", "high")

    def __init__(self, rng: np.random.Generator, n: int = 30) -> None:
        self.pictures = [picture(rng, number) for number in range(n)]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, number: int) -> tuple[Image.Image, int]:
        return self.pictures[number], number % 2


def test_any_torch_data_set(rng: np.random.Generator) -> None:
    data = as_splits(Pictures(rng), Pictures(rng, 10), name="mine", validation=0.2, image_size=(24, 24))
    assert data.class_names == ("low", "high")
    assert (data.n_channels, data.size) == (3, (24, 24))
    assert (len(data.train), len(data.test)) == (24, 10)
    x = torch.rand(40, 3, 20, 20)
    tensors = as_splits(TensorDataset(x, torch.arange(40) % 4), class_names=("a", "b", "c", "d"))
    assert tensors.class_names == ("a", "b", "c", "d")
    assert tensors.test.index is not None
    found = dict(zip(tensors.test.index.tolist(), tensors.test.images, strict=True))
    first = next(iter(found))
    np.testing.assert_array_equal(found[first], np.rint(x[first].numpy() * 255).astype(np.uint8))


def test_arrays_and_tensors_in_memory(rng: np.random.Generator) -> None:
    held = arrays(rng)
    a = as_splits((held["x"], held["y"]), validation=0.1, seed=2)
    b = as_splits((torch.from_numpy(held["x"]), torch.from_numpy(held["y"])), validation=0.1, seed=2)
    assert a.record() == b.record()
    with pytest.raises(ArgumentError, match=r"must be all pairs of arrays or all torch data sets"):
        as_splits((held["x"], held["y"]), Pictures(rng))


def test_items_that_are_no_images_are_refused(rng: np.random.Generator) -> None:
    class Odd(Pictures):
        def __getitem__(self, number: int) -> tuple[Image.Image, int]:
            return self.pictures[number]  # type: ignore[return-value]

    with pytest.raises(DataError, match=r"item 0 must be an image and one whole-number label"):
        as_splits(Odd(rng))


def test_reading_leaves_warnings_as_they_were(tmp_path: Path, rng: np.random.Generator) -> None:
    before = list(warnings.filters)
    load_dataset(str(class_folders(tmp_path / "flowers", rng)))
    assert warnings.filters == before
