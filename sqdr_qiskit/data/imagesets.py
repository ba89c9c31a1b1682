"""What a loaded data set is: images and labels in memory, as they came and as they are split.

Both rules of splitting rank the items of each class in a seeded random order and take from the front, so a
smaller subset of one seed is contained in every larger one.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sqdr_qiskit.data.images import Style
from sqdr_qiskit.errors import ArgumentError, DataError

__all__ = [
    "balanced_subset",
    "check_names",
    "DataSplits",
    "ImageSet",
    "MOST_CLASSES",
    "Source",
    "split",
    "stratified_parts",
]


Indices = NDArray[np.int64]

_BALANCED = 1  # purposes: keep the draws of one seed apart
_STRATIFIED = 2

TEST_FRACTION = 0.2
# Not the run's seed: the held-out images are the same in every run, so no model ever trains on them.
TEST_SEED = 0
MOST_CLASSES = 1000


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images with their labels, and where each one stands in the data set it comes from.

    Attributes:
        images: uint8 array of shape (N, C, H, W), 0 (background) to 255.
        labels: int64 array of shape (N,), the class of each image.
        index: int64 array of shape (N,), each image's place in its source; None for 0 to N-1. It stays with
            an image whatever subset is taken.
        origin: What the source is called: `digits`, `mnist/test`.
        files: The files of the source in its order, relative to its folder; None where it is no folder.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    index: NDArray[np.int64] | None = None
    origin: str = "images"
    files: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise DataError(
                f"Images must be uint8 of shape (N, C, H, W), "
                f"but are {self.images.dtype} of shape {self.images.shape}."
            )
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"Labels must be int64 of shape ({len(self.images)},), "
                f"but are {self.labels.dtype} of shape {self.labels.shape}."
            )
        if self.index is None:
            object.__setattr__(self, "index", np.arange(len(self.images), dtype=np.int64))
        elif self.index.dtype != np.int64 or self.index.shape != self.labels.shape:
            raise DataError(
                f"Indices must be int64 of shape {self.labels.shape}, "
                f"but are {self.index.dtype} of shape {self.index.shape}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shape, pixels and labels, in hex: equal for equal content in equal order."""
        sha = hashlib.sha256(repr(self.images.shape).encode())
        sha.update(np.ascontiguousarray(self.images).data)
        sha.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return sha.hexdigest()

    def take(self, indices: NDArray[np.int64]) -> ImageSet:
        """The images at `indices` (array of shape (M,)), in that order, as a new set."""
        assert self.index is not None
        return ImageSet(
            self.images[indices], self.labels[indices], self.index[indices], self.origin, self.files
        )

    @property
    def names(self) -> list[str]:
        """What each image is called, the same whatever subset is taken, so that it can be found again.

        `mnist/test[7]` is `torchvision.datasets.MNIST(root, train=False)[7]`, `digits[7]` is
        `sklearn.datasets.load_digits().images[7]`; an image of a folder is called by its file.
        """
        assert self.index is not None
        if self.files is not None:
            return [f"{self.origin}/{self.files[number]}" for number in self.index]
        return [f"{self.origin}[{number}]" for number in self.index]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """A data set as it comes, before `load_dataset` takes subsets of it.

    Attributes:
        name: Short name, for folders and titles.
        words: Where the images came from and what was done to them.
        class_names: One per class, in label order.
        parts: Images for `train`, and for `validation` and `test` where the data set has its own.
        style: How `read_image` lays out a picture like these images.
        path: Where it is, as given.
    """

    name: str
    words: str
    class_names: tuple[str, ...]
    parts: dict[str, ImageSet]
    style: Style = "whole"
    path: str | None = None

    def __post_init__(self) -> None:
        check_names(self.class_names, self.name)
        n_classes = len(self.class_names)
        for part, images in self.parts.items():
            if not len(images):
                raise DataError(f"Data set {self.name}: part {part} has no images.")
            counts = np.bincount(images.labels, minlength=n_classes)
            if part == "train" and not counts[:n_classes].all():
                empty = self.class_names[int(np.argmin(counts[:n_classes]))]
                raise DataError(f"Data set {self.name}: class {empty!r} has no training images.")
        shapes = {images.images.shape[1:] for images in self.parts.values()}
        if len(shapes) > 1:
            raise DataError(
                f"Data set {self.name}: its parts have images of different shapes {sorted(shapes)}."
            )


def check_names(names: Sequence[str], where: str) -> None:
    """Refuse class names that are too few or too many, not printable, or alike."""
    if not 2 <= len(names) <= MOST_CLASSES:
        only = f" ({names[0]!r})" if len(names) == 1 else ""
        raise DataError(
            f"Data set {where}: there must be from 2 to {MOST_CLASSES:,} classes, but there are "
            f"{len(names):,}{only}."
        )
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip() or not name.isprintable():
            raise DataError(f"Data set {where}: class name {name!r} must be printable words.")
        alike = unicodedata.normalize("NFKC", name).casefold().strip()
        if alike in seen:
            raise DataError(
                f"Data set {where}: class names must differ, but there are {seen[alike]!r} and {name!r}."
            )
        seen[alike] = name


@dataclass(frozen=True, eq=False, repr=False)
class DataSplits:
    """A data set split for training, validation and test.

    Attributes:
        name: The data set's name: its row in `DATASETS`, or the last part of its path.
        source: Where the images came from, in words, and what was done to them.
        class_names: One name per class, in label order.
        train: What the weights are fitted to.
        validation: Images set aside to choose settings with; None when there are none.
        test: Held-out images; no training or validation image is among them.
        style: How `read_image` must lay out a picture to look like these images.
        path: Where the data are, as it was given; None for a row of `DATASETS` and for arrays.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: ImageSet
    validation: ImageSet | None
    test: ImageSet
    style: Style = "whole"
    path: str | None = None

    @property
    def n_channels(self) -> int:
        """Colour channels of each image."""
        return int(self.train.images.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of each image, in pixels."""
        return int(self.train.images.shape[2]), int(self.train.images.shape[3])

    def record(self) -> dict[str, object]:
        """What a run record says of the data: name, source, size and SHA-256 of each part."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            "name": self.name,
            "source": self.source,
            "classes": len(self.class_names),
            "size": [self.n_channels, *self.size],
            **({} if self.path is None else {"path": self.path}),
            **{
                part: {"images": len(images), "sha256": images.digest}
                for part, images in parts.items()
                if images is not None
            },
        }


def split(
    source: Source,
    *,
    limit: int | None = None,
    test_limit: int | None = None,
    seed: int = 0,
    validation: float = 0.0,
) -> DataSplits:
    """Split a data set for training, validation and test.

    Test images are the data set's own; where there are none, a stratified fifth of the images, the same for
    every `seed`. `limit` is applied to the training images first, then `validation` takes its part of what is
    left, so the training and validation images together number `limit`. A data set with validation images of
    its own keeps them, as many as `limit` at most.

    Args:
        source: The data set.
        limit: See `load_dataset`, as the others.
        test_limit: See there.
        seed: See there.
        validation: See there; 0 where the data set has validation images of its own.

    Raises:
        ArgumentError: If an argument is out of range.
        DataError: If so few images cannot be split.
    """
    train, held_out, test = (source.parts.get(part) for part in ("train", "validation", "test"))
    assert train is not None
    if held_out is not None and validation > 0.0:
        raise ArgumentError(
            f"Argument `validation` must be left out with data set {source.name}, which has validation "
            f"images of its own, but is {validation}."
        )
    if test is None:
        n_test = round(TEST_FRACTION * len(train))
        if not 0 < n_test < len(train):
            raise DataError(
                f"Data set {source.name}: {len(train)} images are too few to hold a fifth out for the test."
            )
        kept, aside = stratified_parts(train.labels, TEST_FRACTION, seed=TEST_SEED)
        train, test = train.take(kept), train.take(aside)
    if limit is not None:
        train = train.take(balanced_subset(train.labels, limit, seed=seed, argument="limit"))
        if held_out is not None and limit < len(held_out):
            held_out = held_out.take(balanced_subset(held_out.labels, limit, seed=seed))
    if test_limit is not None:
        test = test.take(balanced_subset(test.labels, test_limit, seed=seed, argument="test_limit"))
    if validation > 0.0:
        kept, aside = stratified_parts(train.labels, validation, seed=seed)
        train, held_out = train.take(kept), train.take(aside)
    return DataSplits(
        source.name, source.words, source.class_names, train, held_out, test, source.style, source.path
    )


def balanced_subset(
    labels: NDArray[np.int64], n_items: int, *, seed: int, argument: str = "limit"
) -> Indices:
    """Choose `n_items` items with as equal a number of each class as there are items for.

    Args:
        labels: Array of shape (N,), the class of each item.
        n_items: Number of items wanted, 1 to N.
        seed: Any non-negative integer. The subset for a smaller `n_items` is part of the subset for a larger
            one.
        argument: What the caller calls `n_items`, for the error.

    Returns:
        Sorted array of shape (n_items,) of indices into `labels`. Class counts differ by at most one, unless
        a class has run out of items.

    Raises:
        ArgumentError: If `n_items` is not between 1 and N.
    """
    if not 1 <= n_items <= len(labels):
        raise ArgumentError(
            f"Argument `{argument}` must be from 1 to {len(labels)}, the images there are, but is {n_items}."
        )
    rank, _ = _ranks(labels, seed, _BALANCED)
    classes = np.unique(labels)
    turn = np.argsort(_draw(seed, _BALANCED, 1, len(classes)))
    order = np.lexsort((turn[np.searchsorted(classes, labels)], rank))
    return np.sort(order[:n_items]).astype(np.int64)


def stratified_parts(labels: NDArray[np.int64], fraction: float, *, seed: int) -> tuple[Indices, Indices]:
    """Split items in two so that each class is shared out in the same proportion.

    Args:
        labels: Array of shape (N,), the class of each item.
        fraction: Size of the second part, strictly between 0 and 1; the second part has `round(fraction * N)`
            items.
        seed: Any non-negative integer.

    Returns:
        Two sorted, disjoint arrays of indices which together are 0..N-1. The second part holds
        `fraction` times each class's count, to within one item.

    Raises:
        ArgumentError: If `fraction` is out of range or leaves a part empty.
    """
    if not 0.0 < fraction < 1.0:
        raise ArgumentError(f"Argument `validation` must be a fraction from 0 to below 1, but is {fraction}.")
    n_second = round(fraction * len(labels))
    if not 0 < n_second < len(labels):
        raise ArgumentError(
            f"Argument `validation` must leave images in both parts, "
            f"but {fraction} of {len(labels)} images is {n_second}."
        )
    rank, count = _ranks(labels, seed, _STRATIFIED)
    order = np.argsort((rank + 0.5) / count, kind="stable")
    return np.sort(order[n_second:]).astype(np.int64), np.sort(order[:n_second]).astype(np.int64)


def _ranks(labels: NDArray[np.int64], seed: int, purpose: int) -> tuple[Indices, Indices]:
    """Each item's place in the random order of its class, and the size of that class; both of shape (N,)."""
    if seed < 0:
        raise ArgumentError(f"Argument `seed` must not be negative, but is {seed}.")
    draw = _draw(seed, purpose, 0, len(labels))
    rank = np.empty(len(labels), dtype=np.int64)
    count = np.empty(len(labels), dtype=np.int64)
    for value in np.unique(labels):
        members = np.flatnonzero(labels == value)
        rank[members[np.argsort(draw[members])]] = np.arange(len(members))
        count[members] = len(members)
    return rank, count


def _draw(seed: int, purpose: int, stream: int, n_items: int) -> NDArray[np.uint64]:
    """Random numbers that no NumPy version changes: of its streams, only the raw ones promise that."""
    return np.asarray(np.random.Philox([seed, purpose, stream]).random_raw(n_items), dtype=np.uint64)
