"""Images to learn from and to classify: one table of data sets, the user's own beside it, one loader.

`imagesets` is what a loaded data set is, and how it is split; `own` reads the user's, `downloads` brings
torchvision's, `images` reads single pictures.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sqdr_qiskit.data.downloads import Progress, default_data_dir, torchvision_set, unpacked_root
from sqdr_qiskit.data.images import Style, pictures_in, read_image
from sqdr_qiskit.data.imagesets import DataSplits, ImageSet, Source, split
from sqdr_qiskit.data.own import (
    arrays_source,
    folder_source,
    npz_source,
    resized_source,
    torch_source,
)
from sqdr_qiskit.errors import ArgumentError, DataError, in_one_line

__all__ = [
    "DATASETS",
    "DataSplits",
    "Dataset",
    "ImageSet",
    "Progress",
    "as_splits",
    "dataset_name",
    "load_dataset",
    "pictures_in",
    "read_image",
    "read_source",
    "split",
]


@dataclass(frozen=True)
class Dataset:
    """One row of `DATASETS`.

    Attributes:
        title: One line for listings.
        n_classes: Number of classes.
        n_channels: Colour channels.
        size: Height and width, in pixels.
        style: How `read_image` must lay out a picture to look like these images.
        read: Called as `read(data_dir, progress)`; returns a `Source`.
    """

    title: str
    n_classes: int
    n_channels: int
    size: tuple[int, int]
    style: Style
    read: Callable[[Path, Progress | None], Source]


def dataset_name(given: str) -> str | None:
    """The row of `DATASETS` that a name means (`CIFAR10` means `cifar-10`), None for a path to own data.

    A path has a separator in it, ends in .npz, or names a folder that is there.

    Raises:
        DataError: If it is neither.
    """
    if given in DATASETS:
        return given
    if os.sep in given or "/" in given or given.lower().endswith(".npz"):
        return None
    plain = {_plain(name): name for name in DATASETS}
    if _plain(given) in plain:
        return plain[_plain(given)]
    if Path(given).is_dir():
        return None
    close = difflib.get_close_matches(_plain(given), plain, n=1)
    hint = f" Did you mean {plain[close[0]]!r}?" if close else ""
    raise DataError(
        f"There is no data set {given!r}: there are {', '.join(DATASETS)}; or give a folder of class "
        f"folders or an .npz file.{hint}"
    )


def load_dataset(
    name: str,
    *,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    test_limit: int | None = None,
    seed: int = 0,
    validation: float = 0.0,
    image_size: tuple[int, int] | None = None,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> DataSplits:
    """Load a data set into memory, split for training, validation and test: `read_source`, then `split`.

    Args:
        name: A name in `DATASETS`, a folder of class folders (`folder_source`) or an .npz file
            (`npz_source`).
        data_dir: Folder in torchvision's layout (`<data_dir>/MNIST/raw/*.gz`; the .gz files are enough).
            Default: `SQDR_DATA_DIR`, else a folder in the user's cache. Files that are missing are downloaded
            into it.
        limit: Number of training images to keep, class-balanced; None for all.
        test_limit: Number of test images to keep, class-balanced; None for all.
        seed: Chooses which images `limit`, `test_limit` and `validation` take.
        validation: Fraction of the training images to set aside, 0 to below 1, stratified by class.
        image_size: Height and width that images are brought to; None as they are (own data: see
            `folder_source`).
        skip_damaged: Leave out pictures of a folder that cannot be read.
        progress: Called while files are downloaded or read; see `Progress`. Nothing is printed.

    Returns:
        The splits; images in the data set's own order within each part.

    Raises:
        ArgumentError: If `limit`, `test_limit`, `validation` or `seed` is out of range.
        DataError: If there is no such data set, its files are missing offline or damaged, or it cannot be
            one.
        StorageError: If the data folder cannot be written to.
    """
    if not 0.0 <= validation < 1.0:
        raise ArgumentError(
            f"Argument `validation` must be a fraction from 0 to below 1, but is {validation}."
        )
    source = read_source(
        name, data_dir=data_dir, image_size=image_size, skip_damaged=skip_damaged, progress=progress
    )
    return split(source, limit=limit, test_limit=test_limit, seed=seed, validation=validation)


def read_source(
    name: str,
    *,
    data_dir: str | Path | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> Source:
    """Read a data set as it comes; arguments as for `load_dataset`, `channels` as for `folder_source`."""
    row = dataset_name(name)
    if skip_damaged and (row is not None or name.lower().endswith(".npz")):
        raise ArgumentError(
            f"Argument `skip_damaged` must be left out with data set {name}, which is no folder of pictures."
        )
    if row is not None:
        folder = Path(data_dir).expanduser() if data_dir else default_data_dir()
        return resized_source(DATASETS[row].read(folder, progress), image_size, progress)
    if name.lower().endswith(".npz"):
        return npz_source(name, image_size=image_size, progress=progress)
    return folder_source(
        name, image_size=image_size, channels=channels, skip_damaged=skip_damaged, progress=progress
    )


def as_splits(
    train: Any,
    test: Any = None,
    *,
    validation_data: Any = None,
    class_names: tuple[str, ...] | None = None,
    name: str = "own",
    image_size: tuple[int, int] | None = None,
    limit: int | None = None,
    seed: int = 0,
    validation: float = 0.0,
    progress: Progress | None = None,
) -> DataSplits:
    """The splits of data in memory, to train and evaluate on like any other.

    Args:
        train: A `torch.utils.data.Dataset` of (image, label) items (`torch_source`), or a pair (images,
            labels) of arrays or tensors (`arrays_source`).
        test: Likewise; None takes a stratified fifth of `train`.
        validation_data: Likewise; None for none but what `validation` sets aside.
        class_names: One per class; by default the data's own, else numbers.
        name: What to call the data.
        image_size: Height and width that images are brought to; None: their own, between 16 and 64 pixels.
        limit: See `load_dataset`, as `seed` and `validation`.
        seed: See there.
        validation: See there.
        progress: Called as images are read.

    Raises:
        DataError: If the data cannot be a data set.
        ArgumentError: If `limit`, `seed` or `validation` is out of range.
    """
    given = {"train": train, "validation": validation_data, "test": test}
    parts = {part: data for part, data in given.items() if data is not None}
    pairs = {part for part, data in parts.items() if isinstance(data, tuple | list) and len(data) == 2}
    if pairs and pairs != set(parts):
        raise ArgumentError(
            "Arguments `train`, `test` and `validation_data` must be all pairs of arrays or all torch data "
            "sets."
        )
    make: Callable[..., Source] = arrays_source if pairs else torch_source
    source = make(parts, class_names=class_names, name=name, image_size=image_size, progress=progress)
    return split(source, limit=limit, seed=seed, validation=validation)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


_DIGITS_SIZE = (16, 16)  # enlarged from 8 x 8


def _read_digits(data_dir: Path, progress: Progress | None) -> Source:
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.rint(found.images * (255.0 / 16.0)).astype(np.uint8)  # 0..16 -> 0..255
    # The encoder halves an image three times; of 8 x 8 pixels one would be left.
    enlarged = [
        np.asarray(Image.fromarray(image).resize(_DIGITS_SIZE, Image.Resampling.BILINEAR)) for image in pixels
    ]
    return Source(
        name="digits",
        words="scikit-learn load_digits, 8 x 8 pixels enlarged to 16 x 16",
        class_names=_DIGITS,
        parts={
            "train": ImageSet(np.stack(enlarged)[:, None], found.target.astype(np.int64), origin="digits")
        },
        style="fill",
    )


def _idx(name: str, class_name: str, class_names: tuple[str, ...], style: Style) -> Dataset:
    """A row for MNIST or one of its kin: 28 x 28 pixels in IDX files, which we carry and unpack ourselves."""

    def read(data_dir: Path, progress: Progress | None) -> Source:
        import torchvision.datasets

        dataset = getattr(torchvision.datasets, class_name)
        parts = {}
        with unpacked_root(dataset, data_dir, progress) as root:
            for part in ("train", "test"):
                try:
                    loaded = dataset(root, train=part == "train")
                    found = ImageSet(
                        loaded.data.numpy()[:, None],
                        loaded.targets.numpy().astype(np.int64),
                        origin=f"{name}/{part}",
                    )
                    if found.images.shape[2:] != (28, 28):
                        raise DataError(
                            f"images of {' x '.join(map(str, found.images.shape[2:]))} pixels, not 28 x 28"
                        )
                    if not len(found) or int(found.labels.max()) > 9:
                        raise DataError(f"{len(found)} images, or labels above 9")
                # torchvision raises anything from AssertionError to KeyError on a damaged file.
                except Exception as error:
                    files = f"{'train' if part == 'train' else 't10k'}-*-ubyte"
                    raise DataError(
                        f"Data set {class_name}: unpacked files {files} in {data_dir / class_name / 'raw'} "
                        f"are damaged ({in_one_line(error)}): delete them, then run again to get them anew."
                    ) from error
                parts[part] = found
        words = f"torchvision.datasets.{class_name}"
        return Source(name=name, words=words, class_names=class_names, parts=parts, style=style)

    title = {"mnist": "handwritten digits", "fashion-mnist": "pieces of clothing"}
    words = f"70,000 {title.get(name, 'cursive Japanese characters')}"
    return Dataset(words, 10, 1, (28, 28), style, read)


def _vision(
    name: str,
    class_name: str,
    title: str,
    n_classes: int,
    n_channels: int,
    *,
    size: tuple[int, int],
    parts: Mapping[str, Mapping[str, Any]],
    style: Style = "whole",
    class_names: tuple[str, ...] | None = None,
    upright: bool = True,
) -> Dataset:
    """A row for any other of torchvision's classification sets.

    Args:
        name: The row's name.
        class_name: In `torchvision.datasets`.
        title: One line.
        n_classes: Number of classes.
        n_channels: Colour channels.
        size: Height and width that images are brought to.
        parts: For `train` and perhaps `validation` and `test`: what the class is called with.
        style: See `Dataset`.
        class_names: One per class; None for the class's own.
        upright: False for images that lie on their side.
    """

    def read(data_dir: Path, progress: Progress | None) -> Source:
        import torchvision.datasets

        make = getattr(torchvision.datasets, class_name)
        found = {
            part: torchvision_set(partial(make, **options), data_dir, progress)
            for part, options in parts.items()
        }
        source = torch_source(
            found, class_names=class_names, name=name, image_size=size, style=style, upright=upright,
            channels=n_channels, progress=progress,
        )  # fmt: skip
        return replace(source, words=f"torchvision.datasets.{class_name}, {source.words.split(', ', 1)[1]}")

    return Dataset(title, n_classes, n_channels, size, style, read)


_DIGITS = tuple("0123456789")
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_CAPITALS, _SMALL = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), tuple("abcdefghijklmnopqrstuvwxyz")
_MERGED = (*_DIGITS, *_CAPITALS, *"abdefghnqrt")  # letters alike in both cases are one class
_TRAIN_TEST = {"train": {"train": True}, "test": {"train": False}}
_SPLITS = {"train": {"split": "train"}, "test": {"split": "test"}}
_THREE = {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}


def _emnist(split_name: str, title: str, class_names: tuple[str, ...], **more: Any) -> Dataset:
    parts = {part: {"split": split_name, **options, **more} for part, options in _TRAIN_TEST.items()}
    return _vision(
        f"emnist-{split_name}", "EMNIST", title, len(class_names), 1, size=(28, 28), parts=parts,
        style="mnist", class_names=class_names, upright=False,
    )  # fmt: skip


def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    """Small letters, told from capitals where there are both."""
    return tuple(f"small {name}" if name.islower() else name for name in names)


_ONE: dict[str, dict[str, Any]] = {"train": {}}
_PETS = {"train": {"split": "trainval"}, "test": {"split": "test"}}
_IMAGENETTE = {"train": {"split": "train", "size": "160px"}, "test": {"split": "val", "size": "160px"}}
_COUNTRIES = {**_THREE, "validation": {"split": "valid"}}
_AS_USPS: dict[str, Any] = {"class_names": _DIGITS, "style": "fill"}
_AS_MNIST: dict[str, Any] = {"class_names": _DIGITS, "style": "mnist"}

# Name, class in torchvision, title, classes, channels, size, parts, the rest.
_ROWS: tuple[tuple[str, str, str, int, int, int, Mapping[str, Any], dict[str, Any]], ...] = (
    ("cifar-10", "CIFAR10", "60,000 animals and vehicles", 10, 3, 32, _TRAIN_TEST, {}),
    ("cifar-100", "CIFAR100", "60,000 things", 100, 3, 32, _TRAIN_TEST, {}),
    ("svhn", "SVHN", "99,289 house numbers", 10, 3, 32, _SPLITS, {"class_names": _DIGITS}),
    ("usps", "USPS", "9,298 digits of postcodes", 10, 1, 16, _TRAIN_TEST, _AS_USPS),
    ("qmnist", "QMNIST", "120,000 handwritten digits", 10, 1, 28, _TRAIN_TEST, _AS_MNIST),
    ("semeion", "SEMEION", "1,593 handwritten digits", 10, 1, 16, _ONE, _AS_USPS),
    ("stl-10", "STL10", "13,000 animals and vehicles", 10, 3, 64, _SPLITS, {}),
    ("gtsrb", "GTSRB", "39,270 traffic signs", 43, 3, 32, _SPLITS, {}),
    ("eurosat", "EuroSAT", "27,000 satellite pictures", 10, 3, 64, _ONE, {}),
    ("flowers-102", "Flowers102", "8,189 flowers", 102, 3, 64, _THREE, {}),
    ("dtd", "DTD", "5,640 textures", 47, 3, 64, _THREE, {}),
    ("food-101", "Food101", "101,000 dishes", 101, 3, 64, _SPLITS, {}),
    ("oxford-pets", "OxfordIIITPet", "7,349 cats and dogs", 37, 3, 64, _PETS, {}),
    ("fgvc-aircraft", "FGVCAircraft", "10,000 aircraft", 100, 3, 64, _THREE, {}),
    ("imagenette", "Imagenette", "13,394 things", 10, 3, 64, _IMAGENETTE, {}),
    ("caltech-101", "Caltech101", "8,677 things", 101, 3, 64, _ONE, {}),
    ("caltech-256", "Caltech256", "30,607 things", 257, 3, 64, _ONE, {}),
    ("sun-397", "SUN397", "108,754 scenes", 397, 3, 64, _ONE, {}),
    ("country-211", "Country211", "63,300 photographs by country", 211, 3, 64, _COUNTRIES, {}),
    ("rendered-sst2", "RenderedSST2", "9,613 rendered sentences", 2, 3, 64, _THREE, {}),
    ("stanford-cars", "StanfordCars", "16,185 cars", 196, 3, 64, _SPLITS, {}),
    ("omniglot", "Omniglot", "19,280 characters of 30 alphabets", 964, 1, 28, _ONE, {}),
    ("pcam", "PCAM", "327,680 patches of tissue", 2, 3, 32, _THREE, {}),
)

DATASETS: dict[str, Dataset] = {
    "digits": Dataset("1,797 handwritten digits (scikit-learn)", 10, 1, _DIGITS_SIZE, "fill", _read_digits),
    "mnist": _idx("mnist", "MNIST", _DIGITS, "mnist"),
    "fashion-mnist": _idx("fashion-mnist", "FashionMNIST", _FASHION, "fill"),
    "kmnist": _idx("kmnist", "KMNIST", _KUZUSHIJI, "fill"),
    "emnist-digits": _emnist("digits", "280,000 handwritten digits", _DIGITS),
    "emnist-letters": _emnist(
        "letters",
        "145,600 letters, capitals and small ones together",
        _SMALL,
        target_transform=lambda label: label - 1,  # a is 1 there
    ),
    "emnist-balanced": _emnist("balanced", "131,600 digits and letters", _lower(_MERGED)),
    "emnist-bymerge": _emnist("bymerge", "814,255 digits and letters", _lower(_MERGED)),
    "emnist-byclass": _emnist(
        "byclass", "814,255 digits, capitals and small letters", (*_DIGITS, *_CAPITALS, *_lower(_SMALL))
    ),
    "emnist-mnist": _emnist("mnist", "70,000 handwritten digits", _DIGITS),
    **{row[0]: _vision(*row[:5], size=(row[5], row[5]), parts=row[6], **row[7]) for row in _ROWS},
}
