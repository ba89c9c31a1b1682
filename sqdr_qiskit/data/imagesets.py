"""What a loaded data set is: images and labels in memory, and the parts they are split into."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sqdr_qiskit.errors import DataError

__all__ = ["DataSplits", "ImageSet"]


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images with their labels.

    Attributes:
        images: uint8 array of shape (N, C, H, W), 0 (background) to 255.
        labels: int64 array of shape (N,), the class of each image.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

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
        return ImageSet(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False, repr=False)
class DataSplits:
    """A data set split for training, validation and test.

    Attributes:
        name: The data set's name, as given to `load_dataset`.
        source: Where the images came from, in words.
        class_names: One name per class, in label order.
        train: What the weights are fitted to.
        validation: Part of the training data set aside to choose settings with; None when none was asked for.
        test: Held-out images; no training or validation image is among them.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: ImageSet
    validation: ImageSet | None
    test: ImageSet

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
            **{
                part: {"images": len(images), "sha256": images.digest}
                for part, images in parts.items()
                if images is not None
            },
        }
