"""The doctor's minimal loops: the healthy one has no fault, each mistake is named, and every rule has one."""

import inspect
import re

import pytest
import torch

from ganbench.monitor.doctor import RULES
from ganbench.monitor.doctor.loops import LOOP, MISTAKES, Mistake, examined


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


def test_a_line_is_changed_where_it_stands():
    lines = LOOP.splitlines()
    changed = Mistake("n", True, {"opt_d.step()": "a\nb", "opt_g.step()": ""}).source
    place, other = lines.index("    opt_d.step()"), lines.index("    opt_g.step()")
    assert changed.splitlines() == [
        *lines[:place], "    a", "    b", *lines[place + 1 : other], "    # (left out)", *lines[other + 1 :],
    ]  # fmt: skip
    assert changed.endswith("\n")
    assert Mistake("n", True).source == LOOP


def test_every_mistake_changes_all_lines_that_it_names():
    for mistake in MISTAKES:
        kept = [line.strip() for line in mistake.source.splitlines()]
        for old, new in mistake.lines.items():
            assert old != new, mistake.fault
            assert old in LOOP
            assert not new or all(line.strip() in kept for line in new.split("\n")), mistake.fault


def test_a_loop_is_looked_at_until_it_was_seen_enough():
    watched = examined(LOOP.replace("for step in range(20):", "for step in range(2):"))
    assert watched == ()
    late = LOOP.replace("    z = torch", "    if step > 8:\n        G[0].weight.data.fill_(torch.nan)\n    z = torch")
    # parameters are looked at as they are when it is asked
    assert [fault.name for fault in examined(late)] == [
        "parameters of the generator are not finite", "parameters of the discriminator are not finite",
    ]  # fmt: skip
    # what a visit saw ends with its eighth iteration
    dull = LOOP.replace("    real = ring(64)", "    real = ring(64) if step < 8 else 1000 * ring(64)")
    assert examined(dull) == ()
