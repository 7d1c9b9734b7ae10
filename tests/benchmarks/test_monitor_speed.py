"""What a Monitor costs: a recipe watched at every=500 beside itself unwatched, and a probe beside its own samples.

Both loops of a recipe run in one process in turns of an iteration each, in processor time of one thread, so that
whatever else the machine does falls on both. Printed at the end: an iteration without, what a step that is no probe
adds, a probe, and the share of training time that both make at every=500; for the vocoder also a probe over what
generating its samples takes. Wanted: 2 % and 3 times; with the doctor's visit, which is the first iterations' alone.
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
ITERATIONS, PROBES, EVERY = 60, 5, 500
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
        plain, _ = made(name, False)
        watched, space = made(name, True)
        monitor = space["monitor"]
        for step in range(45):  # the doctor's visit is over after 40 at most
            plain(step)
            watched(step)
        pairs = [(seconds(plain, step), seconds(watched, step)) for step in range(ITERATIONS)]
        probes = [seconds(monitor._probe) for _ in range(PROBES)]
        generated = [seconds(generate, monitor) for _ in range(PROBES)]
    finally:
        torch.set_num_threads(threads)
    alone, probe, samples = median(a for a, _ in pairs), median(probes), median(generated)
    added = median(b - a for a, b in pairs)
    share = (added * EVERY + probe) / (alone * EVERY)
    RESULTS.append(
        f"{name}: an iteration {1e3 * alone:.2f} ms, a step that is no probe {1e3 * added:+.3f} ms, a probe "
        f"{1e3 * probe:.0f} ms ({min(probes) * 1e3:.0f} to {max(probes) * 1e3:.0f}), {100 * share:.2f} % of training "
        f"at every=500, of that probes {100 * probe / (alone * EVERY):.2f} %; a probe is {probe / samples:.2f} times "
        f"its samples ({1e3 * samples:.0f} ms)"
    )
    assert monitor.series["step"].tolist()[0] == 0


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
