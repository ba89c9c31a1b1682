"""Write the drawings of the README from what they show: `python -m docs.figures [RUN]`.

accuracy.svg is drawn from runs.csv, speed.svg from the table of speed.md. one-image.svg and
run-page.png show RUN, a finished training, as its page does; without RUN they stay as they are. The picture
of the page is taken by Chromium. model.svg is drawn by hand.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from docs.results import SIZES, one_group
from sqdr_qiskit.reports.page import COLOURS, PAGE, figure_svg, house_style, new_figure, pixels_img
from sqdr_qiskit.reports.run_page import example_ways, spike_strip

__all__ = ["accuracy_figure", "main", "one_image", "read_speeds", "speed_figure"]

_DOCS = Path(__file__).parent


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


def _tables(page: str) -> dict[str, list[dict[str, str]]]:
    """Heading -> the rows of the table below it, by column."""
    found: dict[str, list[dict[str, str]]] = {}
    heading, head = "", []
    for line in page.splitlines():
        if line.startswith("#"):
            heading, head = line.lstrip("# "), []
        elif line.startswith("|") and not head:
            head = _cells(line)
        elif line.startswith("|") and "---" not in line:
            found.setdefault(heading, []).append(dict(zip(head, _cells(line), strict=True)))
    return found


# ---- accuracy ----------------------------------------------------------------------------------------------

_PANELS = {  # title -> grid, data set
    "MNIST": ("table-3", "mnist"),
    "Fashion-MNIST": ("table-3", "fashion-mnist"),
    "MNIST, noisy": ("table-4", "mnist"),
    "Fashion-MNIST, noisy": ("table-4", "fashion-mnist"),
}


def accuracy_figure() -> str:
    """Our test accuracy beside the paper's, every seed a point, as SVG."""
    with house_style():
        figure = new_figure(PAGE, 2.5, "")
        for axes, (title, (grid, dataset)) in zip(
            figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True
        ):
            for place, name in enumerate(SIZES):
                group = one_group(grid, circuit=name, dataset=dataset)
                if group is None or group.spread is None:
                    continue
                seeds = [100 * value for value in group.by_seed.values()]
                single = axes.plot([place] * len(seeds), seeds, "o", c=COLOURS[5], mec="none")
                sd = 100 * (group.spread.sd or 0)
                ours = axes.errorbar(place, 100 * group.spread.mean, sd, fmt="o", c=COLOURS[0])
                if group.paper is not None:
                    paper = axes.plot(place, 100 * group.paper["accuracy"], "D", c=COLOURS[1])
            axes.set_xticks(range(len(SIZES)), SIZES, rotation=40, ha="right")
            axes.set_xlim(-0.6, len(SIZES) - 0.4)
            axes.set_title(title)
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        figure.axes[0].set_ylabel("test accuracy, %")
        words = ["ours, mean ± standard deviation", "ours, single seeds", "Luu et al."]
        figure.legend([ours, *single, *paper], words, loc="outside lower center", ncols=3)
        return figure_svg(figure)


# ---- speed -------------------------------------------------------------------------------------------------


def read_speeds(page: str) -> dict[str, dict[str, list[float]]]:
    """Circuit -> who computes it (`ours`, or a peer) -> samples a second, in each measurement."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in _tables(page)["All peers, without noise"] + _tables(page)["All peers, with noise"]:
        try:
            theirs = float(row["forward + backward"].replace(",", ""))
            ours = float(row["ours, best batch"].replace(",", ""))
        except ValueError:
            continue  # did not finish, or was not tried
        speeds = found.setdefault(row["circuit"], {"ours": []})
        if "forward only" in row["peer"]:
            continue
        if row["peer"] != "sqdr-qiskit, as a torch layer":
            speeds.setdefault(row["peer"].split(" (")[0], []).append(theirs)
        speeds["ours"].append(ours)
    return found


_FAMILIES = {
    "TensorCircuit": 1,
    "PennyLane": 2,
    "qujax": 3,
    "TorchQuantum": 4,
    "DeepQuantum": 5,
    "EstimatorQNN": 6,
}


def speed_figure(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Samples a second of the circuit layer, every measurement a point, on a logarithmic axis, as SVG."""
    with house_style():
        figure = new_figure(PAGE, 0.32 * len(found) + 1.1, "")
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        named = set()
        for place, speeds in enumerate(reversed(found.values())):
            for peer, values in speeds.items():
                family = next((name for name in _FAMILIES if peer.startswith(name)), "ours")
                colour = COLOURS[_FAMILIES.get(family, 0)]
                label = "" if family in named else family
                named.add(family)
                axes.plot(
                    values,
                    [place] * len(values),
                    "o" if family == "ours" else "|",
                    color=colour,
                    label=label,
                    ms=6,
                )
        axes.set_yticks(range(len(found)), list(reversed(found)))
        axes.set_ylim(-0.6, len(found) - 0.4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,.10g}"))
        axes.set_xlabel("samples a second, forward and backward")
        figure.legend(loc="outside lower center", ncols=4)
        return figure_svg(figure)


# ---- one image ---------------------------------------------------------------------------------------------

_STYLE = """
text { font-family: system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; font-size: 12px; fill: #24292f }
.soft { fill: #5b6570; font-size: 11px } .small { font-size: 9px } .head { font-weight: 600 }
.middle { text-anchor: middle } .end { text-anchor: end } image { image-rendering: pixelated }
.axis { stroke: #888888; stroke-width: 1 } .stripe { fill: #8098b0; fill-opacity: .13 }
.bar { fill: #c6d4e4 } .best { fill: #0072b2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .soft { fill: #a4afbb } .bar { fill: #33445a } .best { fill: #56b4e9 }
}
"""


def one_image(example: Mapping[str, Any]) -> str:
    """One example of a run's page as a drawing: image, bits, spikes, rates, expectation values, classes.

    Args:
        example: As `sqdr-qiskit report RUN --json` prints it.
    """
    parts = [_picture(np.array(example["pixels"], dtype=np.uint8)[0], x=8, y=38, width=118)]
    parts += [
        _text(67, 16, "image", "head middle"),
        _text(67, 176, f"{example['image']}, a {example['truth']}", "soft middle"),
    ]
    parts += [_text(316, 16, "spikes, step by step", "head middle")]
    y = 40.0
    names = ["bits", *(f"{len(layer['words'])} maps" for layer in example["layers"][1:])]
    for name, layer in zip(names, example["layers"], strict=True):
        strip = spike_strip(layer["words"], int(example["n_steps"]))
        height = strip.shape[0] * 316 / strip.shape[1]
        parts += [
            _picture(strip, x=190, y=y, width=316, height=height),
            _text(182, y + height / 2 + 4, name, "soft end"),
        ]
        y += height + 22
    features = example_ways(example, "")
    _, _, wide, high = map(int, re.search(r'viewBox="(\d+) (\d+) (\d+) (\d+)"', features).groups())  # type: ignore[union-attr]
    parts += [f'<g transform="translate(526 26)">{re.sub("</?svg[^>]*>", "", features)}</g>']
    parts += [_text(526 + wide / 2, 16, "last layer and circuit", "head middle")]
    parts += [_text(978, 16, "classes", "head middle")]
    chances = example["exact"]["probabilities"]
    for place, (name, chance) in enumerate(chances.items()):
        top = 40 + 21 * place
        kind = "best" if name == example["exact"]["label"] else "bar"
        parts += [
            _text(916, top + 12, name, ""),
            f'<rect class="{kind}" x="930" y="{top}" width="{2 + 66 * chance:.1f}" height="14"/>',
        ]
        if chance > 0.02:
            parts += [_text(936 + 66 * chance, top + 12, f"{chance:.0%}", "soft")]
    tall = max(y, high + 30, 260)
    title = f"{example['image']}: image, bits, spikes, rates, expectation values and class probabilities"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1040 {tall:.0f}" role="img">'
        f"<title>{title}</title><style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}">{words}</text>'


def _picture(pixels: np.ndarray, *, x: float, y: float, width: float, height: float | None = None) -> str:
    source = re.search(r"src='([^']*)'", pixels_img(pixels, "", ""))
    assert source is not None
    return f'<image x="{x}" y="{y:.1f}" width="{width}" height="{height or width:.1f}" href="{source[1]}"/>'


# ---- the page ----------------------------------------------------------------------------------------------


def _take_picture(page: Path, picture: Path) -> None:
    """The top of a page as Chromium shows it."""
    browser = next(
        (name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None
    )
    if browser is None:
        raise SystemExit("Chromium is needed for the page's picture.")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,1150"]
    subprocess.run(
        [browser, *options, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True
    )


def main(arguments: Sequence[str]) -> None:
    """Write the drawings."""
    speed = (_DOCS / "speed.md").read_text(encoding="utf-8")
    (_DOCS / "accuracy.svg").write_text(accuracy_figure(), encoding="utf-8")
    (_DOCS / "speed.svg").write_text(speed_figure(read_speeds(speed)), encoding="utf-8")
    for run in arguments:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.html"
            command = [sys.executable, "-m", "sqdr_qiskit", "report", run, "--out", str(page), "--json"]
            record = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            (_DOCS / "one-image.svg").write_text(one_image(record["examples"][0]), encoding="utf-8")
            _take_picture(page, _DOCS / "run-page.png")


if __name__ == "__main__":
    main(sys.argv[1:])
