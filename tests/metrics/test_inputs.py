"""What users pass by mistake, in every metric that compares real with fake samples: an error that says what to do."""

import inspect
import re

import numpy as np
import pytest
import torch

from ganbench import metrics, registry
from ganbench.errors import InputError, UserError
from ganbench.metrics import Reference
from ganbench.metrics.inputs import measures_of, pair, samples, whole
from ganbench.metrics.reference import prepared

# those of this package that need nothing but two arrays
COMPARING = [
    function
    for name in metrics.__all__
    if hasattr(function := getattr(metrics, name), "measures")
    and all(
        (p.name in ("real", "fake")) == (p.default is p.empty) for p in inspect.signature(function).parameters.values()
    )
    and {"real", "fake"} <= inspect.signature(function).parameters.keys()
]
N = 600
every_metric = pytest.mark.parametrize("metric", COMPARING, ids=lambda metric: metric.__name__)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numbers(result):
    return list(result) if isinstance(result, tuple) else [result]


def test_the_metrics_of_two_arrays_are_found():
    names = {metric.__name__ for metric in COMPARING}
    assert names >= {
        "frechet_distance", "frechet_infinity", "kernel_distance", "gaussian_mmd", "precision_recall",
        "density_coverage", "prdc", "sliced_wasserstein", "wasserstein_1d",
    }  # fmt: skip


@every_metric
def test_two_arrays_and_one_line(metric):
    # one dimension, which all of them know
    real, fake = normal(N, 1).numpy(), normal(N, 1, seed=1).numpy()
    got = numbers(metric(real, fake))
    assert len(got) == len(measures_of(metric))
    for value, measure in zip(got, measures_of(metric).values(), strict=True):
        low, high = measure.bounds
        assert value.dtype == torch.float64
        assert ((value >= low - 1e-12) & (value <= high + 1e-12)).all()
        assert measure.legend
        assert measure.direction in ("up", "down", None)
    assert all(a.equal(b) for a, b in zip(numbers(metric(Reference(real), torch.from_numpy(fake))), got, strict=True))


@every_metric
@pytest.mark.parametrize("side", ["real", "fake"])
@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda x: x.index_fill(0, torch.tensor([7]), torch.nan), "holds NaN or infinity: a generator that diverged"),
        (lambda x: x.index_fill(0, torch.tensor([7]), -torch.inf), "holds NaN or infinity"),
        (lambda x: x * 1e200, "holds numbers beyond 1e.150, whose squares are infinite: scale them down"),
        (lambda x: (x * 255).to(torch.uint8), "holds uint8; metrics compare features: convert it to floating point"),
        (lambda x: x.long().numpy(), "holds int64"),
        (lambda x: x.to(torch.complex64), "holds complex64"),
        (lambda x: x[:, 0], r"must be samples \[..., n, d\], got the shape \[600\]: add the last axis"),
        (lambda x: x[:0], "'.* has 0 samples, and this metric needs at least"),
        (lambda x: x.tolist(), r"must be a tensor or an array of samples \[..., n, d\], got list"),
        (lambda x: np.array(["a"]), "must be a tensor or an array of samples .*, got an array of <U1"),
        (lambda x: None, "must be a tensor or an array of samples .*, got NoneType"),
    ],
)
def test_unusable_samples_are_named(metric, side, break_it, said):
    sides = {"real": normal(N, 1), "fake": normal(N, 1, seed=1)}
    with pytest.raises(InputError, match=f"^'{side}' {said}" if not said.startswith("'") else said):
        metric(**{**sides, side: break_it(sides[side])})


@every_metric
def test_sides_that_do_not_fit_are_named(metric):
    with pytest.raises(InputError, match="'fake' has dimension 2 and 'real' 1: both must come from the same feature"):
        metric(normal(N, 1), normal(N, 2))
    with pytest.raises(InputError, match=r"'real' must be one set of samples \[n, d\], got the shape \[2, 600, 1\]"):
        metric(normal(2, N, 1), normal(N, 1))
    with pytest.raises(InputError, match="'real' is constant: all its samples are equal"):
        metric(torch.full((N, 1), 3.0), normal(N, 1))


def test_an_error_of_input_is_a_users_and_a_value_error():
    with pytest.raises(UserError):
        samples(None, "real")
    with pytest.raises(ValueError, match="'real'"):
        samples(None, "real")


def test_a_reference_is_checked_when_it_is_built():
    with pytest.raises(InputError, match="'real' is constant"):
        Reference(np.ones((5, 2)))
    with pytest.raises(InputError, match="'real' holds NaN"):
        Reference(torch.full((5, 2), torch.nan))
    with pytest.raises(InputError, match=r"'real' is empty, got the shape \[5, 0\]"):
        Reference(torch.ones(5, 0))


@pytest.mark.parametrize("array", [np.float64([[1, 2], [3, 4], [5, 6]])[::-1], np.float32([[1, 2, 3]]).T[:, ::-1]])
def test_arrays_whose_memory_torch_cannot_share_are_read_all_the_same(array):
    assert samples(array, "real").tolist() == array.tolist()
    array = array.copy()
    array.flags.writeable = False
    assert samples(array, "real").tolist() == array.tolist()
    array.flags.writeable = True
    shared = samples(array, "real")
    array[0, 0] = 7
    assert shared[0, 0] == 7


def test_an_array_without_axes_is_named_by_its_shape():
    with pytest.raises(InputError, match=r"'real' must be samples \[..., n, d\], got the shape \[\]"):
        samples(np.array(1.0), "real")


def test_one_sample_is_enough_where_nothing_is_estimated_from_their_spread():
    one, other = np.array([[0.0, 1.0]]), np.array([[3.0, 5.0]])
    assert samples(one, "fake").tolist() == [[0, 1]]
    assert [side.tolist() for side in pair(one, other)] == [[[0, 1]], [[3, 5]]]
    reference, fake = prepared(one, other)
    assert (reference.real.tolist(), fake.tolist()) == ([[0, 1]], [[3, 5]])
    # one point at each side: the distance of two numbers
    assert metrics.wasserstein_1d(one[:, :1], other[:, :1]).item() == pytest.approx(3)


@every_metric
def test_the_fewest_samples_that_a_metric_takes_are_those_that_it_names(metric):
    told, taken, tried = set(), [], [*range(1, 12), N]
    for n in tried:
        try:
            result = numbers(metric(normal(n, 1), normal(n, 1, seed=1)))
        except InputError as error:
            told |= {int(number) for number in re.findall(r"this metric needs at least (\d+):", str(error))}
        else:
            assert not any(value.isnan().any() for value in result)
            taken.append(n)
    assert taken == [n for n in tried if n >= taken[0]]
    assert told <= {taken[0]}
    # a covariance or an unbiased kernel mean divides by n - 1, a fit over numbers of samples needs some of them
    fewest = {"frechet_distance": 2, "frechet_infinity": 4, "kernel_distance": 2, "gaussian_mmd": 2,
              "sliced_wasserstein": 1, "wasserstein_1d": 1}  # fmt: skip
    assert taken[0] == fewest.get(metric.__name__, taken[0])


def test_samples_are_given_back_as_they_are():
    given = normal(5, 2)
    assert samples(given, "real") is not None
    assert samples(given, "real").data_ptr() == given.data_ptr()
    assert not samples(given.requires_grad_(), "real").requires_grad
    half = samples(given.half(), "real")
    assert half.dtype == torch.float16
    real, fake = pair(given, np.ones((3, 2), dtype=np.float32))
    assert (real.shape, fake.shape, fake.dtype) == ((5, 2), (3, 2), torch.float32)


@every_metric
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_computed_in_float64(metric, dtype):
    real, fake = normal(N, 1).to(dtype), normal(N, 1, seed=1).to(dtype)
    for low, high in zip(numbers(metric(real, fake)), numbers(metric(real.double(), fake.double())), strict=True):
        torch.testing.assert_close(low, high, rtol=1e-9, atol=1e-12)


def test_whole_numbers():
    assert whole(np.int64(3), "k") == 3
    for value in (0, 2.0, True, "3", None):
        with pytest.raises(InputError, match="'k' must be a whole number of 1 or more, got"):
            whole(value, "k")


def test_the_columns_of_a_study_are_declared_by_the_metrics():
    declared = registry.measures()
    for metric in (metrics.frechet_distance, metrics.prdc, metrics.sliced_wasserstein):
        for name, measure in measures_of(metric).items():
            assert declared[name] == measure


@every_metric
@pytest.mark.parametrize("dtype", [">f8", ">f4", np.longdouble])
def test_arrays_of_other_byte_orders_and_widths_are_the_numbers_they_hold(metric, dtype):
    real, fake = normal(N, 1).float().numpy(), normal(N, 1, seed=1).float().numpy()
    native = np.float32 if dtype == ">f4" else np.float64
    expected = numbers(metric(real.astype(native), fake.astype(native)))
    for one, other in zip(numbers(metric(real.astype(dtype), fake.astype(dtype))), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@every_metric
@pytest.mark.parametrize(("change", "message"), [
    (lambda x: x.to_sparse(), "must be a dense tensor with numbers in it: make it one, as by to_dense()."),
    (lambda x: x.to("meta"), "must be a dense tensor with numbers in it: make it one, as by to_dense()."),
    (lambda x: x.to(torch.float8_e4m3fn), "holds float8_e4m3fn: convert it to float32."),
    (lambda x: x.to(torch.float8_e5m2), "holds float8_e5m2: convert it to float32."),
], ids=["sparse", "meta", "float8_e4m3fn", "float8_e5m2"])  # fmt: skip
def test_tensors_that_hold_no_ordinary_numbers_are_refused(metric, change, message):
    good = normal(N, 1)
    for side, pair_of in (("real", (change(good), good)), ("fake", (good, change(good)))):
        with pytest.raises(InputError) as caught:
            metric(*pair_of)
        assert str(caught.value) == f"'{side}' {message}"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_probabilities_sum_to_one_within_the_digits_of_their_type(dtype, classes):
    p = torch.softmax(normal(50, classes), -1)
    assert metrics.inception_score(p.to(dtype)).item() == pytest.approx(metrics.inception_score(p).item(), rel=0.02)
    with pytest.raises(InputError, match="sum to 1"):
        metrics.inception_score((p * 1.02).to(dtype))


def test_masked_values_are_not_taken_for_numbers():
    x = normal(50, 3).double().numpy()
    whole = metrics.frechet_distance(x, x + 1)
    assert metrics.frechet_distance(np.ma.masked_array(x, np.zeros_like(x, bool)), x + 1) == whole
    with pytest.raises(InputError, match=r"^'real' has masked values, which no metric leaves out"):
        metrics.frechet_distance(np.ma.masked_array(x, x > 2), x)


@pytest.mark.parametrize("bandwidth", ["1", True, 0, -1, float("nan"), float("inf"), 1e-300])
def test_a_bandwidth_is_a_number_above_zero(bandwidth):
    with pytest.raises(InputError, match=r"^'bandwidth' must be above 0, and its square finite"):
        metrics.gaussian_mmd(normal(9, 2), normal(9, 2), bandwidth=bandwidth)
