"""Metrics against the reference packages on the same samples, in one process, in alternate rounds.

Printed at the end: median seconds of both sides and the median of the rounds' ratios, beside what is to be reached.
N = M = 10 000 where nothing else is said; the real side is prepared before, for the references too where they can.
Peak memory is the growth of the resident set during one call, in a process of its own (VmHWM of Linux, reset before).
Where torchmetrics or torch-fidelity is not installed, their computation is written out here.
"""

import contextlib
import io
import multiprocessing
import time
from statistics import median

import numpy as np
import prdc as package
import pytest
import scipy.linalg
import torch

from ganbench.metrics import Reference, frechet_distance, kernel_distance, prdc

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore")]

N = 10_000
RESULTS: list[str] = []


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pair(d, n=N):
    """Samples of two Gaussians whose features are correlated, float32 like those of a network."""
    mix = normal(d, d, seed=2) / d**0.5 + torch.eye(d)
    return normal(n, d, seed=0) @ mix, normal(n, d, seed=1) @ mix + 0.05


def rectified(d, n=N):
    """Samples of normal numbers of which the negative ones are 0: in the plane a quarter of them are copies."""
    return normal(n, d, seed=0).relu(), normal(n, d, seed=1).relu()


# law, dimension, and how many times faster than the package to be, in so many rounds
LAWS = {"normal": pair, "tied": rectified}
CASES = [("normal", 2, 30, 2), ("tied", 2, 1, 2), ("normal", 64, 3, 3), ("normal", 2048, 3, 1)]


def timed(call):
    """Return the seconds of a call, the mean over a tenth of a second of them, and its result."""
    started, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - started < 0.1:
        result, calls = call(), calls + 1
    return (time.perf_counter() - started) / calls, result


def race(name, goal, ours, theirs, rounds, share=1.0):
    """Time both sides in alternate rounds, after one call of ours, and note it; return what both computed.

    share: which part of the work `theirs` does, where all of it would take too long.
    """
    ours()
    fast, slow = [], []
    for _ in range(rounds):
        (own, result), (other, expected) = timed(ours), timed(theirs)
        fast.append(own)
        slow.append(other / share)
    ratio = median(b / a for a, b in zip(fast, slow, strict=True))
    RESULTS.append(f"{name}: {median(fast):.4g} s against {median(slow):.4g} s, {ratio:.1f} x ({verdict(ratio, goal)})")
    return result, expected


def verdict(ratio, goal):
    return f"to reach {goal:g} x: {'reached' if ratio >= goal else 'MISSED'}"


def quietly(call, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*args, **kwargs)


# ---- Frechet


def covariance_mean(fake):
    fake = fake.double().numpy()
    return fake.mean(0), np.cov(fake, rowvar=False)


def by_sqrtm(real, fake):
    """The route of pytorch-fid and torch-fidelity's predecessor: a complex matrix square root."""
    (m1, s1), (m2, s2) = real, covariance_mean(fake)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    return ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * np.trace(root)


def by_eigenvalues(real, fake):
    """The route of torchmetrics: eigenvalues of the product, which is not symmetric."""
    (m1, s1), m2, s2 = real, fake.double().mean(0), torch.cov(fake.double().T)
    root = torch.linalg.eigvals(s1 @ s2).sqrt().real.sum()
    return (m1 - m2).square().sum() + torch.trace(s1) + torch.trace(s2) - 2 * root


def by_torchmetrics(real, dimension):
    """torchmetrics itself on features, which keeps its real side: None where it is not installed."""
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
    except ImportError:
        return None

    class Features(torch.nn.Module):
        num_features = dimension

        def forward(self, x):
            return x

    metric = FrechetInceptionDistance(Features(), reset_real_features=False, normalize=True)
    metric.set_dtype(torch.float64)
    metric.update(real.double(), real=True)

    def measure(fake):
        metric.reset()
        metric.update(fake.double(), real=False)
        return metric.compute()

    return measure


@pytest.mark.parametrize(("d", "rounds"), [(2048, 1)])
def test_frechet_against_sqrtm(d, rounds):
    real, fake = pair(d)
    reference, known = Reference(real), covariance_mean(real)
    goal = 8 if d == 2048 else 1
    a, b = race(
        f"Frechet d={d}, against scipy.linalg.sqrtm", goal, lambda: frechet_distance(reference, fake),
        lambda: by_sqrtm(known, fake), rounds,
    )  # fmt: skip
    assert a.item() == pytest.approx(b, rel=1e-6)


@pytest.mark.parametrize(("d", "rounds"), [(2048, 3)])
def test_frechet_against_torchmetrics(d, rounds):
    real, fake = pair(d)
    reference, known = Reference(real), (real.double().mean(0), torch.cov(real.double().T))
    goal = 2.5 if d == 2048 else 1
    routes = {"torchmetrics' route (torch.linalg.eigvals)": lambda: by_eigenvalues(known, fake)}
    if peer := by_torchmetrics(real, d):
        routes["torchmetrics"] = lambda: peer(fake)
    for name, route in routes.items():
        a, b = race(f"Frechet d={d}, against {name}", goal, lambda: frechet_distance(reference, fake), route, rounds)
        assert a.item() == pytest.approx(b.item(), rel=1e-6)


# ---- precision, recall, density, coverage


@pytest.mark.parametrize(("law", "d", "goal", "rounds"), CASES)
def test_neighbours_against_prdc(law, d, goal, rounds):
    real, fake = LAWS[law](d)
    reference = Reference(real)
    arrays = real.numpy(), fake.numpy()
    got, expected = race(
        f"precision, recall, density, coverage d={d} ({law}), against prdc", goal, lambda: prdc(reference, fake, k=5),
        lambda: quietly(package.compute_prdc, *arrays, nearest_k=5), rounds,
    )  # fmt: skip
    for name, value in expected.items():
        if law == "tied" and name in ("precision", "recall"):
            # the package leaves out what lies on the edge of a ball, the paper does not
            assert getattr(got, name).item() > value + 0.1
            continue
        # in float32 the package computes squares from products, so that a few of 1e8 comparisons differ
        assert getattr(got, name).item() == pytest.approx(value, rel=1e-5, abs=1e-3)


def memory(name):
    """Return how much one of the memory's figures in /proc is now, in MB."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith(name))
    return int(line.split()[1]) / 1024


def peak(side, law, d, answer):
    real, fake = LAWS[law](d)
    if side == "prdc":
        arrays = real.numpy(), fake.numpy()
        call = lambda: quietly(package.compute_prdc, *arrays, nearest_k=5)  # noqa: E731
    else:
        reference = Reference(real)
        prdc(reference, fake[:100], k=5)
        call = lambda: prdc(reference, fake, k=5)  # noqa: E731
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = memory("VmRSS")
    call()
    answer.put(memory("VmHWM") - before)


@pytest.mark.parametrize(("law", "d"), [case[:2] for case in CASES])
def test_memory_against_prdc(law, d):
    spawn, peaks = multiprocessing.get_context("spawn"), {}
    for side in ("ganbench", "prdc"):
        answer = spawn.Queue()
        process = spawn.Process(target=peak, args=(side, law, d, answer))
        process.start()
        peaks[side] = answer.get(timeout=300)
        process.join()
    ratio = peaks["prdc"] / peaks["ganbench"]
    RESULTS.append(
        f"peak memory of the four at d={d} ({law}): {peaks['ganbench']:.0f} MB against {peaks['prdc']:.0f} MB, "
        f"{ratio:.1f} x less ({verdict(ratio, 4)})"
    )


# ---- kernel distance


def by_subsets(real, fake, subsets=100, size=1000):
    """The computation of torch-fidelity: means over random subsets, of kernel matrices in numpy."""
    try:
        from torch_fidelity.metric_kid import kid_features_to_metric
    except ImportError:
        pass
    else:
        options = {"kid_subsets": subsets, "kid_subset_size": size, "verbose": False}
        return kid_features_to_metric(real, fake, **options)["kernel_inception_distance_mean"]
    generator = np.random.default_rng(0)
    scores = []
    for _ in range(subsets):
        x, y = (side.numpy()[generator.choice(len(side), size, replace=False)] for side in (real, fake))
        kernels = [(np.matmul(a, b.T) / a.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
        within = sum((k.sum() - np.trace(k)) / (size * (size - 1)) for k in kernels[:2])
        scores.append(within - 2 * kernels[2].mean())
    return np.mean(scores)


def test_kernel_distance_against_subsets():
    real, fake = pair(2)
    reference = Reference(real)
    name = f"kernel distance d=2, against 100 subsets of 1000 {peer_of('torch_fidelity')}"
    exact, estimate = race(name, 200, lambda: kernel_distance(reference, fake), lambda: by_subsets(real, fake), 3)
    # exact: the same number from all pairs
    x, y = real.double().numpy(), fake.double().numpy()
    sums = [sum(((x_ @ b.T / 2 + 1) ** 3).sum() for x_ in np.array_split(a, 20)) for a, b in ((x, x), (y, y), (x, y))]
    diagonal = [(((a**2).sum(1) / 2 + 1) ** 3).sum() for a in (x, y)]
    every = (sums[0] + sums[1] - sum(diagonal)) / (N * (N - 1)) - 2 * sums[2] / N**2
    assert exact.item() == pytest.approx(every, rel=1e-9)
    assert estimate == pytest.approx(every, rel=0.5)


def peer_of(module):
    with contextlib.suppress(ImportError):
        __import__(module)
        return f"by {module}"
    return f"as in {module}, which is not installed"


# ---- many runs at once


def mixture(runs, n):
    angle = torch.arange(8) * (torch.pi / 4)
    centres = 1.41 * torch.stack([angle.cos(), angle.sin()], 1)
    mode = torch.randint(8, (runs, n), generator=torch.Generator().manual_seed(n))
    return centres[mode] + 0.07 * normal(runs, n, 2, seed=n)


def test_neighbours_of_256_runs_against_prdc():
    fakes, runs = mixture(257, 1000), 32
    real, reference = fakes[256], Reference(fakes[256])

    def theirs():
        values = [quietly(package.compute_prdc, real.numpy(), run.numpy(), nearest_k=5) for run in fakes[:runs]]
        return torch.tensor(
            [[each[name] for each in values] for name in ("precision", "recall", "density", "coverage")]
        )

    name = f"the four, 256 runs of 1000 at d=2, against prdc one by one (timed on {runs})"
    got, expected = race(name, 7, lambda: prdc(reference, fakes[:256], k=5), theirs, 3, share=runs / 256)
    assert torch.stack(list(got))[:, :runs].numpy() == pytest.approx(expected.double().numpy(), abs=3e-3)


def by_pytorch_fid(real, fake):
    """pytorch-fid's distance: what it does around the matrix square root takes longer than that, at d = 2."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    return calculate_frechet_distance(*real, *covariance_mean(fake))


def test_frechet_of_256_runs_one_by_one():
    fakes = mixture(257, 2000)
    real, reference = fakes[256], Reference(fakes[256])
    known = covariance_mean(real)
    routes = {"scipy.linalg.sqrtm": lambda run: by_sqrtm(known, run)}
    with contextlib.suppress(ImportError):
        by_pytorch_fid(known, real)
        routes["pytorch-fid"] = lambda run: by_pytorch_fid(known, run)
    if peer := by_torchmetrics(real, 2):
        routes["torchmetrics"] = lambda run: peer(run).item()
    for name, route in routes.items():
        got, expected = race(
            f"Frechet, 256 runs of 2000 at d=2, against {name} one by one", 15,
            lambda: frechet_distance(reference, fakes[:256]),
            lambda route=route: [route(run) for run in fakes[:256]], 15,
        )  # fmt: skip
        assert got.numpy() == pytest.approx(expected, rel=1e-6)


def test_figures(capsys):
    with capsys.disabled():
        print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}, scipy {scipy.__version__}")
        print("\n".join(RESULTS))
    assert len(RESULTS) >= 11
