"""What differs within a suite, by problem and by model: which part counts, and what does not read."""

import pytest

from ganbench.errors import UserError
from ganbench.suite import resolve

RATE = "optimizer.adam.g_lr"
SUITE = """
problem: [ring8, grid25]
model: [gan, vae, realnvp]
seeds: 1
optimizer.adam.g_lr: 1e-3
per_model:
  gan: {loss: [hinge, wasserstein], regularizer: r1, steps: 100}
  vae: {optimizer.adam.g_lr: 2e-3}
per_problem:
  grid25:
    batch_size: 32
    per_model:
      vae: {optimizer.adam.g_lr: 3e-3, latent_dim: 2}
"""


@pytest.fixture
def suite(tmp_path):
    def write(text=SUITE):
        file = tmp_path / "own.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def told(variants, *keys):
    return [
        tuple(dict(variant.hypers)[key] if "." in key else getattr(variant, key) for key in keys)
        for variant in variants
    ]


def test_each_model_has_its_own_keys_and_a_problems_count_more(suite):
    plan = resolve(suite())
    assert plan.skipped == ()
    assert told(plan.variants, "problem", "model", "loss", "steps", "batch_size", RATE, "latent_dim") == [
        ("ring8", "gan", "hinge", 100, 128, 1e-3, 8), ("ring8", "gan", "wasserstein", 100, 128, 1e-3, 8),
        ("ring8", "vae", "nonsaturating", 2000, 128, 2e-3, 8),
        ("ring8", "realnvp", "nonsaturating", 2000, 128, 1e-3, 8),
        ("grid25", "gan", "hinge", 100, 32, 1e-3, 8), ("grid25", "gan", "wasserstein", 100, 32, 1e-3, 8),
        ("grid25", "vae", "nonsaturating", 2000, 32, 3e-3, 2),
        ("grid25", "realnvp", "nonsaturating", 2000, 32, 1e-3, 8),
    ]  # fmt: skip


def test_the_command_line_counts_more_than_both(suite):
    plan = resolve(suite(), ["model=vae,realnvp", "problem=grid25", f"{RATE}=1e-2"])
    assert told(plan.variants, "problem", "model", RATE, "latent_dim") == [
        ("grid25", "vae", 1e-2, 2), ("grid25", "realnvp", 1e-2, 8),
    ]  # fmt: skip


def test_a_suite_without_them_is_what_it_was(suite):
    plain = resolve(suite("problem: [ring8, grid25]\nmodel: [gan, vae]\n"))
    empty = resolve(suite("problem: [ring8, grid25]\nmodel: [gan, vae]\nper_model: {}\nper_problem: {}\n"))
    assert plain.variants == empty.variants
    assert plain.hash == empty.hash
    same = resolve(suite("problem: [ring8, grid25]\nmodel: [gan, vae]\nper_model: {realnvp: {steps: 3}}\n"))
    assert same.variants == plain.variants


def test_a_tuning_may_be_a_models_own(suite):
    plan = resolve(suite(f"model: [gan, vae]\nper_model:\n  vae: {{tuning: [{{{RATE}: 1e-3}}, {{{RATE}: 2e-3}}]}}\n"))
    assert told(plan.variants, "model", RATE) == [("gan", 2e-3), ("vae", 1e-3), ("vae", 2e-3)]
    assert plan.tuned == (RATE,)


@pytest.mark.parametrize(("text", "said"), [
    ("per_model: 3", "The key 'per_model' must map a model's name to the keys that differ there."),
    ("per_model: {gan: 3}", "The key 'per_model' must map a model's name to the keys that differ there."),
    ("per_model: {gna: {steps: 3}}", "Unknown model 'gna'. Did you mean 'gan'?"),
    ("per_model: {gan: {model: vae}}", "The key 'model' cannot differ for the model 'gan'."),
    ("per_model: {gan: {problem: grid25}}", "The key 'problem' cannot differ for the model 'gan'."),
    ("per_model: {gan: {stps: 3}}", "Unknown key 'stps'. Did you mean 'steps'?"),
    ("model: [gan, vae]\nper_model: {vae: {seeds: 2}}", "hold for a whole suite, not for 'vae'."),
    ("model: []\nper_model: {gan: {steps: 2}}", "The key 'model' is empty, so the grid has no runs."),
    ("model: [gan, gan]\nper_model: {gan: {steps: 2}}", "The key 'model' names the same value twice"),
    ("model: 3\nper_model: {gan: {steps: 2}}", "The key 'model' has the wrong type: it takes names of models, got 3."),
])  # fmt: skip
def test_what_does_not_read_is_told_in_a_sentence(suite, text, said):
    with pytest.raises(UserError) as error:
        resolve(suite(text))
    assert said in str(error.value)
