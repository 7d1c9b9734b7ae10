"""The examples in the docstrings of metrics and analysis: each public function of numbers has one, and all hold."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch

from ganbench import analysis, metrics

MODULES = [
    f"{package.__name__}.{module.name}" for package in (metrics, analysis)
    for module in pkgutil.iter_modules(package.__path__) if not module.ispkg
]  # fmt: skip
NEED_A_STUDY = {"scores", "times"}
"""Functions of these modules that take a study's tables, of which an example would be longer than the function."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name):
    module = importlib.import_module(name)
    given = {**vars(module), "np": np, "torch": torch}
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, globs=given):
        runner.run(test, clear_globs=False)
    assert runner.failures == 0


@pytest.mark.parametrize("name", sorted(metrics.__all__))
def test_every_public_metric_has_an_example(name):
    assert ">>> " in inspect.getdoc(getattr(metrics, name))


@pytest.mark.parametrize("name", ["statistics", "scores", "survival"])
def test_every_public_statistic_has_an_example(name):
    module = importlib.import_module(f"ganbench.analysis.{name}")
    own = {key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    public = {key: value for key, value in own.items() if inspect.isfunction(value) and not key.startswith("_")}
    without = {key for key, value in public.items() if ">>> " not in (inspect.getdoc(value) or "")}
    assert without == NEED_A_STUDY & set(public)


def test_an_example_that_does_not_hold_is_noticed():
    def wrong():
        """Two.

        >>> 1 + 1
        3
        """

    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(wrong, "wrong"):
        runner.run(test, out=lambda text: None)
    assert (runner.failures, runner.tries) == (1, 1)
