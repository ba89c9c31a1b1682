"""What every test can ask for."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Generator

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

_SEED_OFFSET = int(os.environ.get("SQDR_TEST_SEED", "0"))
_SEED = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Where the tests run on all cores, let libraries keep to one each: OpenMP's waiting threads spin.

    Said before the workers start: libraries read it when they are loaded. What tests start hears it too, and
    Ctrl-C, which a shell lets its background jobs ignore, with all that they start.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """This test's own seed: from its name, so stable; another one with SQDR_TEST_SEED=N."""
    value = zlib.crc32(request.node.nodeid.encode()) + _SEED_OFFSET
    request.node.stash[_SEED] = value
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A random generator that this test alone draws from."""
    return np.random.default_rng(seed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say which seed a failed test drew from."""
    report = yield
    if report.failed and _SEED in item.stash:
        report.sections.append(("random seed", f"{item.stash[_SEED]} (SQDR_TEST_SEED={_SEED_OFFSET})"))
    return report
