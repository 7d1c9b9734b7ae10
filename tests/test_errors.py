"""Exit codes, and the words of errors: how long they may be, what stands in them, what is near a wrong name."""

import pytest

from ganbench.errors import Exit, InputError, UserError, clean, clean_lines, quoted, told, unknown

CODES = {
    "OK": 0, "REGRESSED": 1, "USAGE": 2, "INCONCLUSIVE": 3, "INCOMPATIBLE": 4, "FAILED": 5, "INTERNAL": 70,
    "UNTESTABLE": 125, "INTERRUPTED": 130,
}  # fmt: skip
"""What scripts around the program rely on: 70 is EX_SOFTWARE of sysexits.h, 125 what git bisect skips, 130 is
128 and SIGINT."""


def test_exit_codes_never_change_and_each_has_its_own_meaning():
    assert {code.name: int(code) for code in Exit} == CODES
    assert len({code.meaning for code in Exit}) == len(CODES)
    assert Exit.INCONCLUSIVE.meaning.startswith("inconclusive: ")
    assert UserError("x").exit_code == InputError("x").exit_code == Exit.USAGE


@pytest.mark.parametrize("longest", [20, 100, 1000])
def test_a_text_is_cut_beyond_its_length_only(longest):
    text = "".join(chr(97 + place % 26) for place in range(longest + 1))
    assert clean(text[:-1], longest) == text[:-1]
    cut = clean(text, longest)
    head, tail = cut.split(" ... ")
    assert len(cut) == longest
    assert (text.startswith(head), text.endswith(tail), len(tail)) == (True, True, longest // 4)


def test_each_kind_of_text_has_its_own_length():
    assert [len(clean("x" * n)) for n in (999, 1000, 1001, 9999)] == [999, 1000, 1000, 1000]
    assert [len(quoted("x" * n)) for n in (117, 118, 119, 999)] == [119, 120, 120, 120]
    assert len(str(UserError("x" * 5000))) == 1000
    assert clean_lines("\n".join(map(str, range(300)))).split("\n") == [str(n) for n in range(100, 300)]
    assert len(told(type("E" * 200, (Exception,), {})())) == 120
    assert "'" + "x" * 120 + "'" in str(unknown("thing", "x" * 120, []))
    assert "x" * 120 not in str(unknown("thing", "x" * 121, []))


def test_memory_that_is_short_is_told_with_how_much_was_asked_for():
    assert told(MemoryError()) == "not enough memory"
    assert told(RuntimeError("can't allocate memory: you tried")) == "not enough memory"
    assert told(RuntimeError("out of memory. Tried to allocate 3.5 GiB")) == "not enough memory for 3.5 GiB"
    assert told(ValueError()) == "ValueError"
    assert told(ValueError("a\nb")) == "ValueError: a b"


def test_a_wrong_name_is_told_with_the_nearest_and_all_there_are():
    assert str(unknown("loss", "hing", ["wgan", "hinge"])) == (
        "Unknown loss 'hing'. Did you mean 'hinge'? Available: hinge, wgan."
    )
    # by the letters that agree, twice over both lengths: 2 * 2 / 8 is near enough, 2 * 1 / 8 is not
    assert "Did you mean 'abxy'?" in str(unknown("loss", "abcd", ["abxy"]))
    assert str(unknown("loss", "abcd", ["axyz"])) == "Unknown loss 'abcd'. Available: axyz."
    assert str(unknown("loss", "x", [])) == "Unknown loss 'x'. Available: none."


@pytest.mark.parametrize("longest", [20, 1000])
def test_what_is_far_too_long_loses_its_middle_before_it_is_cleaned(longest):
    empty = "\n" * (4 * longest - 2)
    assert clean(f"x{empty}y", longest) == "x y"
    assert clean(f"x{empty}\ny", longest) == "x ... y"
