from __future__ import annotations

import base64
import copy
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sqdr_qiskit import records
from sqdr_qiskit.reports.run_page import run_page, spike_strip
from sqdr_qiskit.reports.run_summary import cards, cost_of, headline, promises, settings
from sqdr_qiskit.reports.tables import duration
from tests.reports.browser import WIDTHS, needs_browser, show

NAMES = ["T-shirt/top", "Trouser", "<Bag>"]


def example(rng: np.random.Generator, *, ran: bool) -> dict[str, Any]:
    """One sample of three qubits with random spikes."""
    shapes = [(1, 16, 16), (2, 8, 8), (4, 4, 4), (8, 2, 2)]
    features = rng.integers(0, 1024, 9).tolist()
    way = {
        "expectations": [0.5, -0.25, 1.0],
        "label": "Trouser",
        "probabilities": {"T-shirt/top": 0.1, "Trouser": 0.9, "<Bag>": 0.0},
    }
    return {
        "image": "fashion[3] & more",
        "truth": "<Bag>",
        "pixels": rng.integers(0, 256, (1, 16, 16)).tolist(),
        "n_steps": 10,
        "n_phases": 8,
        "layers": [{"words": rng.integers(0, 1024, shape).tolist(), "fired": 0.25} for shape in shapes],
        "features": features,
        "rates": [word.bit_count() / 10 for word in features],
        "exact": way,
        "ran": {**way, "label": "T-shirt/top"} if ran else None,
    }


@pytest.fixture
def record(rng: np.random.Generator) -> dict[str, Any]:
    """A training on a quantum computer that has everything."""
    exact = rng.uniform(-1, 1, (4, 3))
    history = [
        {"epoch": i, "loss": 2 / i, "accuracy": i / 4, "validation_loss": 2 / i, "validation_accuracy": i / 5}
        for i in (1, 2, 3)
    ]
    job = {
        "job": "abc123", "request": "call 1 part 1/1", "state": "done", "planned_s": 3.5, "used_s": 1.25,
        "executions": 3600, "made": "2026-01-02T03:04:05.678+00:00", "reason": None,
    }  # fmt: skip
    failed = {**job, "job": None, "state": "refused", "used_s": None, "reason": "said <no>"}
    return {
        "schema": 1,
        "kind": "train",
        "name": "one",
        "folder": "runs/one",
        "finished": True,
        "written": "2026-01-02T03:05:00+00:00",
        "since_record_s": 12.0,
        "command": "sqdr-qiskit train --backend ibm_kingston",
        "inputs": {
            "job": {"task": "train", "dataset": "fashion", "circuit": "2b-3q", "backend": "ibm_kingston",
                    "gradient": "spsa", "noise": None, "shots": 200, "head": True, "data_dir": "/secret"},
            "recipe": {"name": "ours*", "epochs": 3, "learning_rate": 0.02},
            "data": {"train": {"images": 1200}, "source": "made up"},
        },
        "results": {"sittings": 1, "samples_per_s": 4.0, "shares": {"circuit": 1.0}},
        "timings_s": {"this_sitting": 250.0, "circuit": 200.0},
        "circuit": {"name": "2b-3q", "title": "Data re-uploading"},
        "n_parameters": 545,
        "class_names": NAMES,
        "history": history,
        "best": history[-1],
        "test": {"confusion": [[40, 5, 5], [0, 50, 0], [10, 0, 40]], "accuracy": 130 / 150, "loss": 0.5},
        "sweeps": [
            {
                "name": "sweep", "dataset": "fashion", "backend": "exact_noisy", "n_images": 150,
                "noiseless": 0.9, "chance": 1 / 3,
                "points": [
                    {"channel": name, "strength": p, "accuracy": 0.9 - p}
                    for name in ("bit_flip", "depolarizing") for p in (0.0, 0.1)
                ],
            }
        ],
        "hardware": {
            "device": "ibm_kingston", "calibrated": "2026-01-01T00:00:00+00:00", "jobs": [job, failed],
        },
        "agreement": {
            "backend": "ibm_kingston", "shots": 200, "n_samples": 4, "images": list("abcd"),
            "truths": ["Trouser"] * 4, "ran": (0.9 * exact).tolist(), "exact": exact.tolist(),
            "labels": ["Trouser"] * 4, "exact_labels": ["Trouser"] * 3 + ["<Bag>"],
            "mean_error": 0.05, "rms_error": 0.06, "sampling_error": 0.04, "slope": 0.9,
            "per_output": [0.04, 0.05, 0.06], "agree": 3, "right": 4, "exact_right": 3,
        },
        "examples": [example(rng, ran=True), example(rng, ran=False)],
        "examples_of": "test images",
        "left_out": {},
        "made_by": {
            "versions": {"sqdr-qiskit": "0.1.0", "python": "3.12"}, "host": {"processor": "p", "cores": 2},
            "seeds": {"run": 7}, "digests": {"best.safetensors": "ab" * 32},
        },
    }  # fmt: skip


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def without(record: dict[str, Any], *keys: str, **changes: Any) -> dict[str, Any]:
    return {**{key: value for key, value in record.items() if key not in keys}, **changes}


# ---- the page ----------------------------------------------------------------------------------------------


def test_a_page_has_a_section_for_everything_there_is(record: dict[str, Any]) -> None:
    page = run_page(record)
    assert headings(page) == [
        "How well it did", "What it ran", "What it cost", "Learning curves", "Test images, class by class",
        "ibm_kingston against the exact engine", "Under noise", "Jobs and their cost",
        "Examples, spike by spike", "Settings", "What made it",
    ]  # fmt: skip
    assert page.index("86.67 % of 150 test images right") < page.index("1.2 QPU s") < page.index("<figure>")
    for text in ("abc123", "estimated 3.5 s", "said &lt;no&gt;", "fashion[3] &amp; more", "&lt;Bag&gt;"):
        assert text in page, text
    assert "<Bag>" not in page
    assert "/secret" not in page
    assert run_page(json.loads(records.dump_json(record))) == run_page(json.loads(records.dump_json(record)))


def test_a_section_appears_only_where_there_is_something_to_show(record: dict[str, Any]) -> None:
    optional = ("history", "test", "agreement", "sweeps", "hardware", "examples", "best")
    bare = without(record, *optional, finished=False, timings_s={})
    assert headings(run_page(bare)) == [
        "How well it did", "What it ran", "What it cost", "Settings", "What made it",
    ]  # fmt: skip
    for key in optional[:-1]:
        assert len(headings(run_page({**bare, key: record[key]}))) == 6, key


def test_what_could_not_be_made_says_so_in_its_place(record: dict[str, Any]) -> None:
    reasons = {"examples": "no <data> here", "results": "damaged"}
    page = run_page(without(record, "examples", "test", left_out=reasons))
    said = '<h2>{}</h2>\n<p class="refused">Left out: {}</p>'
    assert said.format("Examples, spike by spike", "no &lt;data&gt; here") in page
    assert said.format("Test images, class by class", "damaged") in page


def test_the_page_needs_nothing_else_and_pictures_have_words(record: dict[str, Any]) -> None:
    page = run_page(record)
    assert not re.findall(r"(?:src|href)=['\"](?!data:)", page)
    assert "<script" not in page
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) == 2 + 2 + 1 + 2 * 5
    assert all(re.search(r"alt='[^']{8,}'", picture) for picture in pictures)
    assert page.count('role="img"') == page.count("<svg") == 2


def test_a_thousand_samples_do_not_make_it_long(record: dict[str, Any], rng: np.random.Generator) -> None:
    exact = rng.uniform(-1, 1, (1000, 9))
    many = {
        **record["agreement"], "n_samples": 1000, "exact": exact.tolist(), "ran": exact.tolist(),
        "images": [f"digits[{i}]" for i in range(1000)], "truths": ["Trouser"] * 1000,
        "labels": ["Trouser"] * 1000, "exact_labels": ["<Bag>"] * 1000,
    }  # fmt: skip
    page = run_page(without(record, "history", "test", "sweeps", "examples", agreement=many))
    assert len(page) < 300_000
    assert "The first 10 of 1,000 samples." in page


def test_the_images_are_the_pixels(record: dict[str, Any]) -> None:
    page = run_page(record)
    found = re.findall(r"class='pixels look'[^>]*base64,([^']*)'", page)
    assert len(found) == 2
    with Image.open(io.BytesIO(base64.b64decode(found[0]))) as picture:
        shown = np.asarray(picture.convert("L"))
    assert np.array_equal(shown, record["examples"][0]["pixels"][0])


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["whole", "unfinished", "inference"])
def test_a_browser_finds_nothing_wrong(kind: str, width: int, record: dict[str, Any], tmp_path: Path) -> None:
    if kind == "unfinished":
        record = without(record, "test", "agreement", finished=False, timings_s={})
    if kind == "inference":
        answer = {"image": "a" * 60, "class": "Trouser", "probability": 0.9, "truth": "Trouser"}
        record = without(record, "test", "history", "best", "sweeps", kind="infer", answers=[answer] * 4)
    shown = show(run_page(record), tmp_path, width=width, count=(".example", ".answer"))
    assert shown.wrong == {}
    assert shown.images >= 12
    assert shown.counts == {".example": 2, ".answer": 3}


# ---- its words ---------------------------------------------------------------------------------------------


def test_the_headline_says_how_well_it_did(record: dict[str, Any]) -> None:
    assert headline(record) == "86.67 % of 150 test images right"
    few = without(record, test={"confusion": [[3, 1], [0, 4]]})
    assert headline(few) == "7 of 8 test images right"
    unfinished = without(record, "test", finished=False)
    unfinished["inputs"] = {**record["inputs"], "recipe": {"epochs": 10}}
    assert headline(unfinished) == "Unfinished after 3 of 10 epochs, 60.00 % right in validation so far"
    assert headline(without(unfinished, "history", "best")) == "Unfinished after 0 of 10 epochs"
    answers = [{"image": "a", "class": "x", "probability": 0.5}]
    inferred = without(record, "test", kind="infer", answers=answers)
    assert headline(inferred) == "1 picture classified"
    assert headline({**inferred, "answers": [{**answers[0], "truth": "x"}] * 2}) == "2 of 2 images right"
    swept = without(record, "test", "best", kind="evaluate")
    assert headline(swept) == "90.00 % right without noise, 80.00 % under 10 % bit flip"
    assert headline(without(record, "test", "sweeps", kind="infer", finished=False)).startswith("Unfinished")


def test_three_cards_say_how_well_what_and_at_what_cost(record: dict[str, Any]) -> None:
    well, what, cost = cards(record)
    assert (well.answer, what.answer, cost.answer) == ("86.67 %", "2b-3q on fashion", "1.2 QPU s")
    assert "guessing: 33.3 %" in well.lines
    assert "exact engine: 3 of 4 right" in well.lines
    assert "1,200 training images, 3 epochs, recipe ours*" in what.lines
    assert "backend ibm_kingston, 200 shots, gradient spsa" in what.lines
    assert cost.lines == (
        "quantum time used; estimated 3.5 s",
        "1 job done of 2, 3,600 circuit executions",
        "4 min 10 s on the clock",
    )


def test_simulated_runs_cost_time_alone_and_rehearsals_say_more(record: dict[str, Any]) -> None:
    simulated = without(record, "hardware")
    assert cards(simulated)[2].answer == "4 min 10 s"
    assert cards(simulated)[2].lines[-1] == "no quantum time: simulated"
    plan = {"jobs": 1, "executions": 12288, "planned_s": 6.3}
    rehearsed = {**simulated, "results": {"rehearsal": plan}}
    (line,) = cards(rehearsed)[2].lines
    assert "the device would take about 6.3 s of quantum time in 1 job, 12,288 circuit executions" in line
    rehearsed["inputs"] = {**record["inputs"], "job": {**record["inputs"]["job"], "gradient": None}}
    assert "without the training steps" in cards(rehearsed)[2].lines[-1]  # exact gradients ask no device
    ledger = {**record["hardware"], "device": "fake_kingston"}
    counted = without(record, hardware=ledger)
    assert cards(counted)[2].answer == "4 min 10 s"
    assert "about 3.5 s of quantum time in 1 job, 3,600 circuit" in cards(counted)[2].lines[-1]
    assert "rehearsed on fake_kingston: 1 done, 1 refused. Nothing was spent" in run_page(counted)
    resumed = {**simulated, "results": {"sittings": 2}}
    assert cards(resumed)[2].answer == "3 min 20 s"  # of all sittings, not of the last


def test_an_unfinished_run_says_how_to_go_on(record: dict[str, Any]) -> None:
    well, _, cost = cards(without(record, "test", finished=False))
    assert well.answer == "60.00 % so far"
    assert "`sqdr-qiskit train --resume runs/one` goes on" in well.lines[-1]
    assert cost.answer == "1.2 QPU s so far"
    assert "12 s on the clock" in cost.lines


def test_sums_leave_out_what_was_never_sent(record: dict[str, Any]) -> None:
    sums = cost_of(record["hardware"]["jobs"])
    assert sums == {"planned_s": 3.5, "used_s": 1.25, "executions": 3600, "done": 1}


def test_settings_are_what_was_asked_for(record: dict[str, Any]) -> None:
    found = settings(record)
    assert found["gradient"] == "spsa"
    assert found["recipe: learning rate"] == "0.02"
    assert "noise" not in found
    pictures = [f"{number}.png" for number in range(12)]
    asked = without(record, inputs={"job": {**record["inputs"]["job"], "input": pictures}})
    assert settings(asked)["input"] == "0.png, 1.png, 2.png, 3.png and 8 more"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(8.24, "8.2 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (250, "4 min 10 s"), (7500, "2 h 05 min")],
)
def test_durations_are_read_aloud(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_record_is_left_as_it_was(record: dict[str, Any]) -> None:
    before = copy.deepcopy(record)
    run_page(record)
    assert record == before


def test_a_trainings_page_says_what_to_expect_of_it(record: dict[str, Any]) -> None:
    assert "130 of 150 test images right, standard error 2.8 %" in cards(record)[0].lines
    alright = without(record, test={"confusion": [[3, 0], [0, 4]]})
    assert "7 of 7 test images right" in cards(alright)[0].lines  # of all there is no such error
    assert promises(record) == []  # the paper has no circuit of three qubits
    named = without(record, circuit={"name": "2b-9q"})
    assert promises(named) == []
    named["inputs"] = {**record["inputs"], "job": {**record["inputs"]["job"], "dataset": "fashion-mnist"}}
    assert promises(named) == [("the paper (Table 3, validation, 100 epochs)", 0.7618)]
    ours = {"name": "fashion-mnist-2b-9q", "test_accuracy": 0.8, "same_recipe": False}
    lines = cards({**named, "pretrained": ours})[0].lines
    assert "pretrained in the package (fashion-mnist-2b-9q): 80.00 %" in lines
    assert promises({**named, "kind": "infer"}) == []


def test_the_circuit_is_drawn(record: dict[str, Any]) -> None:
    drawing = {"wires": ["0"], "measured": [], "gates": [["u", [0], ["x[0]", "x[1]", "x[2]"]]]}
    page = run_page({**record, "drawing": drawing})
    assert "The circuit" in headings(page)
    assert ">U(x)</text>" in page


def test_answers_are_sorted_with_the_least_sure_first_and_have_pictures(record: dict[str, Any]) -> None:
    answers = [
        {"image": f"digits[{i}]", "class": "x", "probability": p, "truth": "x"}
        for i, p in enumerate((0.9, 0.3, 0.6))
    ]
    thumbnails = {"digits[1]": [[[0, 255], [255, 0]]]}
    page = run_page(without(record, "agreement", kind="infer", answers=answers, thumbnails=thumbnails))
    shown = page[page.index("<h2>Answers") : page.index("<h2>Under noise")]
    assert re.findall(r"digits\[(\d)\]</td>", shown) == ["1", "2", "0"]
    assert shown.count("class='pixels thumb'") == 1
    many = run_page(without(record, "agreement", kind="infer", answers=answers * 20))
    assert "The 40 least sure of 60 answers." in many


def test_the_page_has_a_dark_mode_and_rules_for_print(record: dict[str, Any]) -> None:
    page = run_page(record)
    assert '<meta name="color-scheme" content="light dark">' in page
    for rule in (
        "@media screen and (prefers-color-scheme: dark)",
        "break-inside: avoid",
        "break-after: avoid",
    ):
        assert rule in page


def test_a_strip_shows_every_spike_in_its_step(rng: np.random.Generator) -> None:
    words = rng.integers(0, 8, (1, 4, 7))
    strip = spike_strip(words.tolist(), 3)
    assert strip.shape == (4 * 8, 3 * 56 + 2 * 8, 4)
    for step in range(3):
        tile = strip[::8, step * 64 : step * 64 + 56 : 8]
        assert np.array_equal(tile[:, :, 0] == 0, words[0] >> step & 1)  # a spike has no red


@pytest.mark.parametrize(
    ("n_maps", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2), (8, 2, 4)]
)
def test_maps_stand_side_by_side(n_maps: int, rows: int, columns: int) -> None:
    strip = spike_strip(np.zeros((n_maps, 2, 2), int).tolist(), 1)
    scale = 56 // (2 * columns)
    assert strip.shape == (rows * 2 * scale, columns * 2 * scale, 4)
