"""Errors of generators that are off by a known amount."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import reconstruction
from repr_jax.evaluators.common import subsets


@pytest.fixture
def off(perfect, dataset, answering):
    """off(change): what is generated is the real view, changed: (x, given, m) -> x."""

    def off(change, dataset=dataset):
        def generate(batch, key=None):
            views, given = dataset.prepare(batch), batch["present"]
            return {
                f"m{m}": change(jnp.nan_to_num(views[f"m{m}"]), given, m)
                for m in range(3)
            }

        model = answering(perfect, generate=jax.jit(generate))
        return model._replace(prepare=jax.jit(dataset.prepare))

    return off


def test_errors_are_of_what_is_given_and_of_the_rest(off, dataset):
    """Reconstructions are exact, other views too bright by a tenth of their number."""

    def change(x, given, m):
        return jnp.where(given[:, m, None, None, None], x, x - 0.1 * (m + 1))

    found = reconstruction.evaluate(off(change), dataset, batch_size=8)
    numbers = found.numbers
    for given, subset in subsets(("m0", "m1", "m2")).items():
        for m in range(3):
            name = f"{'self/' if subset[m] else ''}{given}->m{m}"
            error = 0 if subset[m] else 0.01 * (m + 1) ** 2
            assert numbers[f"mse/{name}"] == pytest.approx(error, abs=1e-7)
            if subset[m]:
                assert numbers[f"ssim/{name}"] == pytest.approx(1, abs=1e-6)
            else:
                assert numbers[f"ssim/{name}"] < 0.99
    assert numbers["mse/1_view"] == pytest.approx(0.14 / 3)
    assert set(found.chance) == set(numbers)
    assert set(found.headline) <= set(numbers)
    assert [table.title for table in found.tables] == [
        "Reconstruction: MSE",
        "Reconstruction: SSIM",
    ]
    rows = found.tables[0].rows
    assert rows[0] == ("m0", *(pytest.approx(v, abs=1e-7) for v in (0, 0.04, 0.09)))
    assert rows[-1][0] == "chance" and len(rows) == 8


def test_chance_is_the_mean_training_example(off, dataset):
    images = {split: [] for split in ("train", "test")}
    for split, kept in images.items():
        for batch in dataset.evaluate(split, 8):
            kept.append(dataset.prepare(batch)["m1"][batch["where"]])
    train, test = (np.concatenate(images[split]) for split in ("train", "test"))

    def change(x, given, m):
        return jnp.broadcast_to(jnp.asarray(train.mean(axis=0))[None], x.shape)

    found = reconstruction.evaluate(off(change), dataset, batch_size=8)
    expected = np.mean((test - train.mean(axis=0)) ** 2)
    for name in ("mse/m0->m1", "mse/self/m1->m1"):
        assert found.chance[name] == pytest.approx(expected, rel=1e-5)
        assert found.numbers[name] == pytest.approx(expected, rel=1e-5)
    similar = found.chance["ssim/m0->m1"]
    assert found.numbers["ssim/m0->m1"] == pytest.approx(similar, rel=1e-4)
    assert similar < 0.9


def test_rows_that_lack_given_or_target_do_not_count(
    perfect, dataset, gaps, here, answering
):
    """Row r is off by r / 100; real views are NaN where they are absent."""

    def generate(batch, key=None):
        shift = 0.01 * batch["row"][:, None, None, None]
        views = dataset.prepare(batch)
        return {name: views[name] + shift for name in gaps.modalities}

    model = answering(perfect, generate=jax.jit(generate))
    model = model._replace(prepare=jax.jit(gaps.prepare))
    found = reconstruction.evaluate(model, gaps, batch_size=8)
    errors = (0.01 * np.arange(21)) ** 2
    for name, rows in (
        ("m0->m1", here[:, :2].all(axis=1)),
        ("self/m2->m2", here[:, 2]),
    ):
        expected = np.mean(errors[rows])
        assert found.numbers[f"mse/{name}"] == pytest.approx(expected, rel=1e-4)
    assert np.isfinite([*found.numbers.values(), *found.chance.values()]).all()


def test_one_input_of_any_shape(perfect, dataset, answering):
    """Vectors have no structural similarity."""

    def prepare(batch):
        return {**batch, "x": jax.nn.one_hot(batch["label"], 4)}

    def generate(batch, key=None):
        return {"x": prepare(batch)["x"] + 0.5}

    model = answering(perfect, generate=generate)._replace(
        modalities=(), prepare=prepare
    )
    found = reconstruction.evaluate(model, dataset)
    assert found.numbers == {"mse/self/x": pytest.approx(0.25)}
    assert found.chance["mse/self/x"] == pytest.approx(0.19, abs=0.02)
    assert "mse/self/x" in found.headline
