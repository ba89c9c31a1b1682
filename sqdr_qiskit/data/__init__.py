"""Images to learn from and to classify: data sets and their splits, and the user's own pictures."""

from __future__ import annotations

from sqdr_qiskit.data.datasets import DATASETS, as_splits, dataset_name, load_dataset, read_source, split
from sqdr_qiskit.data.downloads import Progress
from sqdr_qiskit.data.images import pictures_in, read_image, read_images
from sqdr_qiskit.data.imagesets import DataSplits, ImageSet

__all__ = [
    "DATASETS",
    "DataSplits",
    "ImageSet",
    "Progress",
    "as_splits",
    "dataset_name",
    "load_dataset",
    "pictures_in",
    "read_image",
    "read_images",
    "read_source",
    "split",
]
