"""A user's own pictures, made to look like the images a model was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sqdr_qiskit.errors import ArgumentError, DataError

__all__ = ["Style", "read_image", "read_images"]

Style = Literal["mnist", "fill", "frame"]
Invert = Literal["auto"] | bool
Pixels = NDArray[np.float64]  # shape (H, W) or (H, W, 3), 0 to 255

INK_LEVEL = 0.15  # of the strongest ink: above it a pixel belongs to the drawing
BUSY_LEVEL = (
    24.0  # border pixels typically this far from their median: a photograph, not a drawing on a ground
)
BLANK_LEVEL = 8.0  # no pixel further than this from the ground: nothing is drawn
MNIST_BOX = 20 / 28  # MNIST scales every digit to fit a box of 20 x 20 in a field of 28 x 28


def read_image(
    path: str | Path,
    *,
    channels: int,
    size: tuple[int, int],
    invert: Invert = "auto",
    style: Style = "mnist",
) -> NDArray[np.uint8]:
    """Read a picture of any size and mode as a model's input.

    Any file that Pillow reads: grey, colour, palette, 1-bit, 16-bit, CMYK. Turned upright by its EXIF tag;
    transparent parts become white, or black where the drawing itself is light; of an animation, the first
    frame.

    For one channel, the picture becomes grey and light on dark, as in MNIST. One that already has the model's
    size is taken as it is. Others are laid out as the training images were, by `style`:

    - "mnist": the drawing is cut out, scaled with its proportions to fit a box of 20/28 of the field, its
      strongest ink made 255, and its centre of mass put in the middle of the field (the recipe of MNIST,
      LeCun et al., Proc. IEEE 86, 2278 (1998), section III.A).
    - "fill": cut out likewise, scaled to fill the field in its longer direction, its box put in the middle
      (`digits`, Fashion-MNIST, Kuzushiji-MNIST).
    - "frame": the whole picture, scaled with its proportions to fit the field, the rest filled with the
    ground.
      Used anyway where there is no even ground to cut a drawing from, as in photographs.

    For three channels, the picture keeps its colours and is laid out by "frame".

    Args:
        path: The file.
        channels: 1 or 3.
        size: Height and width of the result, in pixels.
        invert: True turns dark on light into light on dark; "auto" does so where the border is light (one
            channel only; never with three).
        style: See above; a data set's own is `DATASETS[name].style`.

    Returns:
        uint8 array of shape (channels, *size).

    Raises:
        ArgumentError: If `channels` is neither 1 nor 3, or `size`, `invert` or `style` is none of the above.
        DataError: If the file is missing, empty, no image, damaged, too large, or shows nothing.
    """
    if channels not in (1, 3):
        raise ArgumentError(f"Argument `channels` must be 1 (grey) or 3 (colour), but is {channels}.")
    if len(size) != 2 or min(size) < 1:
        raise ArgumentError(f"Argument `size` must be a positive height and width, but is {size}.")
    if style not in ("mnist", "fill", "frame"):
        raise ArgumentError(f"Argument `style` must be 'mnist', 'fill' or 'frame', but is {style!r}.")
    if invert not in ("auto", True, False):
        raise ArgumentError(f"Argument `invert` must be 'auto', True or False, but is {invert!r}.")
    pixels = _pixels(Path(path), colour=channels == 3)
    if np.ptp(pixels) < BLANK_LEVEL:
        raise DataError(f"Image {str(path)!r} is blank: there is nothing to classify.")
    ground = _ground(pixels)
    if invert is True or (invert == "auto" and channels == 1 and float(ground.mean()) > 127.5):
        pixels, ground = 255.0 - pixels, 255.0 - ground
    if channels == 3:
        return _to_uint8(_framed(pixels, size, ground)).transpose(2, 0, 1)
    if pixels.shape == size:
        return _to_uint8(pixels)[None]
    spread = float(np.median(np.abs(_border(pixels) - ground)))
    ink = np.clip(
        pixels - ground - 3.0 * spread, 0.0, None
    )  # what stands out from the ground's own unevenness
    if style == "frame" or spread > BUSY_LEVEL or ink.max() < BLANK_LEVEL:
        return _to_uint8(_framed(pixels, size, ground))[None]
    return _to_uint8(_laid_out(ink * (255.0 / ink.max()), size, style))[None]


def read_images(
    paths: Iterable[str | Path],
    *,
    channels: int,
    size: tuple[int, int],
    invert: Invert = "auto",
    style: Style = "mnist",
) -> NDArray[np.uint8]:
    """Read pictures as `read_image` does: array of shape (N, channels, *size); the first bad one raises."""
    images = [read_image(path, channels=channels, size=size, invert=invert, style=style) for path in paths]
    if not images:
        raise ArgumentError("Argument `paths` must name at least one image, but names none.")
    return np.stack(images)


def _pixels(path: Path, *, colour: bool) -> Pixels:
    """The upright picture without transparency, 0 to 255: shape (H, W), or (H, W, 3) for colour."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"Image {str(path)!r} is empty: the file has no content.")
        with warnings.catch_warnings():
            # More pixels than Pillow thinks sane are a mistake or an attack; its other warnings are noise.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.load()
                upright = ImageOps.exif_transpose(opened)
                return _flattened(upright, colour=colour)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"Image {str(path)!r} does not exist.") from error
    except IsADirectoryError as error:
        raise DataError(f"Image {str(path)!r} is a folder: name the image files in it.") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, MemoryError) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise DataError(
            f"Image {str(path)!r} is too large: make it smaller than {limit} megapixels."
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"Image {str(path)!r} is not an image that can be read: give a PNG or JPEG file."
        ) from error
    # Pillow's decoders raise anything from OSError to SyntaxError and struct.error on damaged files.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"Image {str(path)!r} cannot be read: {reason}.") from error


def _flattened(image: Image.Image, *, colour: bool) -> Pixels:
    """`image` as pixels on an opaque ground."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more, always grey
        deep = np.asarray(image, dtype=np.float64)
        if not np.isfinite(deep).all():
            raise ValueError("it holds values that are not numbers")
        top = 65535.0 if deep.max() > 255.0 or image.mode.startswith("I;16") else 255.0
        grey = np.clip(deep * (255.0 / top), 0.0, 255.0)
        return np.repeat(grey[:, :, None], 3, axis=2) if colour else grey
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        alpha = np.asarray(layered.getchannel("A"), dtype=np.float64)
        light = np.asarray(layered.convert("L"), dtype=np.float64)
        drawn = float((alpha * light).sum() / max(float(alpha.sum()), 1.0))
        ground = "white" if drawn < 127.5 else "black"  # whatever the drawing stands out from
        image = Image.alpha_composite(Image.new("RGBA", layered.size, ground), layered)
    return np.asarray(image.convert("RGB" if colour else "L"), dtype=np.float64)


def _border(pixels: Pixels) -> Pixels:
    """The outermost pixels: shape (n,), or (n, 3) for colour."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _ground(pixels: Pixels) -> Pixels:
    """The colour that a drawing stands on, the median of the border: shape (), or (3,) for colour."""
    return np.asarray(np.median(_border(pixels), axis=0), dtype=np.float64)


def _laid_out(ink: Pixels, size: tuple[int, int], style: Style) -> Pixels:
    """The drawing in `ink` (0 where there is none, 255 at its strongest), cut out and put into a field."""
    drawn = ink > INK_LEVEL * 255.0
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = MNIST_BOX if style == "mnist" else 1.0
    small = _resized(cut, (max(1, round(size[0] * share)), max(1, round(size[1] * share))))
    small *= 255.0 / small.max()  # again: thin strokes fade as they shrink
    if style == "mnist":  # MNIST has the centre of mass at index 14 of 0 to 27, not at 13.5
        weight = small / small.sum()
        middle = [float(weight.sum(axis=1 - axis) @ np.arange(small.shape[axis])) for axis in (0, 1)]
    else:
        middle = [small.shape[0] / 2, small.shape[1] / 2]
    field = np.zeros(size)
    # Never cut anything off: a drawing whose mass lies far to one side is moved less.
    top, left = (
        min(max(round(size[axis] / 2 - middle[axis]), 0), size[axis] - small.shape[axis]) for axis in (0, 1)
    )
    field[top : top + small.shape[0], left : left + small.shape[1]] = small
    return field


def _framed(pixels: Pixels, size: tuple[int, int], ground: Pixels) -> Pixels:
    """The whole picture in the middle of a field of `size` filled with `ground`."""
    small = _resized(pixels, size)
    field = np.broadcast_to(ground, (*size, *pixels.shape[2:])).copy()
    top, left = (size[0] - small.shape[0]) // 2, (size[1] - small.shape[1]) // 2
    field[top : top + small.shape[0], left : left + small.shape[1]] = small
    return field


def _resized(pixels: Pixels, box: tuple[int, int]) -> Pixels:
    """`pixels` scaled with their proportions to touch `box` (height, width) from inside; antialiased."""
    scale = min(box[0] / pixels.shape[0], box[1] / pixels.shape[1])
    height, width = (max(1, round(n * scale)) for n in pixels.shape[:2])
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    scaled = [
        # Pillow widens its filter when it makes a picture smaller, which is what antialiasing is.
        np.asarray(
            Image.fromarray(planes[:, :, c].astype(np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
        for c in range(planes.shape[2])
    ]
    return np.clip(np.stack(scaled, axis=2).reshape(height, width, *pixels.shape[2:]), 0.0, 255.0).astype(
        np.float64
    )


def _to_uint8(pixels: Pixels) -> NDArray[np.uint8]:
    return np.rint(np.clip(pixels, 0.0, 255.0)).astype(np.uint8)
