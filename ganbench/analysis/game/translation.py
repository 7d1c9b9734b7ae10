"""What a generator makes of what it is given: an input that it ignores, or one answer for every noise."""

from __future__ import annotations

from ganbench.analysis.game.course import Course, number
from ganbench.analysis.game.records import GameRule
from ganbench.arrays import Flags
from ganbench.registry import Remedy

IGNORED, USED = 0.1, 0.15
"""Share of the error to another input's truth that the own one takes away: up to the first G ignores its input, above
the second it does no more. The mean of all answers of an input, which is as far as L1 leads, takes away .19."""
ONE, SEVERAL = 0.15, 0.3
"""How far answers to one input lie apart, over how far right ones do: up to the first they are one answer."""

IGNORES_INPUT = GameRule(
    name="G ignores its input",
    meaning="what the generator makes is no nearer to what is right for its input than for another one",
    reads=("given_used",),
    holds=lambda course: course.at_most(course["given_used"], IGNORED, USED),
    evidence=lambda course, place: (
        f"Samples are {number(course.last('truth_error'))} from what is right for their own input, and "
        f"{100 * course.last('given_used'):.0f} % nearer than to what is right for another one."
        if "truth_error" in course
        else f"The own input takes away {100 * course.last('given_used'):.0f} % of the error to another one's truth."
    ),
    causes=(
        "D is not told the input, so that any good sample will do",
        "inputs come with samples of other inputs: check the order of pairs",
        "no loss ties samples to inputs, and D has not found out what they have in common",
    ),
    remedy=Remedy(
        "Show D the input beside the sample; a term that ties samples to inputs (L1 to the paired truth, cycle).",
        "Isola et al. 2017; Zhu et al. 2017",
    ),
    shown="problem=outlines network=pictured_mlp network.pictured_mlp.told=false regularizer=r1 latent_dim=8",
    lasting=3,
)


def _one_answer(course: Course) -> Flags:
    alike = course.at_most(course["choice_spread"], ONE, SEVERAL)
    return alike & course.at_least(course["given_used"], USED, IGNORED)


ONE_ANSWER = GameRule(
    name="G gives one answer for every noise",
    meaning="the generator follows its input, and makes the same of it whatever the noise, where several are right",
    reads=("choice_spread", "given_used"),
    holds=_one_answer,
    evidence=lambda course, place: (
        f"Answers to one input lie {number(course.last('choice_spread'))} times as far apart as right ones do"
        + (
            f"; they reach {100 * course.last('choices_covered'):.0f} % of these."
            if "choices_covered" in course
            else "."
        )
    ),
    causes=(
        "a loss of pairs (L1, L2) whose best answer is one in the middle of all right ones",
        "noise that hardly reaches the output beside what is given",
        "mode collapse for each input",
    ),
    remedy=Remedy(
        "A smaller weight of the paired loss; noise beside the input itself, and a loss by which it has to be found in "
        "samples again, or by which samples of other noise have to differ.",
        "Isola et al. 2017; Zhu et al. 2017 (BicycleGAN); Mao et al. 2019",
    ),
    shown="problem=outlines network=pictured_mlp term=l1 regularizer=r1 latent_dim=8",
    lasting=3,
)
