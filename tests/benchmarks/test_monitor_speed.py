"""What a Monitor costs: a recipe watched at every=500 beside itself unwatched, and a probe beside its own samples.

Three loops of a recipe run in one process, an iteration each by turns, in processor time of one thread: two without a
Monitor, whose difference is what the measurement itself is worth, and one with. Printed at the end: an iteration, both
differences, the call of `step`, a probe, the share of training time of both at every=500 (wanted: 2 %), and a probe
over what generating its samples takes (wanted of the vocoder: 3 times). The doctor's visit, at the begin alone, is left
out.
"""

import re
import time
from pathlib import Path
from statistics import median

import pytest
import torch

import ganbench

pytestmark = pytest.mark.benchmark

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = ("dcgan.py", "vocoder.py", "tokenizer.py")
ITERATIONS, PROBES, EVERY = 60, 7, 500
# the doctor's visit is over after 40 iterations at most
WARM = 45
RESULTS: list[str] = []


def body(source):
    """Return a recipe's code before its loop, and the loop's body as the body of a function without its own names."""
    loop = re.search(r"(?ms)^for (?:_|step) in range\((?:steps|epochs)\):\n(.*?)\n\nmonitor\.close", source)
    inner = loop[1]
    batch = re.match(r"    for \((\w+),\) in loader:\n", inner)
    if batch:
        lines = [line[4:] for line in inner.split("\n")[1:]]
        inner = f"    {batch[1]} = next(iter(loader))[0]\n" + "\n".join(lines)
    return source[: loop.start()], inner


def unmarked(text):
    return "\n".join(line for line in text.split("\n") if "# ganbench" not in line)


def made(name, monitored):
    """Return a recipe's iteration as a function of its step, and its names, with or without its marked lines."""
    text = (EXAMPLES / name).read_text(encoding="utf-8").replace("1e-3, 500", "1e-3, 0")
    kept = [part if monitored else unmarked(part) for part in body(text)]
    space = {"__name__": "recipe"}
    exec(compile(kept[0], name, "exec"), space)
    exec(compile(f"def iterate(step):\n{kept[1]}\n", name, "exec"), space)
    return space["iterate"], space


def seconds(work, *arguments):
    started = time.process_time()
    work(*arguments)
    return time.process_time() - started


@pytest.mark.parametrize("name", RECIPES)
def test_a_monitor_beside_the_loop_alone(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        loops = [made(name, monitored) for monitored in (False, False, True)]
        monitor, told = loops[2][1]["monitor"], []
        for step in range(WARM):
            for iterate, _ in loops:
                iterate(step)
        monkeypatch.setattr(monitor, "step", timed(monitor.step, told))
        rounds = [taking_turns(loops, step) for step in range(ITERATIONS)]
        probes = [(seconds(monitor._probe), seconds(generate, monitor)) for _ in range(PROBES)]
    finally:
        torch.set_num_threads(threads)
    alone, call, probe = median(a for a, _, _ in rounds), median(told), median(p for p, _ in probes)
    share, ratios = (call * EVERY + probe) / (alone * EVERY), [p / s for p, s in probes]
    RESULTS.append(
        f"{name}: an iteration {1e3 * alone:.1f} ms; with a Monitor {1e3 * median(c - a for a, _, c in rounds):+.2f} "
        f"ms, a second loop without {1e3 * median(b - a for a, b, _ in rounds):+.2f} ms; the call of step itself "
        f"{1e6 * call:.0f} microseconds; a probe {1e3 * probe:.0f} ms; together {100 * share:.2f} % at every=500; a "
        f"probe is {median(ratios):.2f} times its samples ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    assert monitor.series["step"].tolist()[0] == 0


def taking_turns(loops, step):
    """Return the seconds of an iteration of each loop, of which another one is the first in each round."""
    found = [0.0] * len(loops)
    for place in range(len(loops)):
        chosen = (step + place) % len(loops)
        found[chosen] = seconds(loops[chosen][0], step)
    return found


def timed(work, told):
    def run(**arguments):
        started = time.process_time()
        work(**arguments)
        told.append(time.process_time() - started)

    return run


def generate(monitor):
    """Generate a probe's samples as its loop would, and nothing else."""
    prober, size = monitor._prober, monitor._prober.sizes.batch_size
    with torch.no_grad():
        for first in range(0, len(prober.latents), size):
            given = prober.given[first : first + size] if prober.given is not None else None
            prober.generator(prober.latents[first : first + size] if given is None else given)


def test_figures(capsys):
    with capsys.disabled():
        print(f"\none thread, torch {torch.__version__}, ganbench {ganbench.__version__}", *RESULTS, sep="\n")
    assert RESULTS
