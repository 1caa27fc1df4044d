"""The loss of two encoders to one sphere, against float64 loops and by hand."""

import jax
import numpy as np
import pytest

from repr_jax import losses


def drawn(batch=4, dim=3, num_attributes=2, num_classes=3, samples=5, latent=2):
    rng = np.random.default_rng(0)
    shapes = dict(
        features=(dim,),
        attributes=(num_attributes,),
        decoded_features=(2, dim),
        decoded_attributes=(2, num_attributes),
        logits=(2, num_classes),
        feature_samples=(samples, latent),
        attribute_samples=(samples, latent),
    )
    arrays = {k: rng.normal(size=(batch, *s)).astype("f") for k, s in shapes.items()}
    return arrays | {"labels": np.arange(batch) % num_classes}


def price_in_loops(a, b, epsilon, num_steps):
    """Cuturi's algorithm 1, points of b last."""
    cost = np.array([[sum((p - q) ** 2) for q in b] for p in a], float)
    plan = np.exp(-cost / epsilon)
    for _ in range(num_steps):
        plan = plan / plan.sum(axis=1)[:, None] / len(a)
        plan = plan / plan.sum(axis=0) / len(b)
    return np.sum(plan * cost)


def loss_in_loops(arrays, *, weight, epsilon, num_steps, where):
    a = {k: np.asarray(v, float) for k, v in arrays.items()}
    terms = []
    for i in np.flatnonzero(where):
        total = 0.0
        for z in range(2):
            for kind in ("features", "attributes"):
                for x, y in zip(a[kind][i], a[f"decoded_{kind}"][i, z]):
                    total += abs(x - y) / 2
            logits = a["logits"][i, z]
            surprise = np.log(np.exp(logits).sum()) - logits[arrays["labels"][i]]
            total += surprise / 2
        samples = a["feature_samples"][i], a["attribute_samples"][i]
        terms.append(total + weight * price_in_loops(*samples, epsilon, num_steps))
    return np.mean(terms)


@pytest.mark.parametrize("where", [np.ones(4, bool), np.array([1, 0, 1, 1], bool)])
@pytest.mark.parametrize(
    ("weight", "epsilon", "num_steps"), [(0.1, 0.1, 100), (1.0, 0.5, 3), (0.0, 1.0, 1)]
)
def test_the_loss_of_loops(weight, epsilon, num_steps, where):
    numbers = dict(epsilon=epsilon, num_steps=num_steps, where=where)
    found = jax.jit(
        lambda arrays: losses.aligned_spheres(
            **arrays, transport_weight=weight, **numbers
        )
    )(drawn())
    expected = loss_in_loops(drawn(), weight=weight, **numbers)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_by_hand_nothing_is_left_but_the_number_of_classes():
    arrays = drawn()
    for kind in ("features", "attributes"):
        both = np.repeat(arrays[kind][:, None], 2, axis=1)
        arrays[f"decoded_{kind}"] = both
        arrays[f"{kind[:-1]}_samples"] = np.ones((4, 5, 2), "f")
    arrays["logits"] = np.full((4, 2, 3), 7.0, "f")
    found = jax.jit(losses.aligned_spheres)(**arrays)
    np.testing.assert_allclose(found, np.log(3), rtol=1e-5)


def test_a_price_draws_the_samples_of_a_row_together():
    arrays = drawn()

    def loss(x):
        return losses.aligned_spheres(**arrays | {"feature_samples": x})

    start = arrays["feature_samples"]
    target = arrays["attribute_samples"].mean(axis=1)
    moved = start - 5 * np.asarray(jax.jit(jax.grad(loss))(start))
    before, after = (np.abs(x.mean(axis=1) - target) for x in (start, moved))
    assert np.all(after < before)


def test_what_does_not_fit_is_refused():
    arrays = drawn()
    with pytest.raises(ValueError, match="aligned_spheres: expected decoded_features"):
        wrong = arrays["decoded_features"][..., :2]
        losses.aligned_spheres(**arrays | {"decoded_features": wrong})
    with pytest.raises(ValueError, match=r"expected logits of shape \(4, 2, 3\)"):
        wrong = np.zeros((4, 1, 3), "f")
        losses.aligned_spheres(**arrays | {"logits": wrong})
    with pytest.raises(ValueError, match="expected transport_weight >= 0"):
        losses.aligned_spheres(**arrays, transport_weight=-1.0)
    with pytest.raises(TypeError, match="labels of integers"):
        losses.aligned_spheres(**arrays | {"labels": np.zeros(4, "f")})
