"""What is drawn of images at the end: ways between latents by formula, nearest images by brute force, what is kept."""

import numpy as np
import pytest
import torch
from overriding import over

import ganbench
from ganbench.problems.base import stream
from ganbench.results.population import PICTURES
from ganbench.results.study import Study
from ganbench.suite import resolve
from ganbench.training import pictures
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner

CPU = torch.device("cpu")
TINY = ["problem=digits", "network=dcgan", "network.dcgan.width=2", "seeds=2", "latent_dim=3", "steps=2", "samples=64",
        "batch_size=8", "neighbours=32", "probe_every=2"]  # fmt: skip


def learner_of(*overrides):
    words = over([*TINY, *overrides])
    if "network=dcgan" not in words:
        words.remove("network.dcgan.width=2")
    plan = resolve(None, words)
    problem = make_problem(plan.runs[0].variant)
    return make_learner(list(plan.runs), problem, CPU)


def latents(learner, n=40, beside=0):
    size = learner.variant.latent_dim + beside
    return torch.randn(n, size, generator=stream("test", 0)).expand(len(learner.runs), n, size)


def test_straight_ways_are_means():
    a, b = torch.randn(2, 5, 3, generator=stream("test", 1))
    found = pictures.between(a, b, 5, straight=True)
    for place, share in enumerate((0, 0.25, 0.5, 0.75, 1)):
        torch.testing.assert_close(found[:, place], (1 - share) * a + share * b)


def test_great_circles_have_even_angles_and_keep_lengths():
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    (found,) = pictures.between(a, b, 4, straight=False)
    angles = np.radians([0, 30, 60, 90])
    np.testing.assert_allclose(found, 3 * np.stack([np.cos(angles), np.sin(angles)], 1), atol=2e-6)


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_great_circles_between_parallel_latents_are_finite(turn):
    a = torch.tensor([[1.0, 2.0]])
    found = pictures.between(a, turn * a, 8, straight=False)
    assert found.isfinite().all()
    torch.testing.assert_close(found[:, 0], a)
    torch.testing.assert_close(found[:, -1], turn * a)


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_interpolations_begin_and_end_at_samples(latent):
    learner = learner_of(f"latent={latent}")
    z = latents(learner)
    found = dict(pictures.pictures(learner, z, None))["interpolations"]
    assert found.shape == (2, pictures.STRIPS, pictures.FRAMES, 1, 8, 8)
    with learner.measuring(), torch.no_grad():
        samples = learner.generate(z)
    torch.testing.assert_close(found[:, :, 0], samples[:, : pictures.STRIPS])
    torch.testing.assert_close(found[:, :, -1], samples[:, pictures.STRIPS : 2 * pictures.STRIPS])


def test_interpolations_keep_what_is_given_for_the_first():
    learner = learner_of("problem=digits_labelled", "network=dcgan_paper", "network.dcgan_paper.width=2")
    z, labels = latents(learner), (torch.arange(40) % 10).expand(2, 40)
    found = dict(pictures.pictures(learner, z, labels))["interpolations"]
    ends = torch.arange(pictures.STRIPS, 2 * pictures.STRIPS)
    with learner.measuring(), torch.no_grad():
        samples = learner.generate(z[:, ends], labels[:, : pictures.STRIPS])
    torch.testing.assert_close(found[:, :, -1], samples)


def test_numbers_behind_the_latents_stay():
    learner = learner_of("network=stylegan", "network.stylegan.width=2", "seeds=1")
    z = latents(learner, beside=learner.noise)
    seen = []
    generate = learner.generate
    learner.generate = lambda given, beside=None: seen.append(given) or generate(given, beside)
    found = dict(pictures.pictures(learner, z, None))["interpolations"]
    assert found.isfinite().all()
    behind = seen[0][:, : pictures.STRIPS * pictures.FRAMES, 3:].unflatten(1, (pictures.STRIPS, pictures.FRAMES))
    torch.testing.assert_close(behind, z[:, : pictures.STRIPS, None, 3:].expand_as(behind))


@pytest.mark.parametrize("words", [["problem=digits"], ["problem=shapes", "problem.shapes.side=8"]])
def test_nearest_images_by_brute_force(words, monkeypatch):
    monkeypatch.setattr(pictures, "CHUNK", 700)
    problem = make_problem(resolve(None, over([*TINY, *words])).runs[0].variant)
    samples = torch.rand(2, 3, *problem.shape, generator=stream("test", 2)) * 2 - 1
    samples[0, 1] = problem.reference()[5]
    found = pictures.nearest(problem, samples)
    real = problem.reference().flatten(1).double().numpy()
    for run in range(2):
        for place in range(3):
            squares = ((real - samples[run, place].flatten().double().numpy()) ** 2).sum(1)
            np.testing.assert_allclose(found[run, place].flatten(), real[squares.argmin()], atol=1e-6)
    assert torch.equal(found[0, 1], samples[0, 1]), "a copy is found as itself"


@pytest.mark.parametrize("words", [
    ["problem=outlines", "network=pictured_mlp"], ["problem=upscaled_digits", "network=pictured_mlp"],
    ["problem=rotated_digits", "network=unpaired_mlp"],
    ["problem=restyled_digits", "network=stargan", "network.stargan.width=2"],
])  # fmt: skip
def test_what_is_asked_for_stands_above_what_is_right(words):
    learner = learner_of(*words)
    given = learner.problem.oracle(40).given.expand(2, 40, *learner.problem.gives.shape)
    found = dict(pictures.pictures(learner, latents(learner), given))["asked"]
    assert found.shape == (2, 2, pictures.NEIGHBOURS, *learner.problem.shape)
    # of several domains the picture alone is drawn, not which are asked for
    first = given[:, : pictures.NEIGHBOURS, : learner.problem.shape[0]].numpy()
    larger = found.shape[-1] // first.shape[-1]
    wanted = np.kron(first, np.ones((larger, larger))) + np.zeros((learner.problem.shape[0], 1, 1))
    np.testing.assert_array_equal(found[:, 0], wanted)
    for run in range(2):
        answers = learner.problem.truth.answers(given[run, : pictures.NEIGHBOURS])
        torch.testing.assert_close(found[run, 1], answers[:, 0].float())


def test_what_is_not_finite_is_near_to_nothing():
    problem = make_problem(resolve(None, TINY).runs[0].variant)
    samples = problem.reference()[:2][None].clone()
    samples[0, 0, 0, 0, 0] = torch.nan
    found = pictures.nearest(problem, samples)
    assert found[0, 0].isnan().all()
    assert torch.equal(found[0, 1], samples[0, 1])


def test_a_study_keeps_them_for_images_alone(tmp_path):
    study = ganbench.run(None, TINY, out=tmp_path / "images", workers=1)
    for run in study.runs["run"]:
        shapes = {name: array.shape for name, array in study.pictures(run).items()}
        assert shapes == {"interpolations": (4, 8, 1, 8, 8), "neighbours": (8, 1, 8, 8)}
    assert study.pictures("no such run") == {}
    folder = next((tmp_path / "images" / "populations").iterdir())
    (folder / "neighbours.npy").write_bytes(b"no array")
    (folder / "interpolations.npy").unlink()
    again = Study(tmp_path / "images")
    assert again.pictures(study.runs["run"][0]) == {}
    assert "these pictures are not shown" in str(again.damage[0])
    assert again.runs["status"].eq("done").all(), "runs have ended without them"


def test_points_have_no_pictures(tmp_path, tiny):
    study = ganbench.run(None, over([*tiny, "steps=1", "seeds=1"]), out=tmp_path / "points", workers=1)
    assert study.pictures(study.runs["run"][0]) == {}
    assert not [file for name in PICTURES for file in tmp_path.rglob(f"{name}.npy")]
