"""Metrics that a suite asks for: where they apply, what they are computed of, and that nothing else changes."""

import pytest
import torch

from ganbench import registry
from ganbench.errors import UserError
from ganbench.measure.evaluate import Evaluator
from ganbench.metrics import authenticity, class_frechet, cmmd, frechet_distance, kid, mifid
from ganbench.plan import Plan
from ganbench.repeat import repeat
from ganbench.results import planfile
from ganbench.suite import resolve

EVERYWHERE = ("kernel_distance", "kid_mean", "kid_std", "cmmd", "authenticity", "mifid", "cosine_distance")
ASKED = ("kid", "cmmd", "memorization", "class_frechet")


def problem(name):
    return registry.get("problem", name)()


def measured(name, metrics=ASKED, spaces=(), n=60):
    """Return the columns of two runs on a problem, real samples and others beside them, and what they are of."""
    own = problem(name)
    evaluator = Evaluator(own, n, 32, asked=spaces, metrics=metrics)
    draw = own.oracle(evaluator.samples)
    fakes = torch.stack([draw.x, 0.9 * draw.x + 0.05])
    given = None if draw.given is None else draw.given.expand(2, -1)
    return evaluator.measure(fakes, given), evaluator, fakes, given


def test_those_that_can_be_asked_for():
    every = [metric.name for metric in registry.plugins("metric") if metric.declared("asked")]
    assert set(every) == {*ASKED, "fid", "sharpness", "class_recall", "likelihood", "latency", "reconstruction",
                          "classification_accuracy"}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ring8", {"kernel_distance", "kid_mean", "kid_std", "cmmd"}),
        ("ring8_labelled", {"kernel_distance", "kid_mean", "kid_std", "cmmd", "class_frechet"}),
        (
            "digits_labelled",
            {
                f"{column}{space}"
                for column in EVERYWHERE
                for space in ("", "_pixels", "_classifier")
            }
            | {"class_frechet"},
        ),
    ],
)  # fmt: skip
def test_they_are_measured_where_they_apply_and_change_nothing_else(name, expected):
    columns, evaluator, fakes, given = measured(name)
    plain = Evaluator(evaluator.problem, 60, 32).measure(fakes, given)
    assert {column.partition(".")[0] for column in columns.keys() - plain.keys()} == expected
    for column, values in plain.items():
        assert torch.equal(columns[column], values), column
    known = registry.measures()
    assert {column.partition(".")[0] for column in columns} <= known.keys()


def test_they_are_the_functions_of_the_library_on_the_problems_samples():
    columns, evaluator, fakes, given = measured("digits_labelled", spaces=["conv_maps"])
    own, labels = evaluator.problem, given[0]
    for space, suffix in (("conv", ""), ("pixels", "_pixels"), ("conv_maps", "_conv_maps")):
        real, fake = evaluator.spaces[space](own.reference()), evaluator.spaces[space](fakes)
        scores = {
            **kid(real, fake, subset_size=30)._asdict(), **mifid(real, fake)._asdict(), "cmmd": cmmd(real, fake),
            "authenticity": authenticity(real, fake), "frechet": frechet_distance(real, fake),
        }  # fmt: skip
        for name, values in scores.items():
            torch.testing.assert_close(columns[name + suffix], values, rtol=1e-6, atol=1e-9)
    features = [evaluator.spaces["conv"](x) for x in (own.images, fakes)]
    found = class_frechet(*features, real_labels=own.labels, fake_labels=labels)
    torch.testing.assert_close(columns["class_frechet"], found.class_frechet, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(columns["class_frechet.7"], found.by_class[:, 7], rtol=1e-6, atol=1e-9)


def test_labels_of_each_run_alone():
    _, evaluator, fakes, given = measured("ring8_labelled", metrics=["class_frechet"])
    own = torch.stack([given[0], given[0].flip(0)])
    both = evaluator.measure(fakes, own)
    for run in range(2):
        alone = evaluator.measure(fakes[run][None], own[run][None])
        assert both["class_frechet"][run].item() == pytest.approx(alone["class_frechet"].item(), rel=1e-9)
    assert both["class_frechet"][1] > 100 * both["class_frechet"][0]


def test_a_class_of_too_few_samples_is_no_number():
    _, evaluator, fakes, given = measured("ring8_labelled", metrics=["class_frechet"])
    columns = evaluator.measure(fakes, torch.where(given == 5, 0, given))
    assert columns["class_frechet.5"].isnan().all()
    assert columns["class_frechet"].isnan().all()
    assert columns["class_frechet.6"].isfinite().all()


def test_copies_of_training_samples_show():
    own = problem("digits")
    evaluator = Evaluator(own, 200, 32, metrics=["memorization"])
    columns = evaluator.measure(torch.stack([own.images[:200], own.held_out_images[:200]]))
    copied, new = columns["authenticity"].tolist()
    assert copied < 0.05
    assert new > 0.4
    assert columns["cosine_distance"][0] < 1e-9 < columns["cosine_distance"][1]


@pytest.mark.parametrize("name", ["ring8_labelled", "digits_labelled"])
def test_a_run_that_diverged_or_collapsed_has_numbers_of_its_own(name):
    """NaN for the one, numbers for the other, on the origin too, and neither changes their neighbour's."""
    columns, evaluator, fakes, given = measured(name)
    worse = torch.stack([torch.full_like(fakes[0], torch.nan), fakes[1], torch.zeros_like(fakes[0])])
    found = evaluator.measure(worse, given[0].expand(3, -1))
    for column in {each for each in columns if each.partition(".")[0] in {*EVERYWHERE, "class_frechet"}}:
        assert found[column][0].isnan(), column
        assert found[column][1].item() == pytest.approx(columns[column][1].item(), rel=1e-6, abs=1e-9)
        assert found[column][2].isfinite(), column


# ---- in a plan


def test_what_is_asked_for_is_part_of_the_plan_and_nothing_of_one_without(tmp_path):
    plain, asked = resolve(None, ["seeds=1"]), resolve(None, ["seeds=1", "metrics=kid,cmmd"])
    assert (plain.metrics, plain.asked_metrics, asked.asked_metrics) == ("none", (), ("kid", "cmmd"))
    assert "metrics" not in plain.to_dict()
    assert not {f"metric.{name}" for name in ASKED} & plain.versions.keys()
    assert asked.variants == plain.variants
    assert resolve(None, ["seeds=1", "metrics=none"]).hash == plain.hash != asked.hash
    assert asked.legends["metric.kid"].startswith("KID of all pairs")
    assert Plan.from_dict(asked.to_dict()) == asked
    file = tmp_path / "plan.yaml"
    file.write_text(planfile.dump(asked))
    assert planfile.load(file) == asked
    assert "metrics=kid+cmmd" in repeat(asked, asked.runs[0])
    assert "metrics" not in repeat(plain, plain.runs[0])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["metrics=kit"], "Unknown metric 'kit'. Did you mean 'kid'? "),
        (["metrics=frechet"], "The metric 'frechet' is measured in any case; the key 'metrics' takes classification_"),
        (["metrics=class_frechet"], "The metric 'class_frechet' fits no problem of this plan: it needs a problem that"),
        (["metrics=kid+reconstruction"],
         "The metric 'reconstruction' fits no model of this plan: it needs a model that encodes samples and decodes"),
        (["problem=digits", "model=gan,made", "metrics=reconstruction"],
         "The metric 'reconstruction' fits no model of this plan"),
        (["metrics=kid,kid"], "The key 'metrics' takes different plug-ins together"),
        (["metrics=3"], "The key 'metrics' has the wrong type"),
        (["metric=kid"], "Unknown key 'metric'. Did you mean 'metrics'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_told(overrides, told):
    with pytest.raises(UserError) as refused:
        resolve(None, overrides)
    assert str(refused.value).startswith(told)


OWN = '''
from ganbench.registry import Measure, register

@register("metric", asked=True, measures={{"own_number": Measure("a number of one's own")}})
def own_number(real, fake):
    """A number of one's own."""
    return {{"own_number": {factor} * fake.mean((-1, -2))}}
'''


def test_one_of_a_users_own_is_part_of_every_plan_that_knows_it(tmp_path, own_registry):
    hashes = set()
    for factor in (1, 2):
        file = tmp_path / f"own{factor}.py"
        file.write_text(OWN.format(factor=factor))
        registry.load_file(file)
        try:
            plan = resolve(None, ["seeds=1", "metrics=own_number"])
            assert "metric.own_number" in plan.versions
            hashes.add(plan.hash)
            columns, *_ = measured("ring8", metrics=plan.asked_metrics)
            assert "own_number" in columns
            assert "own_number" not in measured("ring8", metrics=[])[0]
        finally:
            del registry.known()["metric", "own_number"]
    assert len(hashes) == 2


@pytest.mark.parametrize("name", ["class_frechet", "class_recall", "classification_accuracy"])
def test_what_looks_at_labels_is_refused_without_them(name):
    with pytest.raises(UserError, match="labels"):
        resolve(None, ["problem=ring8", "seeds=1", f"metrics={name}"])


@pytest.mark.slow
def test_a_study_records_them(tmp_path):
    import ganbench

    overrides = [
        "problem=ring8_labelled",
        "network=conditional_mlp",
        "metrics=kid,class_frechet",
        "seeds=2",
        "steps=60",
    ]
    study = ganbench.run(None, [*overrides, "probe_every=30", "samples=64"], out=tmp_path / "study", workers=1)
    assert {"kid_std", "class_frechet", "class_frechet.3"} <= set(study.series.columns)
    last = study.series[study.series["step"] == 60]
    assert last["class_frechet"].notna().all()
    study.report()


def test_blur_noise_and_a_checkerboard_are_seen():
    own = problem("digits")
    evaluator = Evaluator(own, 300, 32, asked=["spectrum"], metrics=["sharpness"])
    images = own.oracle_samples(300)
    smooth = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    noise = images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    checkers = images + 0.2 * (1 - 2 * (torch.arange(8)[:, None] % 2)) * (1 - 2 * (torch.arange(8) % 2))
    columns = evaluator.measure(torch.stack([images, smooth, noise, checkers]))
    assert columns["sharpness"][0].item() == pytest.approx(1, abs=0.1)
    assert columns["sharpness"][1] < 0.3
    assert columns["sharpness"][2] > 1.1
    assert columns["checkerboard"][0].item() == pytest.approx(1, abs=0.25)
    assert columns["checkerboard"][3] > 2 * columns["sharpness"][3] > 2


def test_power_is_that_of_parseval():
    """All rings and the mean together are the mean square; a pattern of period 2 is in the last columns alone."""
    from types import SimpleNamespace

    space = registry.get("feature_space", "spectrum")
    for shape in ((1, 8, 8), (3, 9, 12)):
        images = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
        power = space(SimpleNamespace(shape=shape))(images)
        total = power[:, :4].sum(1) + images.mean((2, 3)).square().mean(1)
        torch.testing.assert_close(total, images.square().mean((1, 2, 3)), rtol=1e-4, atol=1e-5)
    checkers = (1.0 - 2 * (torch.arange(8)[:, None] + torch.arange(8)).remainder(2)).expand(1, 1, 8, 8)
    got = space(SimpleNamespace(shape=(1, 8, 8)))(checkers)
    torch.testing.assert_close(got, torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0]]))


def test_a_metric_of_models_needs_one_that_has_it():
    """One of several is enough; and a suite of which some models are taken measures what it did."""
    assert resolve(None, ["problem=digits", "model=gan,vae", "metrics=reconstruction"]).metrics == "reconstruction"
    assert "reconstruction" in resolve("models", ["model=gan"]).metrics
    # as the command that repeats a run of such a suite has it
    assert resolve(None, ["model=made", "metrics=latency+reconstruction"]).metrics == "latency+reconstruction"
