"""Small data sets in torchvision's layout, made on the spot."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from numpy.typing import NDArray

CLOSED = "http://127.0.0.1:9/"  # the discard port: nothing listens there


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    """`values` as an IDX file of bytes."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


class FakeKMNIST:
    """Forty training and twenty test images, with their .gz files and checksums."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.arrays: dict[str, NDArray[np.uint8]] = {}
        for part, n_images in (("train", 40), ("t10k", 20)):
            pixels = rng.integers(0, 256, size=(n_images, 28, 28), dtype=np.uint8)
            self.arrays[f"{part}-images-idx3-ubyte"] = pixels
            self.arrays[f"{part}-labels-idx1-ubyte"] = (np.arange(n_images) % 10).astype(np.uint8)
        self.gz = {f"{name}.gz": gzip.compress(idx_bytes(values)) for name, values in self.arrays.items()}
        self.resources = [
            (name, hashlib.md5(data, usedforsecurity=False).hexdigest()) for name, data in self.gz.items()
        ]

    def write_gz(self, folder: Path, *, leave_out: str = "") -> Path:
        """Put the .gz files where torchvision looks for them under `folder`; returns their folder."""
        raw = folder / "KMNIST" / "raw"
        raw.mkdir(parents=True)
        for name, data in self.gz.items():
            if name != leave_out:
                (raw / name).write_bytes(data)
        return raw


@pytest.fixture
def kmnist(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> FakeKMNIST:
    """A small stand-in for Kuzushiji-MNIST; the machine is offline."""
    fake = FakeKMNIST(rng)
    monkeypatch.setattr(torchvision.datasets.KMNIST, "resources", fake.resources)
    monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", [CLOSED])
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return fake
