from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.neighbors import KNeighborsClassifier

from sqdr_qiskit.data import DATASETS, load_dataset, read_image
from sqdr_qiskit.data.images import Style
from sqdr_qiskit.errors import ArgumentError, DataError

Colour = int | tuple[int, ...]


def drawing(mode: str, ground: Colour, ink: Colour, size: tuple[int, int] = (90, 120)) -> Image.Image:
    """An L-shaped stroke, 40 high and 20 wide, off the middle of a field of `size` (width, height)."""
    image = Image.new(mode, size, ground)
    pen = ImageDraw.Draw(image)
    pen.rectangle((50, 20, 55, 59), fill=ink)
    pen.rectangle((50, 54, 69, 59), fill=ink)
    return image


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def grey(path: Path, style: Style = "mnist") -> NDArray[np.uint8]:
    image = read_image(path, channels=1, size=(28, 28), style=style)
    assert image.dtype == np.uint8
    assert image.shape == (1, 28, 28)
    return image[0]


def sixteen_bit() -> Image.Image:
    return Image.fromarray(np.asarray(drawing("L", 255, 0)).astype(np.uint16) * 257)


# The same drawing in every mode: all must give the same picture.
MODES: dict[str, tuple[Callable[[], Image.Image], str]] = {
    "light on dark": (lambda: drawing("L", 0, 255), "png"),
    "1 bit": (lambda: drawing("1", 1, 0), "png"),
    "grey and alpha": (lambda: drawing("LA", (255, 0), (0, 255)), "png"),
    "colour": (lambda: drawing("RGB", (255, 255, 255), (0, 0, 0)), "png"),
    "black on transparent": (lambda: drawing("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)), "png"),
    "white on transparent": (lambda: drawing("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)), "png"),
    "palette": (lambda: drawing("RGB", (255, 255, 255), (0, 0, 0)).convert("P"), "png"),
    "animation": (lambda: drawing("L", 255, 0).convert("P"), "gif"),
    "16 bits": (sixteen_bit, "png"),
    "32 bits": (lambda: sixteen_bit().convert("I"), "tiff"),
    "floating point": (lambda: drawing("L", 255, 0).convert("F"), "tiff"),
    "CMYK": (lambda: drawing("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)), "tiff"),
    "pale": (lambda: drawing("L", 240, 180), "png"),
}


@pytest.mark.parametrize("mode", list(MODES))
def test_every_mode_gives_the_same_picture(mode: str, tmp_path: Path) -> None:
    make, suffix = MODES[mode]
    expected = grey(saved(drawing("L", 255, 0), tmp_path / "reference.png"))
    found = grey(saved(make(), tmp_path / f"image.{suffix}"))
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_jpeg_in_cmyk_is_read(tmp_path: Path) -> None:
    expected = grey(saved(drawing("L", 255, 0), tmp_path / "reference.png"))
    path = saved(drawing("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)), tmp_path / "image.jpg", quality=95)
    assert np.abs(grey(path).astype(int) - expected).mean() < 3


def test_exif_rotation_is_undone(tmp_path: Path) -> None:
    upright = drawing("L", 255, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to see it upright
    turned = saved(upright.transpose(Image.Transpose.ROTATE_90), tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(grey(turned), grey(saved(upright, tmp_path / "upright.png")))


def test_mnist_layout(tmp_path: Path) -> None:
    image = grey(saved(drawing("L", 255, 0), tmp_path / "image.png"))
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert [len(rows), len(columns)] == [20, 10]  # proportions kept
    assert image.max() == 255
    weight = image / image.sum()
    for axis in (0, 1):
        assert abs(weight.sum(axis=1 - axis) @ np.arange(28) - 14) <= 0.5


def test_fill_layout(tmp_path: Path) -> None:
    image = grey(saved(drawing("L", 255, 0), tmp_path / "image.png"), style="fill")
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (0, 27, 7, 20)


def test_frame_layout_keeps_the_whole_picture_and_its_ground(tmp_path: Path) -> None:
    image = grey(saved(drawing("L", 200, 0), tmp_path / "image.png"), style="frame")
    assert image[0, 0] == 55
    assert image[:, 0].tolist() == [55] * 28
    assert (image > 150).sum() < 60


@pytest.mark.parametrize(("low", "high"), [(0, 256), (0, 130)])
def test_picture_without_an_even_ground_is_framed_whole(
    low: int, high: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    noise = rng.integers(low, high, size=(56, 28), dtype=np.uint8)
    noise[20:30, 10:20] = 255
    path = saved(Image.fromarray(noise), tmp_path / "noise.png")
    np.testing.assert_array_equal(grey(path, "mnist"), grey(path, "frame"))


@pytest.mark.parametrize("style", ["mnist", "fill", "frame"])
def test_picture_of_the_right_size_is_taken_as_it_is(style: Style, tmp_path: Path) -> None:
    images = load_dataset("digits", test_limit=10).test.images
    for image in images:
        path = saved(Image.fromarray(image[0]), tmp_path / "digit.png")
        np.testing.assert_array_equal(read_image(path, channels=1, size=(16, 16), style=style), image)


def test_invert_can_be_forced(tmp_path: Path) -> None:
    images = load_dataset("digits", test_limit=1).test.images[0]
    path = saved(Image.fromarray(255 - images[0]), tmp_path / "digit.png")
    np.testing.assert_array_equal(read_image(path, channels=1, size=(16, 16), invert="auto"), images)
    np.testing.assert_array_equal(read_image(path, channels=1, size=(16, 16), invert=True), images)
    np.testing.assert_array_equal(read_image(path, channels=1, size=(16, 16), invert=False), 255 - images)


def test_colour_is_kept_for_three_channels(tmp_path: Path) -> None:
    path = saved(drawing("RGB", (10, 20, 200), (250, 0, 0)), tmp_path / "image.png")
    image = read_image(path, channels=3, size=(24, 24))
    assert image.shape == (3, 24, 24)
    assert image[:, 0, 0].tolist() == [10, 20, 200]


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (2, 2)])
def test_extreme_shapes_are_read(shape: tuple[int, int], tmp_path: Path) -> None:
    pixels = np.zeros(shape, dtype=np.uint8)
    pixels[0, 0] = 255
    assert grey(saved(Image.fromarray(pixels), tmp_path / "image.png"), "frame").shape == (28, 28)
    assert grey(saved(Image.fromarray(pixels), tmp_path / "image.png"), "mnist").shape == (28, 28)


def test_enlarged_and_misplaced_digits_are_still_recognised(tmp_path: Path, rng: np.random.Generator) -> None:
    """Held-out digits, blown up, put dark somewhere on light paper, read back, told by their neighbours."""
    splits = load_dataset("digits", test_limit=50)
    model = KNeighborsClassifier(3).fit(splits.train.images.reshape(-1, 256), splits.train.labels)
    paths = []
    for index, image in enumerate(splits.test.images[:, 0]):
        paper = Image.new("L", (400, 350), 230)
        large = Image.fromarray((230 - image * 0.8).astype(np.uint8)).resize(
            (160, 160), Image.Resampling.BICUBIC
        )
        paper.paste(large, (int(rng.integers(0, 240)), int(rng.integers(0, 190))))
        paths.append(saved(paper, tmp_path / f"{index}.png"))
    images = np.stack([read_image(path, channels=1, size=(16, 16), style="fill") for path in paths])
    assert images.shape == (50, 1, 16, 16)
    assert model.score(images.reshape(-1, 256), splits.test.labels) >= 0.85


def test_every_data_set_names_a_style(tmp_path: Path) -> None:
    path = saved(drawing("L", 255, 0), tmp_path / "image.png")
    for entry in DATASETS.values():
        image = read_image(path, channels=entry.n_channels, size=entry.size, style=entry.style)
        assert image.shape == (entry.n_channels, *entry.size)


def truncated(path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size=(60, 60), dtype=np.uint8)
    Image.fromarray(noise).save(path, format=suffix)
    path.write_bytes(path.read_bytes()[:-700])


def nan_image(path: Path) -> None:
    Image.fromarray(np.full((30, 30), np.nan, dtype=np.float32)).save(path, format="tiff")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("not an image"), "is not an image that can be read"),
    "cut PNG": (lambda path: truncated(path, "png"), "cannot be read: .*"),
    "cut JPEG": (lambda path: truncated(path, "jpeg"), "cannot be read: .*truncated"),
    "header only": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "cannot be read|is not an image"),
    "blank": (lambda path: Image.new("L", (50, 50), 255).save(path, format="png"), "is blank"),
    "transparent": (lambda path: Image.new("RGBA", (50, 50)).save(path, format="png"), "is blank"),
    "not numbers": (nan_image, "cannot be read: it holds values that are not numbers"),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_bad_file_gets_one_line_with_its_name(kind: str, tmp_path: Path) -> None:
    make, message = BAD[kind]
    path = tmp_path / "picture.png"
    make(path)
    with pytest.raises(DataError, match=rf"^Image '{re.escape(str(path))}' ({message}).*\.$") as caught:
        grey(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [100, 60])  # an error of Pillow's, and a warning
def test_decompression_bomb_is_refused(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(drawing("L", 255, 0, size=(100, 100)), tmp_path / "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit * 100)
    if limit == 100:
        assert grey(path).shape == (28, 28)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="is too large: make it smaller than 0 megapixels"):
        grey(path)


@pytest.mark.parametrize(
    ("name", "value"), [("channels", 2), ("size", (0, 28)), ("style", "centre"), ("invert", "maybe")]
)
def test_bad_argument_is_named(name: str, value: Any, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"channels": 1, "size": (28, 28), name: value}
    with pytest.raises(ArgumentError, match=f"Argument `{name}` must be .* but is"):
        read_image(tmp_path / "image.png", **arguments)


def photographed(digit: NDArray[np.uint8], light: str, rng: np.random.Generator) -> Image.Image:
    """A digit in ink on paper under uneven light: pixels = light * (1 - 0.85 ink) and some noise."""
    ink = np.zeros((300, 260))
    ink[40:240, 30:230] = np.asarray(Image.fromarray(digit).resize((200, 200))) / 255.0
    y, x = np.mgrid[0:1:300j, 0:1:260j]
    fall = {
        "gradient": 0.62 + 0.6 * (x - 0.5),
        "spot": 0.35 + 0.6 * np.exp(-((x - 0.2) ** 2 + (y - 0.8) ** 2) / 0.12),
        "shadow": np.where(x + y > 1.0, 0.9, 0.5),
        "dim": 0.3 + 0.25 * (y - 0.5),
    }[light]
    return Image.fromarray(
        np.clip(255 * fall * (1 - 0.85 * ink) + rng.normal(0, 3, ink.shape), 0, 255).astype(np.uint8)
    )


@pytest.mark.parametrize("light", ["gradient", "spot", "shadow", "dim"])
def test_a_drawing_on_unevenly_lit_paper_is_read_as_on_even_paper(
    light: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    drawn = np.zeros((28, 28), dtype=np.uint8)
    drawn[5:23, 12:16] = 255
    drawn[5:9, 8:20] = 255
    even = saved(Image.fromarray(drawn).resize((200, 200)), tmp_path / "even.png")
    wanted = grey(even).astype(float)
    photo = photographed(drawn, light, rng)
    found = grey(saved(photo, tmp_path / "photo.png")).astype(float)
    length = np.sqrt((found**2).sum() * (wanted**2).sum())
    shifts = [(up, left) for up in (-1, 0, 1) for left in (-1, 0, 1)]  # a pixel from its place is no matter
    assert max(float((np.roll(found, by, (0, 1)) * wanted).sum() / length) for by in shifts) > 0.99


def test_an_elongated_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = saved(Image.new("L", (40_000, 1), 255), tmp_path / "line.png")
    with pytest.raises(DataError, match=r"is 40,000 x 1 pixels: the longer side must be at most 1000 times"):
        grey(path)


def test_a_large_photograph_is_reduced_as_it_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    small = Image.fromarray(pixels).resize((400, 300), Image.Resampling.BICUBIC)
    for suffix in ("png", "jpg"):
        path = saved(small.resize((4000, 3000), Image.Resampling.BICUBIC), tmp_path / f"large.{suffix}")
        large = read_image(path, channels=3, size=(24, 32), style="whole").astype(int)
        reference = read_image(
            saved(small, tmp_path / "s.png"), channels=3, size=(24, 32), style="whole"
        ).astype(int)
        assert np.abs(large - reference).mean() < 4
