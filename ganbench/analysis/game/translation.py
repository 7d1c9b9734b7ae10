"""What a generator makes of what it is given: it ignores or swaps it, or has one answer for every noise."""

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

SWAPPED, SORTED = 0.15, 0.1
"""By how much a one-to-one table of what is shown for what is given beats none: from the first on things are swapped,
under the second no longer. By chance it is up to .1, of 500 samples of 10 kinds that have nothing to do with inputs."""
FOLLOWED, LOOSE = 0.25, 0.2
"""Share of samples that such a table explains: a G that follows its input reaches the first, chance not the second."""


def _permuted(course: Course) -> Flags:
    table, plain = course["content_permuted"], course["content_kept"]
    return course.at_least(table - plain, SWAPPED, SORTED) & course.at_least(table, FOLLOWED, LOOSE)


PERMUTES = GameRule(
    name="G permutes what it is given",
    meaning="the generator follows its input, and shows something else for it than what is there: kinds are swapped",
    reads=("content_permuted", "content_kept"),
    holds=_permuted,
    evidence=lambda course, place: (
        f"{100 * course.last('content_kept'):.0f} % of samples show what is given, and "
        f"{100 * course.last('content_permuted'):.0f} % what the best one-to-one table has for it"
        + (
            f"; translated back they are {number(course.last('cycle_error'))} a pixel from what was given."
            if "cycle_error" in course
            else "."
        )
    ),
    causes=(
        "D is not told the input, so that any good sample will do",
        "no loss sees it: distributions match, and cycles close, where kinds are swapped and swapped back",
        "a translator that can as well move everything, such as a perceptron",
        "the map has a part that the network cannot make, such as turning a picture",
    ),
    remedy=Remedy(
        "The identity term where domains share their colours or shapes; a translator of few, local operations; a few "
        "pairs, or features of the input that have to be kept.",
        "Zhu et al. 2017; Galanti et al. 2018; Moriakov et al. 2020",
    ),
    shown="problem=rotated_digits network=unpaired_mlp g_normalization=batch term=cycle loss=least_squares",
    lasting=3,
)


def _ignores(course: Course) -> Flags:
    unused = course.at_most(course["given_used"], IGNORED, USED)
    # what is swapped is no nearer to the own truth, and follows the input all the same
    known = all(name in course for name in PERMUTES.reads)
    return unused & ~_permuted(course) if known else unused


IGNORES_INPUT = GameRule(
    name="G ignores its input",
    meaning="what the generator makes is no nearer to what is right for its input than for another one",
    reads=("given_used",),
    holds=_ignores,
    evidence=lambda course, place: (
        f"Samples are {number(course.last('truth_error'))} from what is right for their own input, and "
        f"{100 * course.last('given_used'):.0f} % nearer than to what is right for another one."
        if "truth_error" in course
        else f"The own input takes away {100 * course.last('given_used'):.0f} % of the error to another one's truth."
    ),
    causes=(
        "no loss ties samples to inputs, and D is not told them or has not found out what they have in common",
        "inputs come with samples of other inputs: check the order of pairs",
        "mode collapse: one sample stands for every input",
    ),
    remedy=Remedy(
        "Show D the input beside the sample; a term that ties samples to inputs (L1 to the paired truth, cycle).",
        "Isola et al. 2017; Zhu et al. 2017",
    ),
    shown="problem=inverted_digits network=cyclegan g_normalization=instance loss=least_squares",
    lasting=3,
)


IGNORES_TARGET = GameRule(
    name="G ignores the domain asked for",
    meaning="what the generator makes is no nearer to what is right in the domain asked for than to that in others",
    reads=("target_used",),
    holds=lambda course: course.at_most(course["target_used"], IGNORED, USED),
    evidence=lambda course, place: (
        f"The domain asked for takes away {100 * course.last('target_used'):.0f} % of the error to others' truth"
        + (
            f", and {100 * course.last('target_reached'):.0f} % of samples are in it"
            if "target_reached" in course
            else ""
        )
        + (
            f"; translated back they are {number(course.last('cycle_error'))} a pixel from what was given."
            if "cycle_error" in course
            else "."
        )
    ),
    causes=(
        "no loss asks for it: D judges whether a sample is in any domain, and pictures that stay are in one",
        "the cycle term counts so much more than the domain's that nothing moves",
        "D has not learned to tell the domains apart",
    ),
    remedy=Remedy(
        "A loss by which D tells the domain of samples, at a weight that is felt beside the cycle term.",
        "Choi et al. 2018",
    ),
    shown="problem=restyled_digits network=stargan g_normalization=instance term=domain_cycle loss=least_squares",
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
