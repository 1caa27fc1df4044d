"""Log-likelihoods of linear Gaussian models, which are known in closed form."""

import functools

import jax
import numpy as np
import pytest

from repr_jax.data.dataset import Dataset, padded_rows
from repr_jax.evaluators import likelihood
from repr_jax.evaluators.common import Trained

X = np.array([1.0, 3.0])  # z ~ N(0, 1), x_m = z + e_m, e_m ~ N(0, 1)
JOINT, MIXTURE_BOUND = -4.720517, -5.1073


def log_normal(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))


def rows_of(count, names=("m0", "m1"), present=None):
    """A dataset of row numbers."""

    def evaluate(split, batch_size):
        for rows, where in padded_rows(count, batch_size):
            batch = {"row": rows, "where": where}
            if present is not None:
                batch["present"] = present[rows]
            yield batch

    return Dataset(None, evaluate, lambda b: b, {"train": count, "test": count}, names)


def model(log_weights, names=("m0", "m1")):
    """log_weights: (batch, rng) -> arrays."""

    def output(batch, key):
        return log_weights(batch, np.random.default_rng(int(jax.random.bits(key))))

    return Trained({"log_weights": output}, lambda b: b, names, "")


def drawn(z, x, log_q):
    """z, log_q: [sample, rows] of the scalar model with x [rows, modality]."""
    return {
        "log_likelihood": log_normal(x.T[None], z[:, None], 1.0),
        "log_ratio": log_normal(z, 0.0, 1.0) - log_q,
    }


def exact(batch, rng, x=X[None], num=3):
    """From the exact posterior of what is given."""
    x = np.broadcast_to(x, batch["given"].shape)
    variance = 1 / (1 + np.sum(batch["given"], axis=1))
    mean = variance * np.sum(x, axis=1, where=batch["given"])
    z = mean + variance**0.5 * rng.normal(size=(num, len(mean)))
    return drawn(z, x, log_normal(z, mean, variance))


def mixture(batch, rng, *, stratified, num):
    """From the mean of the posteriors of those that are given; the density is right.

    stratified: as many samples of each; else all of one call are of the same one.
    """
    given = batch["given"]  # [rows, 2]
    turn = np.arange(num)[:, None] % 2 if stratified else rng.integers(2)
    of_one = np.where(np.all(given, axis=1), turn, np.argmax(given, axis=1))
    z = (X / 2)[of_one] + 0.5**0.5 * rng.normal(size=(num, len(given)))
    density = np.exp(log_normal(z[..., None], X / 2, 0.5))
    log_q = np.log(np.sum(density * given, axis=-1) / np.sum(given, axis=-1))
    return drawn(z, np.broadcast_to(X, given.shape), log_q)


def test_an_exact_posterior_has_constant_weights():
    found = likelihood.evaluate(model(exact), rows_of(3), num_samples=5, batch_size=2)
    numbers = found.numbers
    of_one = [log_normal(x, 0.0, 2.0) for x in X]
    expected = {"joint": JOINT, "m0": of_one[0], "m1": of_one[1]}
    expected |= {"conditional/m0->m1": JOINT - of_one[0]}
    expected |= {"conditional/m1->m0": JOINT - of_one[1]}
    expected |= {f"effective/{name}": 1.0 for name in ("joint", "m0", "m1")}
    for name, value in expected.items():
        assert numbers[name] == pytest.approx(value, abs=1e-5), name
    assert set(numbers) == {*expected, "cross/m0->m1", "cross/m1->m0"}
    assert found.headline == ("joint",) and not found.chance and not found.pictures
    curve = found.tables[-1].rows
    assert [count for count, _ in curve] == ["1", "3", "6"]
    np.testing.assert_allclose([value for _, value in curve], JOINT, atol=1e-5)


def test_cross_is_the_expected_likelihood():
    """With z of the exact posterior it is the conditional itself."""
    large = functools.partial(exact, num=60_000)
    found = likelihood.evaluate(
        model(large), rows_of(1), num_samples=60_000, batch_size=1
    )
    for pair in ("m0->m1", "m1->m0"):
        conditional = found.numbers[f"conditional/{pair}"]
        assert found.numbers[f"cross/{pair}"] == pytest.approx(conditional, abs=0.02)


@pytest.mark.parametrize(("stratified", "right"), [(True, True), (False, False)])
def test_the_mixture_needs_samples_of_all_components(stratified, right):
    """One component a call makes the bound of a call wrong, though not the limit.

    By a single call it would be -5.018 or -4.491: the integrals over one component.
    """
    output = functools.partial(mixture, stratified=stratified, num=20_000)
    dataset = rows_of(1)
    values = [
        likelihood.evaluate(
            model(output), dataset, num_samples=20_000, batch_size=1, seed=seed
        )
        for seed in range(4)
    ]
    near = [abs(v.numbers["joint"] - JOINT) < 0.02 for v in values]
    assert all(near) if right else not any(near)
    if right:
        bound = values[0].tables[-1].rows[0]
        assert bound == ("1", pytest.approx(MIXTURE_BOUND, abs=0.03))
        assert values[0].numbers["effective/joint"] < 0.99


def test_calls_add_up_to_their_union():
    """Many small calls give what one large one of the same samples gives."""
    rng = np.random.default_rng(0)
    of_each, ratio = rng.normal(size=(12, 2, 3)) * 50, rng.normal(size=(12, 3))
    inside = np.ones((3, 2), bool)
    targets = [np.array([True, False])]

    def estimate(size):
        parts = iter(range(0, 12, size))

        def ask(key):
            n = next(parts)
            chosen = slice(n, n + size)
            return {"log_likelihood": of_each[chosen], "log_ratio": ratio[chosen]}

        return likelihood.estimate(
            ask, inside, targets, num_samples=12, key=jax.random.key(0)
        )

    weights = of_each.sum(axis=1) + ratio
    share = np.exp(weights - weights.max(axis=0))
    expected = weights.max(axis=0) + np.log(share.mean(axis=0))
    for size in (1, 4, 12):
        found = estimate(size)
        np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-12)
        np.testing.assert_allclose(
            found.effective, share.sum(axis=0) ** 2 / (share**2).sum(axis=0) / 12
        )
        cross = np.log(np.mean(np.exp(of_each[:, 0]), axis=0))
        np.testing.assert_allclose(found.cross[0], cross)
        np.testing.assert_allclose(found.curve[1], weights.mean(axis=0))
    assert list(estimate(1).curve) == [1, 2, 4, 8, 12]


@pytest.mark.parametrize("filler", [np.nan, 0.0])
def test_what_a_row_lacks_does_not_count(filler):
    """Row r has x = (1, 3) + r; the filler stands where it lacks one, row 3 both."""
    present = np.array([[1, 1], [1, 0], [0, 1], [0, 0], [1, 1]], bool)
    x = X + np.arange(5)[:, None]

    def output(batch, rng):
        found = exact(batch, rng, x[batch["row"]], num=40_000)
        of_each = np.where(batch["present"].T, found["log_likelihood"], filler)
        return {**found, "log_likelihood": of_each}

    dataset, sizes = rows_of(5, present=present), dict(num_samples=9, batch_size=4)
    found = likelihood.evaluate(model(output), dataset, **sizes)
    numbers = found.numbers
    alone = log_normal(x, 0.0, 2.0)  # [row, modality]
    both = alone[:, 0] + log_normal(x[:, 1], x[:, 0] / 2, 1.5)
    assert numbers["joint"] == pytest.approx(np.mean(both[[0, 4]]), abs=1e-4)
    observed = np.mean([both[0], alone[1, 0], alone[2, 1], both[4]])
    assert numbers["observed"] == pytest.approx(observed, abs=1e-4)
    for m in range(2):
        expected = np.mean(alone[present[:, m], m])
        assert numbers[f"m{m}"] == pytest.approx(expected, abs=1e-4)
    pair = np.mean((both - alone[:, 1])[[0, 4]])
    assert numbers["conditional/m1->m0"] == pytest.approx(pair, abs=1e-4)
    assert np.isfinite(list(numbers.values())).all()
    conditional = np.mean(both[[0, 4]] - alone[[0, 4], 0])
    assert numbers["cross/m0->m1"] == pytest.approx(conditional, abs=0.02)
    rows = {row[0]: row[3] for row in found.tables[0].rows}
    assert rows == {"joint": 2, "observed": 4, "m0": 3, "m1": 3}


def test_no_row_with_a_modality_is_refused():
    dataset = rows_of(2, present=np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="likelihood: expected test rows"):
        likelihood.evaluate(model(exact), dataset)


def test_one_modality_has_a_joint_alone():
    def output(batch, rng):
        return exact(batch, rng, X[None, :1])

    for names in (("m0",), ()):
        dataset = rows_of(2, names)
        found = likelihood.evaluate(model(output, names), dataset, num_samples=3)
        expected = {"joint": log_normal(1.0, 0.0, 2.0), "effective/joint": 1.0}
        assert found.numbers == pytest.approx(expected, abs=1e-5)


def three_views(seed):
    """Linear Gaussian decoders and experts, drawn from one stream: see `expected`."""
    normal, dims = np.random.default_rng(seed).standard_normal, (2, 3, 1)
    weights = [normal((n, 2)) for n in dims]
    biases = [normal(n) for n in dims]
    x = [normal((4, n)) for n in dims]
    return weights, biases, x, normal((3, 4, 2)), 0.5 * normal((3, 4, 2))


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, (-12.461940, -1.929953, -2.316721)),
        (1, (-9.952444, -1.147283, -1.189103)),
    ],
)
def test_evidence_of_three_views(seed, expected):
    """log p(x), log p(x_2 | x_0, x_1), and log E p(x_2 | z) of a stated posterior."""
    weights, biases, x, mean, log_var = three_views(seed)

    def output(batch, rng):
        """From the product of the experts that are given."""
        given = batch["given"].T[..., None]
        variance = 1 / np.sum(np.exp(-log_var), axis=0, where=given)
        center = variance * np.sum(np.exp(-log_var) * mean, axis=0, where=given)
        z = center + variance**0.5 * rng.normal(size=(50_000, 4, 2))
        of_each = [
            np.sum(log_normal(x_m, z @ w.T + b, 1.0), axis=-1)
            for w, b, x_m in zip(weights, biases, x)
        ]
        log_ratio = log_normal(z, 0.0, 1.0) - log_normal(z, center, variance)
        return {
            "log_likelihood": np.stack(of_each, axis=1),
            "log_ratio": np.sum(log_ratio, axis=-1),
        }

    names = ("m0", "m1", "m2")
    found = likelihood.evaluate(
        model(output, names),
        rows_of(4, names),
        num_samples=300_000,
        given=("m0+m1",),
        batch_size=4,
    ).numbers
    assert found["cross/m0+m1->m2"] == pytest.approx(expected[2], abs=0.01)
    assert found["joint"] == pytest.approx(expected[0], abs=0.02)
    assert found["conditional/m0+m1->m2"] == pytest.approx(expected[1], abs=0.02)
