"""A worker by itself: the files it is given are loaded before it says that it is ready, and what changed is told."""

import json
import subprocess
import sys

from ganbench import registry
from ganbench.executors import work
from ganbench.results.store import Store
from ganbench.suite import resolve

LOSS = '''"""Mine."""
from torch.nn.functional import softplus
from ganbench import register
print("imported")

@register("loss")
def of_a_file(real_logits, fake_logits):
    """Softplus."""
    return softplus(-real_logits) + softplus(fake_logits), softplus(-fake_logits)
'''


def talk(store, file, lines=""):
    words = [sys.executable, "-m", "ganbench.executors.worker", str(store.path), "cpu", str(file)]
    said = subprocess.run(words, input=lines, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_a_worker_does_the_jobs_that_it_is_given_with_the_files_that_it_is_given(own_registry, tiny, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(LOSS)
    registry.load_file(file)
    plan, store = resolve(None, [*tiny, "loss=of_a_file"]), Store(tmp_path / "study")
    store.begin(plan)
    ((name, runs),) = work.populations(plan, "cpu").items()
    events = talk(store, file, json.dumps(work.Job(name, tuple(runs)).asked) + "\n")
    assert (events[0], events[-1]) == ({"event": "ready"}, {"event": "finished"})
    assert store.todo(plan, {name: runs}) == {}
    file.write_text(LOSS.replace("softplus(-fake_logits)", "2 * softplus(-fake_logits)"))
    assert talk(store, file) == [{"event": "unfit", "error": "loss.of_a_file changed since the command began"}]
