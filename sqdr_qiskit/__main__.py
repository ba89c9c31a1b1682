"""The command's process: `python -m sqdr_qiskit` is `sqdr-qiskit`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

__all__ = ["entry"]


def entry() -> NoReturn:
    """Carry out this process's command line.

    Ctrl-C is one line also while the command itself is still imported, or pressed again while the first is
    answered: by then nothing is open that could be left half-written.
    """
    try:
        from sqdr_qiskit.cli import entry as carry_out

        carry_out()
    except KeyboardInterrupt:
        if "--json" in sys.argv:
            os.write(1, b'{"error": "interrupted."}\n')
        else:
            os.write(2, b"error: interrupted.\n")
        os._exit(130)


if __name__ == "__main__":
    entry()
