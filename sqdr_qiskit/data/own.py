"""Data sets of the user's own: folders of pictures, arrays in a file or in memory, torch data sets.

All become the same thing, `Source`: uint8 images of one size with labels 0 to n-1, read once and kept in
memory. What cannot be a data set is refused here, in one line, before anything is written.
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sqdr_qiskit.data.downloads import Progress
from sqdr_qiskit.data.images import (
    Style,
    flattened,
    is_colour,
    picture_pixels,
    picture_size,
    pictures_in,
    pillow_quiet,
    whole_picture,
)
from sqdr_qiskit.data.imagesets import MOST_CLASSES, ImageSet, Source, check_names
from sqdr_qiskit.errors import DataError, in_one_line
from sqdr_qiskit.parallel import free_memory

__all__ = [
    "arrays_source",
    "folder_source",
    "npz_source",
    "resized_source",
    "torch_source",
]

# The encoder halves an image three times, and its time grows with the pixels.
SMALLEST_EVER, SMALLEST, LARGEST = 8, 16, 64
_MODES = {1: "grey", 3: "in colour"}
_Item = TypeVar("_Item")
MEMORY_SHARE = 0.8  # of the free memory that images may take; training takes more on top

_WORDS = {"train": "train", "val": "validation", "test": "test"}  # in names -> part
_FOLDERS = {**_WORDS, "valid": "validation", "validation": "validation"}
_ARRAYS: tuple[dict[str, tuple[str, str]], ...] = (  # images and labels: MedMNIST's, Keras', plain
    {part: (f"{word}_images", f"{word}_labels") for word, part in _WORDS.items()},
    {part: (f"x_{word}", f"y_{word}") for word, part in _WORDS.items()},
    {"train": ("x", "y")},
)


# --- a folder of class folders ----------------------------------------------------------------------------


@pillow_quiet()
def folder_source(
    folder: str | Path,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> Source:
    """Pictures in class folders, `<folder>/<class>/*.png`, or `<folder>/{train,val,test}/<class>/*.png`.

    torchvision's ImageFolder layout: a class is a folder, classes are numbered in the order of their names,
    pictures may lie deeper. Pictures are any that Pillow reads, of any size and mode; each is scaled with its
    proportions to fit the field, the rest filled with its border's colour (`whole_picture`).

    Args:
        folder: The folder.
        image_size: Height and width that pictures are brought to. By default the pictures' own if they are
            all of one size, else a square as large as half of them are; between 16 and 64 pixels.
        channels: 1 (grey) or 3 (colour); by default 3 if any picture has colours.
        skip_damaged: Leave out pictures that cannot be read; by default the first one raises.
        progress: Called as pictures are read.

    Raises:
        DataError: If this is no such folder, a picture cannot be read, or the images do not fit into memory.
    """
    root = Path(folder).expanduser()
    name = root.resolve().name
    if not root.is_dir():
        raise DataError(f"There is no folder {str(folder)!r}: a data set is a folder of class folders.")
    class_names, found = _pictures_by_class(root, name)
    paths = [path for pictures in found.values() for path, _ in pictures]
    sizes, colours, damaged = _looked_at(paths, skip_damaged=skip_damaged, name=name)
    size, words = _fitting_size(sizes, image_size)
    channels = channels or (3 if colours else 1)
    _require_memory(len(paths) * channels * math.prod(size), name)
    stack = np.zeros((len(paths), channels, *size), dtype=np.uint8)

    def read(path: Path) -> NDArray[np.uint8] | DataError:
        try:
            return whole_picture(picture_pixels(path, colour=channels == 3), size)
        except DataError as error:
            return error

    with ThreadPoolExecutor() as pool:  # Pillow decodes and scales without the interpreter's lock
        try:
            images = _reported(pool.map(read, paths), len(paths), f"reading {name}", 50, progress)
            for number, image in enumerate(images):
                if not isinstance(image, DataError):
                    stack[number] = image
                elif skip_damaged:
                    damaged.add(paths[number])
                else:
                    raise _with_advice(image)
        except BaseException:  # Ctrl-C too: nobody waits for the pictures that are left
            pool.shutdown(cancel_futures=True)
            raise
    parts, start = {}, 0
    for part, pictures in found.items():
        whole = ImageSet(
            stack[start : start + len(pictures)],
            np.array([label for _, label in pictures], dtype=np.int64),
            origin=name,
            files=tuple(path.relative_to(root).as_posix() for path, _ in pictures),
        )
        kept = [number for number, (path, _) in enumerate(pictures) if path not in damaged]
        parts[part] = whole if len(kept) == len(whole) else whole.take(np.array(kept, dtype=np.int64))
        start += len(pictures)
    left_out = f"; {len(damaged)} damaged pictures left out" if damaged else ""
    words = f"{len(paths) - len(damaged):,} pictures of a folder, {words}, {_MODES[channels]}{left_out}"
    return Source(name=name, words=words, class_names=class_names, parts=parts, path=str(folder))


def _pictures_by_class(root: Path, name: str) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]]:
    """The classes of a folder, and for each part its pictures with their labels."""
    inside = _folders_in(root)
    roots = {"train": root}
    if any(_FOLDERS.get(path.name.lower()) == "train" for path in inside):
        roots = {}
        for path in inside:
            part = _FOLDERS.get(path.name.lower())
            if part is None or part in roots:
                raise DataError(
                    f"Data set {name}: folder {path.name!r} must be train, val or test, each once, where "
                    f"there is a folder train."
                )
            roots[part] = path
    class_folders = {part: _folders_in(path) for part, path in roots.items()}
    names = tuple(path.name for path in class_folders["train"])
    if not names:
        raise DataError(f"Data set {name}: there are no class folders in {str(roots['train'])!r}.")
    check_names(names, name)
    found: dict[str, list[tuple[Path, int]]] = {part: [] for part in roots}
    for part, folders in class_folders.items():
        for path in folders:
            if path.name not in names:
                raise DataError(
                    f"Data set {name}: class {path.name!r} of {part} has no training images; there are "
                    f"{_listed(names)}."
                )
            pictures = pictures_in(path)
            if not pictures and part == "train":
                raise DataError(
                    f"Data set {name}: class {path.name!r} is empty: there is no picture in {str(path)!r}."
                )
            found[part] += [(picture, names.index(path.name)) for picture in pictures]
        if not found[part]:
            raise DataError(f"Data set {name}: there is no picture in {str(roots[part])!r}.")
    return names, found


def _folders_in(root: Path) -> list[Path]:
    """The visible folders in a folder, by name, as ImageFolder sorts them."""
    found = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX"))]
    return sorted(found, key=lambda path: path.name)


def _looked_at(
    paths: Sequence[Path], *, skip_damaged: bool, name: str
) -> tuple[list[tuple[int, int]], bool, set[Path]]:
    """Sizes of all pictures, whether one has colours, and which have no readable header."""
    sizes, colours, damaged = [], False, set()
    for path in paths:
        try:
            sizes.append(picture_size(path))
        except DataError as error:
            if not skip_damaged:
                raise _with_advice(error) from error
            damaged.add(path)
            continue
        colours = colours or is_colour(path)
    if not sizes:
        raise DataError(f"Data set {name}: none of its {len(paths):,} pictures can be read.")
    return sizes, colours, damaged


def _with_advice(error: DataError) -> DataError:
    return DataError(
        f"{str(error).rstrip('.')}; mend or remove it, or leave such pictures out (--skip-damaged)."
    )


# --- arrays ------------------------------------------------------------------------------------------


def npz_source(
    path: str | Path, *, image_size: tuple[int, int] | None = None, progress: Progress | None = None
) -> Source:
    """Arrays in a NumPy file, named as in MedMNIST's (`train_images`, `train_labels`, `val_images`, ...,
    `test_labels`), in Keras' (`x_train`, `y_train`, ...), or `x` and `y`; and `class_names` if there.

    Args:
        path: The .npz file. Arrays of Python objects are refused: they are pickles.
        image_size: Height and width that images are brought to; see `arrays_source`.
        progress: Called as images are read.

    Raises:
        DataError: If the file is missing, damaged or does not hold a data set.
    """
    path, given = Path(path).expanduser(), str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            shapes = {}
            for entry in archive.namelist():
                with archive.open(entry) as file:
                    first = np.lib.format.read_magic(file) == (1, 0)
                    lib = np.lib.format
                    header = lib.read_array_header_1_0 if first else lib.read_array_header_2_0
                    shape, _, dtype = header(file)
                    shapes[entry.removesuffix(".npy")] = (shape, dtype)
        layout = next((names for names in _ARRAYS if names["train"][0] in shapes), None)
        if layout is None:
            raise DataError(
                f"Data set {path.name}: there must be arrays train_images and train_labels, x_train and "
                f"y_train, or x and y, but there are {_listed(sorted(shapes)) or 'none'}."
            )
        wanted = {part: pair for part, pair in layout.items() if set(pair) & set(shapes)}
        for entry in (name for pair in wanted.values() for name in pair):
            if entry not in shapes:
                raise DataError(f"Data set {path.name}: array {entry!r} is missing.")
            shape, dtype = shapes[entry]
            if dtype.hasobject:
                raise DataError(
                    f"Data set {path.name}: array {entry!r} must be of numbers, but holds Python objects."
                )
            _require_memory(math.prod(shape) * dtype.itemsize, path.stem)
        with np.load(path, allow_pickle=False) as arrays:
            pairs = {part: (arrays[x], arrays[y]) for part, (x, y) in wanted.items()}
            names = arrays["class_names"] if "class_names" in shapes else None
    except FileNotFoundError as error:
        raise DataError(f"There is no file {given!r}.") from error
    except DataError:
        raise
    # zipfile, zlib and NumPy raise anything from OSError to ValueError on a damaged file.
    except Exception as error:
        raise DataError(f"File {given!r} is no intact .npz file ({in_one_line(error)}).") from error
    return arrays_source(
        pairs,
        class_names=None if names is None else [str(name) for name in np.asarray(names).reshape(-1)],
        name=path.stem,
        image_size=image_size,
        path=given,
        progress=progress,
    )


def arrays_source(
    pairs: dict[str, tuple[Any, Any]],
    *,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    image_size: tuple[int, int] | None = None,
    style: Style = "whole",
    path: str | None = None,
    progress: Progress | None = None,
) -> Source:
    """Images and labels in arrays or tensors.

    Args:
        pairs: For `train`, and perhaps `validation` and `test`: images of shape (N, H, W), (N, H, W, C) or
            (N, C, H, W) with C = 1 or 3, whole numbers 0 to 255 or fractions 0 to 1; labels of shape (N,) or
            (N, 1), whole numbers from 0 or names.
        class_names: One per class; by default the labels' own names, or their numbers.
        name: What to call it.
        image_size: Height and width that images are brought to; by default their own, scaled to between 16
            and 64 pixels.
        style: How `read_image` lays out a picture like these images.
        path: Where it came from.
        progress: Called as images are read.

    Raises:
        DataError: If pixels or labels are out of range, or do not match.
    """
    raw = {part: (np.asarray(x), np.asarray(y)) for part, (x, y) in pairs.items()}
    named = {part: y.reshape(-1) for part, (_, y) in raw.items() if y.dtype.kind in "US"}
    if named and class_names is None:
        class_names = sorted({str(value) for value in np.concatenate(list(named.values()))})
    labels = {part: _whole_labels(y, part, name, class_names) for part, (_, y) in raw.items()}
    highest = max((int(found.max()) for found in labels.values() if len(found)), default=-1)
    lowest = min((int(found.min()) for found in labels.values() if len(found)), default=0)
    n_classes = len(class_names) if class_names is not None else highest + 1
    if lowest < 0 or highest >= min(n_classes, MOST_CLASSES):
        odd = lowest if lowest < 0 else highest
        bound = min(n_classes, MOST_CLASSES) - 1
        raise DataError(f"Data set {name}: labels must be from 0 to {bound}, but there is {odd}.")
    names = tuple(class_names) if class_names is not None else tuple(str(i) for i in range(n_classes))
    images = {part: _bytes_of(x, part, name) for part, (x, _) in raw.items()}
    for part, found in images.items():
        if len(found) != len(labels[part]):
            raise DataError(
                f"Data set {name}: there must be one label per image, but {part} has {len(found):,} images "
                f"and {len(labels[part]):,} labels."
            )
    sizes = [(found.shape[2], found.shape[3]) for found in images.values() if len(found)]
    size, words = _fitting_size(sizes, image_size)
    parts = {}
    for part, found in images.items():
        resized = _resized_all(found, size, name, progress)
        origin = f"{name}/{part}" if len(raw) > 1 else name
        parts[part] = ImageSet(resized, labels[part], origin=origin)
    n_channels = next(iter(parts.values())).images.shape[1]
    n_images = sum(map(len, parts.values()))
    where = f"{n_images:,} images of arrays" + (f" in {Path(path).name}" if path else "")
    words = f"{where}, {words}, {_MODES[n_channels]}"
    return Source(name=name, words=words, class_names=names, parts=parts, style=style, path=path)


def resized_source(source: Source, size: tuple[int, int] | None, progress: Progress | None) -> Source:
    """A data set with its images brought to another size."""
    own = source.parts["train"].images.shape[2:]
    if size is None or size == own:
        return source
    _require_size(size)
    parts = {
        part: replace(images, images=_resized_all(images.images, size, source.name, progress))
        for part, images in source.parts.items()
    }
    words = f"{source.words}, scaled from {own[0]} x {own[1]} to {size[0]} x {size[1]}"
    return replace(source, words=words, parts=parts)


def _whole_labels(
    values: NDArray[Any], part: str, name: str, class_names: Sequence[str] | None
) -> NDArray[np.int64]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"Data set {name}: labels of {part} must be one per image, but are of shape {values.shape} (sets "
            f"of several labels per image are not taken)."
        )
    if values.dtype.kind in "US":
        places = {label: number for number, label in enumerate(class_names or ())}
        unknown = next((str(value) for value in values if str(value) not in places), None)
        if unknown is not None:
            raise DataError(f"Data set {name}: label {unknown!r} of {part} is none of its class names.")
        return np.asarray([places[str(value)] for value in values], dtype=np.int64)
    if values.dtype.kind not in "iufb":
        raise DataError(f"Data set {name}: labels of {part} must be whole numbers, but are {values.dtype}.")
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        raise DataError(f"Data set {name}: labels of {part} must be whole numbers, but some are not.")
    if len(values) and (values.min() < -(2**62) or values.max() > 2**62):
        raise DataError(f"Data set {name}: labels of {part} are out of range.")
    return values.astype(np.int64)


def _bytes_of(values: NDArray[Any], part: str, name: str) -> NDArray[np.uint8]:
    """Images of any layout and range as uint8 of shape (N, C, H, W)."""
    if values.ndim == 3:
        values = values[:, None]
    elif values.ndim == 4 and values.shape[3] in (1, 3) and values.shape[1] not in (1, 3):
        values = values.transpose(0, 3, 1, 2)
    if values.ndim != 4 or values.shape[1] not in (1, 3) or min(values.shape[2:]) < 2:
        raise DataError(
            f"Data set {name}: images of {part} must be of shape (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, "
            f"H, W), but are of shape {values.shape}."
        )
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype.kind not in "iufb":
        raise DataError(f"Data set {name}: pixels of {part} must be numbers, but are {values.dtype}.")
    if not values.size:
        return values.astype(np.uint8)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        first = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise DataError(f"Data set {name}: image {first} of {part} has pixels that are not finite numbers.")
    low, high = float(values.min()), float(values.max())
    if low < 0.0 or high > 255.0:
        raise DataError(
            f"Data set {name}: pixels of {part} must be whole numbers 0 to 255 or fractions 0 to 1, but go "
            f"from {low:g} to {high:g}."
        )
    scale = 255.0 if values.dtype.kind in "fb" and high <= 1.0 else 1.0
    return np.rint(values * scale).astype(np.uint8)


def _resized_all(
    images: NDArray[np.uint8], size: tuple[int, int], name: str, progress: Progress | None
) -> NDArray[np.uint8]:
    if images.shape[2:] == size:
        return images
    found = np.empty((len(images), images.shape[1], *size), dtype=np.uint8)
    every_one = _reported(images, len(images), f"resizing {name}", 500, progress)
    for number, image in enumerate(every_one):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        found[number] = whole_picture(pixels.astype(np.float64), size)
    return found


# --- torch data sets --------------------------------------------------------------------------------


def torch_source(
    datasets: dict[str, Any],
    *,
    class_names: Sequence[str] | None = None,
    name: str = "dataset",
    image_size: tuple[int, int] | None = None,
    style: Style = "whole",
    upright: bool = True,
    channels: int | None = None,
    progress: Progress | None = None,
) -> Source:
    """Data sets of torch whose items are (image, label).

    Args:
        datasets: For `train`, and perhaps `validation` and `test`: a `torch.utils.data.Dataset` with a
            length, whose items are an image (a PIL picture, or an array or tensor of shape (H, W),
            (H, W, C) or (C, H, W), 0 to 255 or fractions 0 to 1) and a label (a whole number).
        class_names: One per class; by default the data set's own `classes` or `categories`, else numbers.
        name: What to call it.
        image_size: Height and width that images are brought to, by the rule of `folder_source`.
        style: How `read_image` lays out a picture like these images.
        upright: False for images that lie on their side (EMNIST's files).
        channels: 1 (grey) or 3 (colour); by default 3 if one of the first images has colours.
        progress: Called as images are read.

    Raises:
        DataError: If an item is none of these, or the images do not fit into memory.
    """
    train = datasets["train"]
    if class_names is None:
        own = getattr(train, "classes", None) or getattr(train, "categories", None)
        if own is not None:
            class_names = [str(item[0] if isinstance(item, tuple) else item) for item in own]
    sizes: Counter[tuple[int, int]] = Counter()
    colours = False
    for dataset in datasets.values():
        if not isinstance(dataset, Sized):
            raise DataError(
                f"Data set {name}: a torch data set must have a length, but {type(dataset).__name__} has "
                f"none."
            )
        for image, _ in _items(islice(_numbered(dataset), 200), name):
            pixels = _pixels_of(image, name)
            sizes[cast("tuple[int, int]", pixels.shape[:2])] += 1
            colours = colours or pixels.ndim == 3
    size, words = _fitting_size(list(sizes.elements()), image_size)
    channels = channels or (3 if colours else 1)
    total = sum(len(dataset) for dataset in datasets.values())
    _require_memory(total * channels * math.prod(size), name)
    stack = np.zeros((total, channels, *size), dtype=np.uint8)
    labels = np.zeros(total, dtype=np.int64)
    items = (item for dataset in datasets.values() for item in _items(_numbered(dataset), name))
    for number, (image, label) in enumerate(_reported(items, total, f"reading {name}", 500, progress)):
        pixels = _pixels_of(image, name)
        if not upright:
            pixels = np.swapaxes(pixels, 0, 1)
        if channels == 3 and pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        elif channels == 1 and pixels.ndim == 3:
            pixels = np.asarray(Image.fromarray(pixels.astype(np.uint8)).convert("L"), dtype=np.float64)
        stack[number], labels[number] = whole_picture(pixels, size), label
    ends = np.cumsum([len(dataset) for dataset in datasets.values()])[:-1]
    pairs = dict(zip(datasets, zip(np.split(stack, ends), np.split(labels, ends), strict=True), strict=True))
    found = arrays_source(pairs, class_names=class_names, name=name, image_size=size, style=style)
    return replace(found, words=f"{total:,} images of a torch data set, {words}, {_MODES[channels]}")


def _numbered(dataset: Any) -> Iterator[Any]:
    return (dataset[number] for number in range(len(dataset)))


def _items(items: Iterable[Any], name: str) -> Iterator[tuple[Any, int]]:
    for number, item in enumerate(items):
        try:
            image, label = item
            if float(label) != int(label):
                raise ValueError
            yield image, int(label)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"Data set {name}: item {number} must be an image and one whole-number label, but is not."
            ) from error


def _pixels_of(image: Any, name: str) -> NDArray[np.float64]:
    """An image of a torch data set as pixels 0 to 255 of shape (H, W) or (H, W, 3)."""
    if isinstance(image, Image.Image):
        return flattened(image, colour=image.mode not in ("L", "1", "LA", "I", "I;16", "F"))
    values = np.asarray(image)
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[2] not in (1, 3):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    single = values[None] if values.ndim in (2, 3) else values
    whole = _bytes_of(single, "an item", name)[0].astype(np.float64)
    return whole[0] if len(whole) == 1 else whole.transpose(1, 2, 0)


# --- what all have in common ------------------------------------------------------------------------------


def _reported(
    items: Iterable[_Item], total: int, what: str, every: int, progress: Progress | None
) -> Iterator[_Item]:
    """The items; after each `every` of them, and the last of `total`, `progress` is called."""
    for done, item in enumerate(items, start=1):
        yield item
        if progress is not None and (done % every == 0 or done == total):
            progress(what, done, total, "images")


def _fitting_size(
    sizes: Sequence[tuple[int, int]], wanted: tuple[int, int] | None
) -> tuple[tuple[int, int], str]:
    """Height and width that images of these sizes are brought to, and words for it."""
    different = sorted(set(sizes))
    if not different:
        raise DataError("A data set must have images, but this one has none.")
    if wanted is not None:
        _require_size(wanted)
    if wanted is None:
        if len(different) == 1:
            height, width = different[0]
        else:
            height = width = int(np.median([max(size) for size in sizes]))
        scale = min(1.0, LARGEST / max(height, width)) * max(1.0, SMALLEST / min(height, width))
        height, width = (max(SMALLEST, min(LARGEST, round(scale * side))) for side in (height, width))
        wanted = (height, width)
    target = f"{wanted[0]} x {wanted[1]}"
    if different == [wanted]:
        return wanted, f"{target} pixels as they are"
    first, last = different[0], different[-1]
    own = f"{first[0]} x {first[1]}" + (f" to {last[0]} x {last[1]}" if first != last else "")
    scaled = f"scaled with their proportions to fit {target}, padded with their border's colour"
    return wanted, f"{own} pixels {scaled}"


def _require_size(size: tuple[int, int]) -> None:
    if min(size) < SMALLEST_EVER:
        raise DataError(
            f"Images must be at least {SMALLEST_EVER} pixels high and wide, which the encoder halves three "
            f"times, but {size[0]} x {size[1]} is wanted."
        )


def _require_memory(n_bytes: int, name: str) -> None:
    free = free_memory()
    if n_bytes > MEMORY_SHARE * free:
        raise DataError(
            f"Data set {name}: its images take {n_bytes / 1e9:,.1f} GB of memory, but only "
            f"{free / 1e9:,.1f} GB are free: bring them to a smaller size (--image-size) or take fewer."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
