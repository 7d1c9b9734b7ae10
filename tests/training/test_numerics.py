"""Precision: what bfloat16 changes in a step and what it leaves, and who refuses which."""

import pytest
import torch
from overriding import over

from ganbench.errors import UserError
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.grouping import group
from ganbench.training.learner import make_learner

CPU = torch.device("cpu")
SGD = [
    "optimizer=sgd",
    "optimizer.sgd.decay=none",
    "seeds=2",
    "batch_size=16",
    "latent_dim=4",
    "steps=20",
    "samples=64",
]
MLP = ["problem=ring8", "network=mlp"]
DCGAN = ["problem=digits", "network=dcgan", "network.dcgan.width=4", "regularizer=r1", "normalization=group"]


def learner_of(precision, *words):
    plan = resolve(None, over([*SGD, *words, f"numerics={precision}"]))
    return make_learner(plan.runs, make_problem(plan.runs[0].variant), CPU)


def moved(learner):
    """The way of all parameters [runs, size] in one step of gradient descent, by player."""
    before = {name: player.flat.clone() for name, player in learner.players.items()}
    learner.advance()
    return {name: player.flat - before[name] for name, player in learner.players.items()}


@pytest.mark.parametrize("words", [MLP, [*MLP, "normalization=spectral", "regularizer=r1r2"], DCGAN])
def test_gradients_in_bfloat16_are_those_of_float32_to_its_rounding(words):
    full, half = learner_of("fp32", *words), learner_of("bf16", *words)
    ways, others = moved(full), moved(half)
    for name, way in ways.items():
        other = others[name]
        assert other.dtype == torch.float32
        off = (other - way).norm(dim=1) / way.norm(dim=1)
        # eight bits: 0.2 % an operation, some of which cancel; float32 would be off by less than 1e-5
        assert (off > 1e-4).all()
        assert (off < 0.1).all()


@pytest.mark.parametrize("words", [MLP, DCGAN])
def test_training_in_bfloat16_stays_finite_and_is_measured_in_float32(words):
    full, half = learner_of("fp32", *words), learner_of("bf16", *words)
    latents = torch.randn(8, 4).expand(2, 8, 4)
    assert torch.equal(full.generate(latents), half.generate(latents)), "the same weights say the same when measured"
    for _ in range(20):
        half.advance()
    assert half.alive.all()
    assert half.generate(latents).isfinite().all()


def test_runs_of_two_precisions_train_apart():
    plan = resolve(None, over([*SGD, *MLP, "numerics=fp32,bf16"]))
    assert sorted(len(part) for part in group(plan.runs, "cpu")) == [2, 2]
    assert {run.variant.numerics for run in group(plan.runs, "cpu")[0]} in ({"fp32"}, {"bf16"})


def test_tf32_is_refused_on_a_cpu_and_what_is_no_precision_anywhere():
    plan = resolve(None, over([*SGD, *MLP, "numerics=tf32"]))
    with pytest.raises(UserError, match=r"^The numerics 'tf32' are of CUDA devices; a CPU trains in fp32 or bf16\.$"):
        group(plan.runs, "cpu")
    with pytest.raises(
        UserError, match=r"^Unknown numerics 'bf61'\. Did you mean 'bf16'\? Available: bf16, fp32, tf32"
    ):
        resolve(None, ["numerics=bf61"])


def test_models_without_a_game_have_no_precision():
    plan = resolve(None, ["model=gan,vae", "numerics=bf16", "seeds=1"])
    assert [variant.model for variant in plan.variants] == ["gan"]
    assert dict(plan.skipped)[plan.skipped[0][0]] == "numerics bf16 with model vae: it computes in fp32 alone"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tf32_holds_for_a_step_alone():
    plan = resolve(None, over([*SGD, *MLP, "numerics=tf32"]))
    make_learner(plan.runs, make_problem(plan.runs[0].variant), torch.device("cuda")).advance()
    assert not torch.backends.cuda.matmul.allow_tf32
