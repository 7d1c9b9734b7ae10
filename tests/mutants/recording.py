"""What pytest is told within a mutant's process: which tests to run, in which order; and what each test enters."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest


def processor_time() -> float:
    """Return the seconds of processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


class Unhurried:
    """Property tests have no deadline: the machine is busy, and the tests are traced or meet slow mutants."""

    def pytest_configure(self) -> None:
        """Set it for all of them."""
        from hypothesis import HealthCheck, settings

        settings.register_profile("mutants", deadline=None, database=None, suppress_health_check=list(HealthCheck))
        settings.load_profile("mutants")


class Recorder(Unhurried):
    """Notes for every test that passes its processor time, and which functions of the package it entered."""

    def __init__(self, package: Path, target: Path) -> None:
        self.package, self.target = f"{package}/", target
        self.entered: set[str] = set()
        self.shared: dict[str, set[str]] = {}
        self.tests: dict[str, dict[str, Any]] = {}

    def trace(self, frame: FrameType, event: str, argument: object) -> None:
        """Note a function of the package that is called."""
        code = frame.f_code
        if code.co_filename.startswith(self.package):
            self.entered.add(f"{code.co_filename[len(self.package) :]}:{code.co_qualname}")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """What a shared fixture enters counts for all tests that ask for it."""
        before, self.entered = self.entered, set()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                self.shared.setdefault(fixturedef.argname, set()).update(self.entered)
            self.entered |= before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Trace one test, its fixtures included."""
        self.entered = set()
        self.tests[item.nodeid] = {"seconds": 0.0, "passed": True}
        before = processor_time()
        sys.settrace(self.trace)  # type: ignore[arg-type]
        threading.settrace(self.trace)  # type: ignore[arg-type]
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            for name in getattr(item, "fixturenames", ()):
                self.entered |= self.shared.get(name, set())
            # not on the clock: a busy machine must not leave time for fewer tests
            self.tests[item.nodeid] |= {"entered": sorted(self.entered), "seconds": processor_time() - before}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note whether a test has passed."""
        self.tests[report.nodeid]["passed"] &= report.passed

    def pytest_sessionfinish(self) -> None:
        """Write what was noted."""
        self.target.write_text(json.dumps({name: test for name, test in self.tests.items() if test["passed"]}))


class Chosen(Unhurried):
    """Runs some tests only, in a given order, each with a time limit that ends the process."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.place = {name: place for place, name in enumerate(seconds)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the chosen tests, in their order."""
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda item: self.place[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """A test that takes ten times as long as it should, and half a minute, hangs."""
        faulthandler.dump_traceback_later(30 + 10 * self.seconds[item.nodeid], exit=True, file=sys.__stderr__)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()
