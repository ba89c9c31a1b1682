"""The data sets a model can learn: one table, one loader."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sqdr_qiskit.data.downloads import Progress, default_data_dir, unpacked_root
from sqdr_qiskit.data.images import Style
from sqdr_qiskit.data.imagesets import DataSplits, ImageSet
from sqdr_qiskit.data.splits import balanced_subset, stratified_parts
from sqdr_qiskit.errors import ArgumentError, DataError

__all__ = ["DATASETS", "Dataset", "load_dataset"]

TEST_FRACTION = 0.2
# Not the run's seed: the held-out images are the same in every run, so no model ever trains on them.
TEST_SEED = 0

Parts = tuple[ImageSet, ImageSet, str]  # training images, test images, where they came from


@dataclass(frozen=True)
class Dataset:
    """One row of `DATASETS`.

    Attributes:
        title: One line for listings.
        class_names: One name per class, in label order.
        n_channels: Colour channels.
        size: Height and width, in pixels.
        style: How `read_image` must lay out a picture to look like these images.
        read: Called as `read(data_dir, progress)`.
    """

    title: str
    class_names: tuple[str, ...]
    n_channels: int
    size: tuple[int, int]
    style: Style
    read: Callable[[Path, Progress | None], Parts]


def load_dataset(
    name: str,
    *,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    test_limit: int | None = None,
    seed: int = 0,
    validation: float = 0.0,
    progress: Progress | None = None,
) -> DataSplits:
    """Load a data set into memory, split for training, validation and test.

    Test images are the data set's own; where there are none (`digits`), a stratified fifth of the images, the
    same for every `seed`. `limit` is applied to the training images first, then `validation` takes its part
    of what is left, so the training and validation images together number `limit`.

    Args:
        name: A name in `DATASETS`.
        data_dir: Folder in torchvision's layout (`<data_dir>/MNIST/raw/*.gz`; the .gz files are enough).
            Default: `SQDR_DATA_DIR`, else a folder in the user's cache. Files that are missing are downloaded
            into it.
        limit: Number of training images to keep, class-balanced; None for all.
        test_limit: Number of test images to keep, class-balanced; None for all.
        seed: Chooses which images `limit`, `test_limit` and `validation` take.
        validation: Fraction of the training images to set aside, 0 to below 1, stratified by class.
        progress: Called while a file is downloaded; see `Progress`. Nothing is printed.

    Returns:
        The splits; images in the data set's own order within each part.

    Raises:
        ArgumentError: If `limit`, `test_limit`, `validation` or `seed` is out of range.
        DataError: If there is no such data set, or its files are missing offline or damaged.
        StorageError: If the data folder cannot be written to.
    """
    if name not in DATASETS:
        close = difflib.get_close_matches(name.lower(), DATASETS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise DataError(f"There is no data set {name!r}: there are {', '.join(DATASETS)}.{hint}")
    if not 0.0 <= validation < 1.0:
        raise ArgumentError(
            f"Argument `validation` must be a fraction from 0 to below 1, but is {validation}."
        )
    entry = DATASETS[name]
    train, test, source = entry.read(
        Path(data_dir).expanduser() if data_dir else default_data_dir(), progress
    )
    if limit is not None:
        train = train.take(balanced_subset(train.labels, limit, seed=seed, argument="limit"))
    if test_limit is not None:
        test = test.take(balanced_subset(test.labels, test_limit, seed=seed, argument="test_limit"))
    held_out = None
    if validation > 0.0:
        kept, aside = stratified_parts(train.labels, validation, seed=seed)
        train, held_out = train.take(kept), train.take(aside)
    return DataSplits(name, source, entry.class_names, train, held_out, test)


_DIGITS_SIZE = (16, 16)  # enlarged from 8 x 8


def _read_digits(data_dir: Path, progress: Progress | None) -> Parts:
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.rint(found.images * (255.0 / 16.0)).astype(np.uint8)  # 0..16 -> 0..255
    # The encoder halves an image three times; of 8 x 8 pixels one would be left.
    enlarged = [
        np.asarray(Image.fromarray(image).resize(_DIGITS_SIZE, Image.Resampling.BILINEAR)) for image in pixels
    ]
    everything = ImageSet(np.stack(enlarged)[:, None], found.target.astype(np.int64))
    train, test = stratified_parts(everything.labels, TEST_FRACTION, seed=TEST_SEED)
    return (
        everything.take(train),
        everything.take(test),
        "scikit-learn load_digits, 8 x 8 pixels enlarged to 16 x 16",
    )


def _from_torchvision(class_name: str) -> Callable[[Path, Progress | None], Parts]:
    def read(data_dir: Path, progress: Progress | None) -> Parts:
        import torchvision.datasets

        dataset = getattr(torchvision.datasets, class_name)
        parts = []
        with unpacked_root(dataset, data_dir, progress) as root:
            for train in (True, False):
                try:
                    loaded = dataset(root, train=train)
                    part = ImageSet(loaded.data.numpy()[:, None], loaded.targets.numpy().astype(np.int64))
                    if not len(part) or int(part.labels.max()) > 9:
                        raise DataError(f"{len(part)} images, or labels above 9")
                # torchvision raises anything from AssertionError to KeyError on a damaged file.
                except Exception as error:
                    files = f"{'train' if train else 't10k'}-*-ubyte"
                    raise DataError(
                        f"Data set {class_name}: unpacked files {files} in {data_dir / class_name / 'raw'} "
                        f"are damaged ({_one_line(error)}): delete them, then run again to get them anew."
                    ) from error
                parts.append(part)
        return parts[0], parts[1], f"torchvision.datasets.{class_name}"

    return read


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


_DIGITS = tuple("0123456789")
_FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        "1,797 handwritten digits (scikit-learn)", _DIGITS, 1, _DIGITS_SIZE, "fill", _read_digits
    ),
    "mnist": Dataset("70,000 handwritten digits", _DIGITS, 1, (28, 28), "mnist", _from_torchvision("MNIST")),
    "fashion-mnist": Dataset(
        "70,000 pieces of clothing", _FASHION, 1, (28, 28), "fill", _from_torchvision("FashionMNIST")
    ),
    "kmnist": Dataset(
        "70,000 cursive Japanese characters", _KUZUSHIJI, 1, (28, 28), "fill", _from_torchvision("KMNIST")
    ),
}
