"""What a plug-in raises on a value that it cannot take is one sentence about the variant."""

from pathlib import Path

import pytest
from overriding import over

from ganbench.errors import UserError
from ganbench.suite import resolve
from ganbench.training.building import building

(VARIANT,) = resolve(None, over(["problem=ring8", "seeds=1"])).variants


@pytest.mark.parametrize("error", [ValueError("a width of 7"), ZeroDivisionError("by zero"), SystemExit(0)])
def test_what_it_raises_is_told_with_its_place(error):
    with pytest.raises(UserError) as caught, building(VARIANT):
        raise error
    assert str(caught.value).startswith(f"Cannot train '{VARIANT.id}': ")
    assert "(test_building.py, line " in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [UserError("No width of 7."), KeyboardInterrupt()])
def test_a_sentence_and_an_interrupt_pass(error):
    with pytest.raises(type(error)) as caught, building(VARIANT):
        raise error
    assert caught.value is error


def test_a_line_of_the_engine_is_nobodys(monkeypatch):
    from ganbench.training import named

    monkeypatch.setattr(named, "ENGINE", Path(__file__).parent)
    with pytest.raises(UserError) as caught, building(VARIANT):
        raise RuntimeError("it changed the default dtype")
    assert str(caught.value) == f"Cannot train '{VARIANT.id}': RuntimeError: it changed the default dtype."
