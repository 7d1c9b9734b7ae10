"""What pyproject.toml, the constraints and CITATION.cff say of the package is so."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import ganbench

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="the project is not here")


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def name_of(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def lowest(requirement):
    bound = re.search(r"[>=]=([\d.]+)", requirement)
    return bound and [int(part) for part in bound[1].split(".")]


def pins(file):
    lines = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if "==" in line]
    return {name_of(line): [int(part) for part in re.match(r"[\d.]*\d", line.partition("==")[2])[0].split(".")]
            for line in lines if not line.startswith("#")}  # fmt: skip


def test_the_lowest_constraints_are_the_lower_bounds():
    wanted = [*project()["project"]["dependencies"], *(one for one in project()["dependency-groups"]["test"])]
    pinned = pins("constraints-lowest.txt")
    beside = {"click", "pyparsing"}
    assert set(pinned) == {name_of(one) for one in wanted} | beside
    for one in wanted:
        bound, pin = lowest(one), pinned[name_of(one)]
        # 2.0 is 2.0.0
        assert bound + [0] * (len(pin) - len(bound)) == pin, one


def test_every_dependency_is_in_the_constraints_and_above_its_bound():
    pinned = pins("constraints.txt")
    for one in [*project()["project"]["dependencies"], *project()["dependency-groups"]["test"]]:
        assert pinned[name_of(one)] >= lowest(one), one


def test_all_is_every_extra():
    extras = project()["project"]["optional-dependencies"]
    (whole,) = extras.pop("all")
    assert re.fullmatch(r"ganbench\[(.*)\]", whole)[1].split(",") == list(extras)


def test_the_classifiers_are_the_pythons_that_are_allowed():
    known = project()["project"]
    versions = [one.rpartition(" ")[2] for one in known["classifiers"] if re.search(r"Python :: 3\.\d+$", one)]
    assert versions == ["3.11", "3.12", "3.13"]
    assert known["requires-python"] == f">={versions[0]}"


def test_the_citation_is_of_this_version_and_in_the_archive():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert (cited["version"], cited["license"]) == (ganbench.__version__, project()["project"]["license"])
    assert "CITATION.cff" in project()["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
