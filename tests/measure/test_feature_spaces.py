"""Feature spaces as plug-ins: which a problem is measured in, what their columns are, and what they decide."""

import pytest
import torch

from ganbench import register, registry
from ganbench.errors import UserError
from ganbench.measure.evaluate import Evaluator
from ganbench.plan import Plan
from ganbench.problems.features import extractor, spaces
from ganbench.registry import positive
from ganbench.repeat import repeat
from ganbench.results import planfile
from ganbench.suite import resolve

pytestmark = pytest.mark.usefixtures("own_registry")

MIRRORED = """
from ganbench import register

@register("feature_space")
def mirrored(problem):
    return lambda samples: {factor} * samples.flatten(1)
"""


def problem(name):
    plugin = registry.get("problem", name)
    return plugin(**plugin.hypers)


@pytest.fixture
def mirrored(own_registry):
    """A space for every problem: its distances are those of the samples."""

    @register("feature_space")
    def mirrored(problem):
        """The samples, mirrored."""
        return lambda samples: -samples.flatten(1)


def fakes(of, runs=2, n=64):
    return torch.stack([of.oracle_samples(n, seed) for seed in range(runs)])


def test_shipped_spaces_are_what_they_were():
    images = problem("digits").images[:40]
    assert torch.equal(extractor(problem("digits"), "pixels")(images[None]), images.flatten(1)[None])
    points = torch.randn(3, 5, 7, 2)
    assert torch.equal(extractor(problem("ring8"), "data")(points), points)
    assert extractor(problem("digits"), "conv")(images).shape == (40, 64)


def test_batches_of_samples_reach_a_map_in_parts_of_one_size():
    sizes = []

    @register("feature_space")
    def counting(problem):
        def mapped(samples):
            sizes.append(tuple(samples.shape))
            assert not torch.is_grad_enabled()
            return samples

        return mapped

    features = extractor(problem("ring8"), "counting")(torch.zeros(3, 400, 2, requires_grad=True))
    assert sizes == [(512, 2), (512, 2), (176, 2)]
    assert (features.shape, features.requires_grad) == ((3, 400, 2), False)


@pytest.mark.parametrize(("wrong", "got"), [
    (lambda x: [1.0] * len(x), "list"), (lambda x: None, "NoneType"), (lambda x: x[:, 0], "[5]"),
    (lambda x: x[:, None], "[5, 1, 2]"), (lambda x: x[1:], "[4, 2]"), (lambda x: x.repeat(2, 1), "[10, 2]"),
    (lambda x: x.sum(), "[]"),
])  # fmt: skip
def test_a_map_that_gives_no_features_of_each_sample_is_refused(wrong, got):
    @register("feature_space")
    def strange(problem):
        return wrong

    with pytest.raises(UserError) as refused:
        extractor(problem("ring8"), "strange")(torch.zeros(5, 2))
    assert str(refused.value) == (
        f"The feature space 'strange' was given 5 samples and gave {got}; it must return features [n, d]."
    )


@pytest.mark.usefixtures("mirrored")
def test_a_space_that_is_asked_for_has_columns_of_its_own():
    ring = problem("ring8")
    plain, asked = (Evaluator(ring, 64, 32, asked=names) for names in ((), ("mirrored", "conv")))
    before, after = (evaluator.measure(fakes(ring)) for evaluator in (plain, asked))
    assert after.keys() - before.keys() == {"frechet_mirrored"}, "images have convolutions, and points do not"
    for name, column in before.items():
        assert torch.equal(column, after[name]), name
    torch.testing.assert_close(after["frechet_mirrored"], before["frechet"], rtol=1e-9, atol=1e-12)
    assert registry.measures()["frechet_mirrored"].direction == "down"
    assert registry.measures()["frechet_mirrored"].legend.endswith("; of features 'mirrored'")


@pytest.mark.usefixtures("mirrored")
def test_a_problem_without_a_space_of_its_own_is_measured_in_none():
    assert spaces(problem("dirac"), ["mirrored"]) == {}
    assert list(spaces(problem("digits"), ["mirrored", "pixels"])) == ["conv", "pixels", "classifier", "mirrored"]


def test_modes_and_classes_are_where_a_space_provides_them():
    @register("feature_space", provides={"modes"})
    def as_they_are(problem):
        return lambda samples: samples.flatten(1)

    ring = problem("ring8")
    ring.feature_spaces = ("as_they_are", "data")
    columns = Evaluator(ring, 64, 32).measure(fakes(ring))
    assert columns.keys() >= {"modes_covered", "frechet_data"}

    @register("metric", space="as_they_are", needs={"modes": "it counts them"}, measures={"known": positive("modes")})
    def known(real, fake):
        return {"known": torch.full(fake.shape[:1], float(len(real.modes.centres)))}

    ring.feature_spaces = ("data",)
    assert "known" not in Evaluator(ring, 64, 32).measure(fakes(ring))
    assert Evaluator(ring, 64, 32, asked=["as_they_are"]).measure(fakes(ring))["known"].tolist() == [8.0, 8.0]


def test_what_is_asked_for_is_part_of_the_plan():
    def plan(*spaces):
        return resolve(None, ["problem=ring8,digits", "seeds=1", *spaces])

    plain, asked = plan(), plan("feature_spaces=conv,data")
    assert (plain.feature_spaces, plain.asked_spaces) == ("none", ())
    assert "feature_spaces" not in plain.to_dict()
    assert asked.asked_spaces == ("conv", "data")
    assert asked.variants == plain.variants
    assert asked.legends["feature_space.data"] == "The samples as they are, flattened."
    assert Plan.from_dict(asked.to_dict()) == asked
    assert plan("feature_spaces=none").hash == plain.hash != asked.hash
    assert plan("feature_spaces=conv+data").hash == asked.hash


def test_a_plan_with_it_is_written_read_and_repeated(tmp_path):
    plan = resolve(None, ["feature_spaces=data", "seeds=1"])
    file = tmp_path / "plan.yaml"
    file.write_text(planfile.dump(plan))
    assert planfile.load(file) == plan
    assert "feature_spaces=data" in repeat(plan, plan.runs[0])
    assert "feature_spaces" not in repeat(resolve(None, ["seeds=1"]), plan.runs[0])


def test_its_version_decides_and_the_shipped_ones_are_covered_by_the_code(tmp_path):
    plain = resolve(None, ["seeds=1"])
    assert not [key for key in plain.versions if key.startswith("feature_space")]
    versions = []
    for factor in (-1, -2):
        file = tmp_path / f"mirrored{factor}.py"
        file.write_text(MIRRORED.format(factor=factor))
        registry.load_file(file)
        plan = resolve(None, ["seeds=1", "feature_spaces=mirrored"])
        versions.append((plan.versions["feature_space.mirrored"], plan.hash))
        del registry.known()["feature_space", "mirrored"]
    assert versions[0][0] != versions[1][0]
    assert versions[0][1] != versions[1][1]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["feature_spaces=convs"], "Unknown feature_space 'convs'. Did you mean 'conv'? "),
        (["feature_spaces=conv"], "The feature space 'conv' fits no problem of this plan: it needs "),
        (["feature_spaces=data,data"], "The key 'feature_spaces' takes different plug-ins together"),
        (["feature_spaces=3"], "The key 'feature_spaces' has the wrong type"),
        (["feature_space=data"], "Unknown key 'feature_space'. Did you mean 'feature_spaces'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_told(overrides, told):
    with pytest.raises(UserError) as refused:
        resolve(None, overrides)
    assert str(refused.value).startswith(told)


def test_a_metric_of_a_space_that_there_is_not_is_told():
    @register("metric", space="lite", measures={"own": positive("x")})
    def own(real, fake):
        return {"own": fake.mean((1, 2))}

    with pytest.raises(UserError, match="Unknown feature space of the metric 'own' 'lite'"):
        resolve(None, [])


def test_two_columns_of_one_name_are_told():
    @register("feature_space")
    def ema(problem):
        return lambda samples: samples.flatten(1)

    with pytest.raises(UserError, match="The column 'frechet_ema' would be measured twice"):
        resolve(None, [])


def test_a_space_has_no_hyper_parameters_since_nothing_could_set_them():
    with pytest.raises(UserError, match="the hyper-parameter 'size', which nothing could set"):

        @register("feature_space")
        def sized(problem, *, size=2):
            return lambda samples: samples.flatten(1)
