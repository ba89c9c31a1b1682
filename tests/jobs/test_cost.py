from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.cli import main
from sqdr_qiskit.devices.mitigation import Mitigation
from sqdr_qiskit.devices.study import snapshot_chip
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.cost import COST_GRADIENTS, forecast_training, plan_cost
from sqdr_qiskit.jobs.hardware import runtime_settings
from sqdr_qiskit.jobs.transpile_report import compare_methods
from sqdr_qiskit.runtime.budget import Ceiling
from sqdr_qiskit.specs.job import JobSpec


def test_a_training_step_by_hand() -> None:
    plan = plan_cost("2b-9q", samples=16, steps=10, shots=1000)
    assert plan.executions_per_sample == 27
    assert plan.packed.circuits == 10 * 16 * 27
    assert plan.packed.shots == 10 * 16 * 27 * 1000
    assert plan.packed.jobs == 10  # values and turns of a step together
    assert plan.packed.qpu_seconds == pytest.approx(10 * 2 + 0.00035 * plan.packed.shots)
    assert plan.open_plan_share == pytest.approx(plan.packed.qpu_seconds / 600)
    assert plan.stock is not None
    assert plan.stock.circuits == 10 * 16 * 9 * (1 + 216)


@pytest.mark.parametrize(
    ("gradient", "executions"),
    [("parameter-shift", 27), ("gate-shift", 13), ("spsa", 7), ("physics-aware", 1)],
)
def test_every_gradient_has_its_price(gradient: str, executions: int) -> None:
    assert gradient in COST_GRADIENTS
    assert plan_cost("2b-10q", gradient=gradient, averages=3).executions_per_sample == executions


def test_a_frozen_encoder_saves_the_turns_of_the_data() -> None:
    assert plan_cost("2b-9q", freeze=True).executions_per_sample == 19
    assert plan_cost("2b-9q", freeze=True, gradient="gate-shift").executions_per_sample == 13


def test_inference_reads_each_image_once() -> None:
    plan = plan_cost("4b-9q", task="infer", samples=100, shots=500)
    assert (plan.packed.circuits, plan.packed.jobs, plan.gradient) == (100, 1, None)
    assert plan.stock is not None
    assert plan.stock.circuits == 900


def test_samples_stand_side_by_side_on_a_device() -> None:
    plan = plan_cost("2b-9q", task="infer", samples=100, device="fake_brisbane")
    assert plan.place.copies >= 2
    assert plan.packed.circuits == -(-100 // plan.place.copies)
    with pytest.raises(ArgumentError, match="`device` must be a device with a snapshot"):
        plan_cost("2b-9q", device="ibm_nowhere")


def test_large_work_is_split_by_the_limits_of_a_job() -> None:
    plan = plan_cost("2b-9q", samples=10_000, steps=1, shots=4096)
    assert plan.packed.jobs > 2
    assert plan.instructions <= plan.instruction_limit


def test_a_ceiling_refuses_before_anything_is_sent() -> None:
    plan = plan_cost("2b-9q", samples=1, steps=1, shots=100)
    assert plan.packed.above(Ceiling()) is None
    assert plan.packed.above(Ceiling(max_qpu_seconds=1000, max_executions=2_700)) is None
    assert "above --max-qpu-seconds 1" in str(plan.packed.above(Ceiling(max_qpu_seconds=1)))
    assert "2,700 executions, above --max-executions 2,699" in str(
        plan.packed.above(Ceiling(max_executions=2_699))
    )
    assert Ceiling(max_executions=10).exceeded([5], spent_executions=6) is not None
    assert Ceiling(max_executions=10).exceeded([5], spent_executions=5) is None


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`shots` must be at least 1"):
        plan_cost("2b-9q", shots=0)
    with pytest.raises(ArgumentError, match="`gradient` must be one of"):
        plan_cost("2b-9q", gradient="exact")
    with pytest.raises(ArgumentError, match="`task` must be train or infer"):
        plan_cost("2b-9q", task="rest")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="`max_executions` must be above 0"):
        Ceiling(max_executions=0)


def test_a_gradient_is_counted_on_the_cones_that_it_is_measured_on() -> None:
    """A chip of five qubits takes the three cones of 2b-3q one after the other."""
    values = plan_cost("2b-3q", task="infer", samples=4, shots=10, device="fake_manila")
    steps = plan_cost("2b-3q", samples=4, steps=1, shots=10, device="fake_manila", gradient="spsa")
    assert values.packed.shots == 4 * 10
    assert steps.packed.shots == 3 * (4 * 3) * 10
    aware = plan_cost("2b-3q", samples=4, steps=1, shots=10, device="fake_manila", gradient="physics-aware")
    assert aware.packed.shots == values.packed.shots


JOB = JobSpec(circuit="2b-3q", backend="fake_manila", shots=50, gradient="gate-shift", max_executions=10**9)


def _inputs(train: int, *, validation: int = 0, test: int = 0, epochs: int = 1) -> dict[str, Any]:
    return {
        "model": {"circuit": {"name": "2b-3q"}},
        "recipe": {"batch_size": 4, "epochs": epochs},
        "data": {
            "train": {"images": train},
            "validation": {"images": validation} if validation else None,
            "test": {"images": test},
        },
    }


def _shots(**plan: Any) -> int:
    return plan_cost("2b-3q", device="fake_manila", shots=50, **plan).packed.shots


def test_it_counts_every_step_and_every_look() -> None:
    found = forecast_training(JOB, _inputs(10, validation=3, test=600, epochs=2))
    assert found is not None
    full = _shots(samples=4, steps=4, gradient="gate-shift")
    rest = _shots(samples=2, steps=2, gradient="gate-shift")
    looks = 2 * _shots(task="infer", samples=3) + _shots(task="infer", samples=600)
    assert found.executions == full + rest + looks
    assert found.jobs == 4 + 2 + 2 + 2
    assert found.above is None
    assert found.stock is not None
    assert found.stock > full + rest
    assert "stock EstimatorQNN would take" in found.text()


def test_it_says_that_the_ceiling_will_be_reached() -> None:
    found = forecast_training(replace(JOB, max_executions=100, gradient="spsa"), _inputs(8))
    assert found is not None
    assert found.above == f"{found.executions:,} executions, above --max-executions 100"
    assert found.stock is None
    hardware = replace(JOB, backend="ibm_manila", max_executions=None, shots=100_000)
    above = forecast_training(hardware, _inputs(8))
    assert above is not None
    assert "above --max-qpu-seconds 60" in str(above.above)


@pytest.mark.parametrize(
    "words",
    [
        {"mitigation": "readout"},
        {"mitigation": "zne", "noise_factors": "1,3"},
        {"mitigation": "pec"},
        {"mitigation": "pec", "max_overhead": 1.01},
        {"mitigation": "pea"},
    ],
)
def test_mitigation_is_counted_as_the_comparison_of_methods_counts_it(words: dict[str, Any]) -> None:
    job = replace(JOB, backend="ibm_kingston", circuit="2b-5q", shots=1000, **words)
    settings = runtime_settings(job).method
    plain = plan_cost("2b-5q", task="infer", samples=200, shots=1000, device="ibm_kingston")
    plan = plan_cost(
        "2b-5q", task="infer", samples=200, shots=1000, device="ibm_kingston", mitigation=settings
    )
    model, chip = build_circuit("2b-5q"), snapshot_chip("fake_kingston")
    program = compile_for_device(model.circuit, model.observables, chip)
    row = compare_methods(
        model.circuit,
        model.observables,
        program,
        chip,
        methods=(words["mitigation"],),
        circuits=plain.packed.circuits,
        jobs=plain.packed.jobs,
        shots=1000,
        budget_s=600.0,
        settings=settings,
    )[0]
    assert plan.packed.qpu_seconds == pytest.approx(row.qpu_seconds, abs=0.00035 * 1000)  # a whole circuit
    assert plan.packed.qpu_seconds > plain.packed.qpu_seconds
    inputs = _inputs(8)
    inputs["model"]["circuit"]["name"] = "2b-5q"
    found, without = (forecast_training(one, inputs) for one in (job, replace(job, **NONE)))
    assert found is not None
    assert without is not None
    step = plan_cost("2b-5q", samples=4, steps=2, gradient="gate-shift", shots=1000, device="ibm_kingston")
    share = row.overhead * step.packed.shots + step.packed.jobs * 1000
    assert found.executions == pytest.approx(share, abs=2 * 1000)
    assert found.stock == without.stock


NONE: dict[str, Any] = {"mitigation": None, "noise_factors": None, "max_overhead": None}


def test_pec_is_counted_on_a_device() -> None:
    with pytest.raises(ArgumentError, match="must be counted on a device if it is pec"):
        plan_cost("2b-3q", task="infer", mitigation=Mitigation(method="pec"))
    plain, more = (plan_cost("2b-3q", task="infer", mitigation=m) for m in (None, Mitigation(method="zne")))
    assert more.packed.circuits == 3 * plain.packed.circuits + plain.packed.jobs


@pytest.mark.parametrize(
    "unsaid",
    [{"backend": "least_busy"}, {"layout": "whole"}, {"shots_per_step": 9}, {"circuit": "none"}],
)
def test_what_cannot_be_said_is_not_said(unsaid: dict[str, Any]) -> None:
    assert forecast_training(replace(JOB, **unsaid), _inputs(8)) is None


def test_methods_are_compared_at_a_budget(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cost", "--circuit", "2b-5q", "--task", "infer", "--batch-size", "20", "--mitigation", "readout"]
    assert main([*words, "--device", "fake_kingston", "--max-qpu-seconds", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    none, readout, *fractional = found["mitigation"]
    assert [none["method"], readout["method"]] == ["none", "readout"]
    assert [(row["method"], row["fractional"]) for row in fractional] == [("none", True), ("readout", True)]
    assert [row["qpu_seconds"] for row in fractional] == [none["qpu_seconds"], readout["qpu_seconds"]]
    assert fractional[1]["bias"] < readout["bias"]
    assert none["qpu_seconds"] == pytest.approx(found["packed"]["qpu_seconds"])
    assert readout["qpu_seconds"] == pytest.approx(none["qpu_seconds"] + 0.00035 * 4096)
    assert [row["wins"] for row in found["mitigation"]] == [False, False, False, True]
    assert readout["bias"] < none["bias"]
    rows = found["packed"]["circuits"]
    assert none["shots_at_budget"] == int((60 - 2) / (0.00035 * rows))
    assert none["rms_error_at_budget"] ** 2 == pytest.approx(
        none["bias"] ** 2 + none["spread"] ** 2 * 4096 / none["shots_at_budget"], rel=1e-3
    )
    assert main([*words, "--device", "fake_manila"]) == 0
    assert "RX" not in capsys.readouterr().out
    assert main(words) == 2
    assert "`--mitigation` must come with --device" in capsys.readouterr().err
