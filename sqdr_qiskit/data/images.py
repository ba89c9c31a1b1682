"""A user's own pictures, made to look like the images a model was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from sqdr_qiskit.errors import ArgumentError, DataError, in_one_line

__all__ = [
    "PICTURE_SUFFIXES",
    "Style",
    "flattened",
    "is_colour",
    "picture_pixels",
    "picture_size",
    "pictures_in",
    "pillow_quiet",
    "read_image",
    "whole_picture",
]

Style = Literal["mnist", "fill", "frame", "whole"]
Invert = Literal["auto"] | bool
Pixels = NDArray[np.float64]  # shape (H, W) or (H, W, 3), 0 to 255

INK_LEVEL = 0.15  # of the strongest ink: above it a pixel belongs to the drawing
BUSY_LEVEL = 24.0  # border pixels typically this far from their median: a photograph, not a drawing
BLANK_LEVEL = 8.0  # no pixel further than this from the ground: nothing is drawn
UNEVEN_LEVEL = 12.0  # a tenth of the border further than this from its median: the light is uneven
WORKING_SIZE = 96  # pixels of the longer side in which the light is looked for
STROKE_SHARE = 0.25  # of the longer side: no stroke is wider
BUSY_SHARE = 0.2  # more "ink" on the border than this: a photograph, not a drawing on a ground
WEAK_INK, STRONG_INK = 0.35, 0.6  # of the strongest ink of a drawing whose light was made even
REDUCED = 1024  # pixels of the longer side, to which larger pictures are brought while they are decoded
MOST_ELONGATED = 1000  # longer side over shorter side
PICTURE_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
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
      ground. Used anyway where there is no even ground to cut a drawing from, as in photographs.
    - "whole": like "frame", with nothing turned light on dark: as a folder of the user's own pictures is read
      (see `whole_picture`).

    For "mnist" and "fill", a drawing on unevenly lit paper is made even first (see `_evenly_lit`).

    For three channels, the picture keeps its colours and is laid out whole.

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
    if style not in get_args(Style):
        raise ArgumentError(
            f"Argument `style` must be one of {', '.join(get_args(Style))}, but is {style!r}."
        )
    if invert not in ("auto", True, False):
        raise ArgumentError(f"Argument `invert` must be 'auto', True or False, but is {invert!r}.")
    with pillow_quiet():
        pixels = picture_pixels(Path(path), colour=channels == 3)
    if style == "whole":
        return whole_picture(pixels, size)
    if np.ptp(pixels) < BLANK_LEVEL:
        raise DataError(f"Image {str(path)!r} is blank: there is nothing to classify.")
    if channels == 3:
        ground = _ground(pixels)
        if invert is True:
            pixels, ground = 255.0 - pixels, 255.0 - ground
        return _to_uint8(_framed(pixels, size, ground)).transpose(2, 0, 1)
    drawing = style in ("mnist", "fill") and pixels.shape != size
    even = _evenly_lit(pixels, dark_ink=None if invert == "auto" else invert) if drawing else None
    if even is not None:
        pixels = even
    else:
        ground = _ground(pixels)
        if invert is True or (invert == "auto" and float(ground) > 127.5):
            pixels = 255.0 - pixels
    if pixels.shape == size:
        return _to_uint8(pixels)[None]
    ground = _ground(pixels)
    spread = float(np.median(np.abs(_border(pixels) - ground)))
    # What stands out from the ground's own unevenness.
    ink = np.clip(pixels - ground - 3.0 * spread, 0.0, None)
    if style == "frame" or spread > BUSY_LEVEL or ink.max() < BLANK_LEVEL:
        return _to_uint8(_framed(pixels, size, ground))[None]
    return _to_uint8(_laid_out(ink * (255.0 / ink.max()), size, style))[None]


def whole_picture(pixels: Pixels, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture scaled with its proportions to fit `size`, the rest filled with its border's median colour.

    Colours and brightness stay as they are. This is how the user's own pictures become a data set, and how
    the network trained on it is shown others.

    Args:
        pixels: Array of shape (H, W) or (H, W, 3), 0 to 255.
        size: Height and width wanted.

    Returns:
        uint8 array of shape (1, *size) or (3, *size).
    """
    if pixels.shape[:2] == size:
        field = pixels
    else:
        field = _framed(pixels, size, _ground(pixels))
    return _to_uint8(field[None] if field.ndim == 2 else field.transpose(2, 0, 1))


def is_colour(path: str | Path) -> bool:
    """Whether a picture's file says that it has colours; an unreadable one has none.

    A palette may be grey: its colours are looked at.
    """
    try:
        with Image.open(path) as opened:
            if opened.mode == "P":
                palette = np.asarray(opened.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
                return bool(np.ptp(palette, axis=1).any())
            return opened.mode in ("RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "PA")
    except Exception:
        return False


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in `folder` and below, by their suffix, sorted; hidden ones are left out."""
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width that a picture's file says it has, upright.

    Raises:
        DataError: If it cannot be read or nothing would be left of it.
    """
    with _opened(path) as opened:
        width, height = opened.size
        sideways = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF's orientation tag
        return (width, height) if sideways else (height, width)


def picture_pixels(path: Path, *, colour: bool) -> Pixels:
    """The upright picture without transparency, 0 to 255: shape (H, W), or (H, W, 3) for colour.

    Raises:
        DataError: If it cannot be read.
    """
    with _opened(path) as opened:
        opened.draft(None, (REDUCED, REDUCED))  # JPEG alone: decodes no more than is needed
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        factor = max(upright.size) // REDUCED
        if factor > 1 and upright.mode in ("L", "RGB", "RGBA", "CMYK"):
            upright = upright.reduce(factor)
        return flattened(upright, colour=colour)


@contextmanager
def pillow_quiet() -> Iterator[None]:
    """More pixels than Pillow thinks sane are a mistake or an attack; its other warnings are noise.

    Around all reading, not in it: Python's list of warning filters is one for all threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture whose header is good; what goes wrong in the context is told in one line."""
    name = str(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"Image {name!r} is empty: the file has no content.")
        with Image.open(path) as opened:
            _refuse_shape(name, opened.size)
            yield opened
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"Image {name!r} does not exist.") from error
    except IsADirectoryError as error:
        raise DataError(f"Image {name!r} is a folder: name the image files in it.") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, MemoryError) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise DataError(f"Image {name!r} is too large: make it smaller than {limit} megapixels.") from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"Image {name!r} is not an image that can be read: give a PNG or JPEG file."
        ) from error
    # Pillow's decoders raise anything from OSError to SyntaxError and struct.error on damaged files.
    except Exception as error:
        raise DataError(f"Image {name!r} cannot be read: {in_one_line(error)}.") from error


def flattened(image: Image.Image, *, colour: bool) -> Pixels:
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


def _refuse_shape(name: str, size: tuple[int, int]) -> None:
    """Refuse a picture of which nothing would be left, before it is decoded."""
    width, height = size
    if max(size) > MOST_ELONGATED * min(size):
        raise DataError(
            f"Image {name!r} is {width:,} x {height:,} pixels: the longer side must be at most "
            f"{MOST_ELONGATED} times the shorter one."
        )


def _evenly_lit(pixels: Pixels, *, dark_ink: bool | None) -> Pixels | None:
    """A drawing on unevenly lit paper as light on dark, its ground made even; None where it is even already,
    or where there is no ground.

    The light L(x, y) that falls on the paper is what a grey closing leaves of the picture: the brightest of
    each neighbourhood wider than a stroke, made smooth. Paper reflects L, ink less, so 1 - pixels / L is 0 on
    paper and the ink's blackness elsewhere. A light drawing on a dark ground has its ground (an opening)
    taken away instead.

    Args:
        pixels: Array of shape (H, W), 0 to 255.
        dark_ink: Whether the drawing is darker than its ground; None to find out.

    Source: P. Soille, Morphological Image Analysis (2nd edition, 2003), section 4.5 (top-hat, shading).
    """
    off = np.abs(_border(pixels) - _ground(pixels))
    if float(np.percentile(off, 90)) < UNEVEN_LEVEL:
        return None
    small = _resized(pixels, (WORKING_SIZE, WORKING_SIZE))
    window = max(3, round(max(small.shape) * STROKE_SHARE))
    # Light goes on beyond the border as it comes to it; of the noise, a closing follows the brightest speck.
    wide = np.pad(ndimage.median_filter(small, 3), window, mode="reflect", reflect_type="odd")
    if dark_ink is None:  # ink stands out from its neighbourhood further than anything else
        middle = ndimage.median_filter(wide, size=max(small.shape) // 2)
        off = (wide - middle)[window:-window, window:-window]
        dark_ink = float((off**3).sum()) < 0.0
    beyond_ink = ndimage.grey_closing if dark_ink else ndimage.grey_opening
    base = ndimage.gaussian_filter(beyond_ink(wide, size=(window, window)), window / 12)
    level = np.asarray(
        Image.fromarray(base[window:-window, window:-window].astype(np.float32)).resize(
            (pixels.shape[1], pixels.shape[0]), Image.Resampling.BICUBIC
        ),
        dtype=np.float64,
    )
    ink = 1.0 - pixels / np.maximum(level, 1.0) if dark_ink else (pixels - level) / 255.0
    if 255.0 * float(np.median(np.abs(_border(ink)))) > BUSY_LEVEL:
        return None
    # What is left of a shadow's edge is weaker than ink: keep what hangs together with something strong.
    strongest = float(np.percentile(ink, 99.5))
    parts, _ = ndimage.label(ink > WEAK_INK * strongest)
    kept = np.isin(parts, np.setdiff1d(parts[ink > STRONG_INK * strongest], 0))
    if float(_border(kept).mean()) > BUSY_SHARE:
        return None
    kept = ndimage.binary_dilation(kept, iterations=max(1, min(pixels.shape) // 150))
    return np.asarray(np.where(kept, np.clip(255.0 * ink, 0.0, 255.0), 0.0))


def _border(pixels: NDArray[Any]) -> NDArray[Any]:
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
