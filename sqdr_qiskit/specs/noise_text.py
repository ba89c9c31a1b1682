"""A noise description as the text of its file (standard library only)."""

from __future__ import annotations

import json
from typing import Any

from sqdr_qiskit.specs.device import write_device
from sqdr_qiskit.specs.noise import NoiseSpec

__all__ = ["noise_text"]


def noise_text(spec: NoiseSpec) -> str:
    """TOML that `read_noise` reads back as this noise (its name is the file's)."""
    if spec.device is not None:
        return write_device(spec.device, title=spec.title, source=spec.source)
    values = spec.to_dict()
    lines = [
        "schema = 1",
        'kind = "noise"',
        f"title = {_value(spec.title)}",
        f"source = {_value(spec.source)}",
    ]
    for table in ("error", "readout"):
        for entry in values[table]:
            lines += ["", f"[[{table}]]", *(f"{key} = {_value(value)}" for key, value in entry.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """JSON's texts, numbers and lists are TOML's too; its objects are not."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
