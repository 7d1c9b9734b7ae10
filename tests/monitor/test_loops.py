"""The doctor's minimal loops: the healthy one has no fault, each mistake is named, and every rule has one."""

import inspect
import re

import pytest
import torch

from ganbench.monitor.doctor import RULES
from ganbench.monitor.doctor.loops import LOOP, MISTAKES, examined


def test_the_healthy_loop_has_no_fault():
    assert examined(LOOP) == ()


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.fault)
def test_a_mistake_is_named_among_the_first_two(mistake):
    found = mistake.run()
    assert mistake.fault in [fault.name for fault in found[:2]]
    assert next(fault.certain for fault in found if fault.name == mistake.fault) is mistake.certain


def test_every_rule_has_a_minimal_loop():
    """A rule's faults are the texts in its source, and in that of what it calls, where which player is left open."""
    known = [mistake.fault for mistake in MISTAKES]
    for rule in RULES:
        module = inspect.getsource(inspect.getmodule(rule))
        parts = [inspect.getsource(rule)] + [
            re.search(rf"(?ms)^def {helper}\(.*?(?=^def |\Z)", module)[0]
            for helper in re.findall(r"(?:yield|yield from|list\()\s?(_\w+)\(", inspect.getsource(rule))
        ]  # fmt: skip
        texts = [text for part in parts for text in re.findall(r'Fault\(\s*f?"([^"]+)"', part)]
        assert texts, rule.__name__
        patterns = [re.sub(r"\\\{.*?\\\}", ".+", re.escape(text)) for text in texts]
        assert any(re.fullmatch(pattern, name) for pattern in patterns for name in known), rule.__name__


def test_a_loop_leaves_random_numbers_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    MISTAKES[0].run()
    assert torch.equal(torch.rand(3), expected)


def test_a_mistake_in_a_line_that_there_is_not_is_a_mistake_of_ours():
    with pytest.raises(KeyError, match="opt_x"):
        type(MISTAKES[0])("nothing", True, {"opt_x.step()": ""}).source  # noqa: B018
