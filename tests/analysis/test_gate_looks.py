"""What whole checks say in simulation: improvements that are none, both sides trained against a stored baseline.

`pytest -m slow -s` prints the rows of the tables of docs/gate.md.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ganbench.analysis import gate
from ganbench.analysis.gate import LOOKS, Policy, compare

DOCS = Path(__file__).parents[2] / "docs" / "gate.md"
RATES = (0, 0, 0.05, 0.1, 0.3, 0.5, 0.8, 1)
HEALTHY, FAILING = (0.92, 0.04), (0.0, 0.4)
CHECKS, BOUNDED = 200, 40
"""Checks a row; fewer where bounds are needed, which are most of the work."""


def drawn(rates, generator):
    """Per-seed results of 20 seeds of variants with a true failure rate each."""
    parts = []
    for place, rate in enumerate(rates):
        failed = generator.random(LOOKS[-1]) < rate
        good = np.clip(generator.normal(*HEALTHY, LOOKS[-1]), 0, 1)
        score = np.where(failed, generator.uniform(*FAILING, LOOKS[-1]), good)
        parts.append(pd.DataFrame({"variant": f"v{place}", "seed": range(LOOKS[-1]), "failed": failed, "score": score}))
    return pd.concat(parts, ignore_index=True)


def checked(before, now, differ, *, stored, looks=True):
    """Judge a whole check, look by look while it is inconclusive: verdict, whether anything is told to be better.

    differ: the variants of `before` and `now` whose runs are not equal on both sides. A stored baseline has all of its
    20 seeds at every look, and no pairs; a side that is trained beside has the candidate's.
    """
    if stored:
        before = before.assign(seed=before["seed"] + 100)
    better = False
    for look, seeds in enumerate(LOOKS) if looks else ((None, LOOKS[-1]),):
        old = before if stored else before[before["seed"] < seeds]
        equal = () if stored else set(now["variant"]) - set(differ)
        judgement = compare(old, now[now["seed"] < seeds], Policy(), look, equal)
        better = better or any(c.verdict == "improved" for c in judgement.comparisons)
        if judgement.verdict != "inconclusive":
            break
    return judgement.verdict, better


@cache
def simulated(before, now, differ, *, stored, looks=True, times=CHECKS):
    """Return the shares of checks that are regressed, inconclusive and passed, and that tell an improvement, in %."""
    generator, found = np.random.default_rng(11), []
    for _ in range(times):
        old = drawn(before, generator)
        new = drawn(now, generator)
        alike = ~new["variant"].isin(differ)
        if not stored:
            new.loc[alike, ["failed", "score"]] = old.loc[alike, ["failed", "score"]]
        found.append(checked(old, new, differ, stored=stored, looks=looks))
    verdicts = [verdict for verdict, _ in found]
    shares = [verdicts.count(name) for name in ("regressed", "inconclusive", "pass")]
    return [100 * share / times for share in (*shares, sum(better for _, better in found))]


def worse(place=3):
    """The same rates, but that one variant of 10 % fails in half of its runs."""
    return tuple(0.5 if at == place else rate for at, rate in enumerate(RATES))


ALL = tuple(f"v{place}" for place in range(len(RATES)))
ROWS = {
    "unchanged, every number equal": (RATES, RATES, ()),
    "unchanged in law, all 8 variants differ in bits": (RATES, RATES, ALL),
    "unchanged in law, one variant of 10 % differs in bits": (RATES, RATES, ("v3",)),
    "one of 8, 10 % to 50 %, no other differs": (RATES, worse(), ("v3",)),
    "one of 8, 10 % to 50 %, two others differ in bits": (RATES, worse(), ("v2", "v3", "v4")),
    "one of 8, 10 % to 50 %, all differ": (RATES, worse(), ALL),
    "all 8 variants, all true rates 10 % to 50 %": ((0.1,) * 8, (0.5,) * 8, ALL),
}
"""What is simulated: rates before and now, and the variants whose runs differ between two sides trained together."""


def documented(name):
    """The numbers of a row of docs/gate.md, in %."""
    (row,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    return [float(number) for number in re.findall(r"[\d.]+(?= %)", row)]


def near(found, known, times):
    """Tell whether shares in % are those that are known, but for four standard errors of each."""
    room = [4 * 100 * np.sqrt(2 * max(p / 100 * (1 - p / 100), 0.001) / times) for p in known]
    return len(found) == len(known) and all(abs(a - b) <= r for a, b, r in zip(found, known, room, strict=True))


def test_an_unchanged_tree_passes_at_its_first_look_however_often_it_fails():
    generator = np.random.default_rng(0)
    for _ in range(3):
        table = drawn(RATES, generator)
        judgement = compare(*(table[table["seed"] < 5],) * 2, Policy(), 0, ALL)
        assert judgement.verdict == "pass"
        assert judgement.seeds == 5
        assert all(c.equal and c.sentence.endswith("the same number by number.") for c in judgement.comparisons)


@pytest.fixture
def unbounded(monkeypatch):
    """Without bounds on scores, which say nothing about what is regressed or improved."""
    monkeypatch.setattr(gate, "score_bound", lambda *of: 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize("stored", [True, False])
def test_improvements_that_are_none(stored):
    *_, better = simulated(RATES, RATES, ALL, stored=stored)
    name = f"unchanged in law, told to be better, {'stored baseline' if stored else 'both sides trained'}"
    print(f"\n| {name} | {better:.1f} % |")
    assert better <= 100 * (0.05 + 2 * np.sqrt(0.05 * 0.95 / CHECKS))
    assert near([better], documented(name), CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (before, now, _) in ROWS.items() if before == now])
def test_what_a_check_says_of_an_unchanged_candidate(name):
    before, now, differ = ROWS[name]
    both = simulated(before, now, differ, stored=False, times=BOUNDED)
    stored = simulated(before, now, ALL, stored=True, times=BOUNDED)
    print(f"\n| {name} | " + " | ".join(f"{cell:.1f} %" for cell in (*both[:3], *stored[:3])) + " |")
    assert both[0] <= 100 * (0.05 + 2 * np.sqrt(0.05 * 0.95 / BOUNDED))
    if not differ:
        assert both[2] >= 99
    assert near([*both[:3], *stored[:3]], documented(name), BOUNDED)


@pytest.mark.slow
@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize("name", [name for name, (before, now, _) in ROWS.items() if before != now])
def test_power_with_both_sides_trained_and_with_a_stored_baseline(name):
    before, now, differ = ROWS[name]
    both = simulated(before, now, differ, stored=False)
    stored = simulated(before, now, ALL, stored=True)
    print(f"\n| {name} | {both[0]:.1f} % | {stored[0]:.1f} % |")
    assert near([both[0], stored[0]], documented(name), CHECKS)
