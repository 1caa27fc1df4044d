import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import checks


@pytest.mark.parametrize(
    "error, message, check",
    [
        (
            ValueError,
            "f: expected one shape of rank 2; got a (8, 3), b (8, 4).",
            lambda: checks.same_shape(
                "f", rank=2, a=np.ones((8, 3)), b=np.ones((8, 4))
            ),
        ),
        (
            ValueError,
            "f: expected one shape of rank 2; got a (8,).",
            lambda: checks.same_shape("f", rank=2, a=np.ones(8)),
        ),
        (
            ValueError,
            "f: expected one shape; got a (8,), b (1,).",
            lambda: checks.same_shape("f", a=np.ones(8), b=np.ones(1)),
        ),
        (
            ValueError,
            "f: expected where of shape (8,); got (4,).",
            lambda: checks.shape("f", (8,), where=np.ones(4)),
        ),
        (
            ValueError,
            "f: expected x with 8 rows; got shape (4, 2).",
            lambda: checks.rows("f", 8, x=np.ones((4, 2))),
        ),
        (
            ValueError,
            "f: expected 3 inputs, one per modality; got 2.",
            lambda: checks.length("f", 3, inputs=(1, 2)),
        ),
        (
            TypeError,
            "f: expected x of floats; got int32.",
            lambda: checks.floating("f", x=np.ones(4, np.int32)),
        ),
        (
            TypeError,
            "f: expected labels of integers; got float32.",
            lambda: checks.integers("f", labels=np.ones(4, np.float32)),
        ),
        (
            TypeError,
            "f: expected where bool; got float32.",
            lambda: checks.boolean("f", where=np.ones(4, np.float32)),
        ),
        (
            ValueError,
            "f: expected beta >= 0; got -1.0.",
            lambda: checks.non_negative("f", beta=-1.0),
        ),
        (
            ValueError,
            "f: expected beta >= 0; got nan.",
            lambda: checks.non_negative("f", beta=float("nan")),
        ),
        (
            ValueError,
            "f: expected decay in [0, 1]; got nan.",
            lambda: checks.fraction("f", rate=1, decay=float("nan")),
        ),
        (
            ValueError,
            "f: expected p in [0, 1]; got -0.5 in row 1.",
            lambda: checks.probabilities(
                "f", where=np.arange(3) > 0, p=np.array([[2, 1], [1, -0.5], [0, 3]])
            ),
        ),
        (
            ValueError,
            "f: expected scale > 0; got 0.0.",
            lambda: checks.positive("f", scale=0.0),
        ),
        (
            ValueError,
            "f: expected num_samples >= 1; got 0.",
            lambda: checks.count("f", num_samples=0),
        ),
        (
            TypeError,
            "f: expected num_samples a whole number; got 1.5.",
            lambda: checks.count("f", num_samples=1.5),
        ),
        (
            ValueError,
            "f: expected x finite; got nan in row 70000.",
            lambda: checks.finite(
                "f",
                x=np.where(
                    np.arange(80_000)[:, None] % 70_000 == 0, np.nan, np.ones(2)
                ),
                where=np.arange(80_000) > 0,
            ),
        ),
        (
            ValueError,
            "f: expected y finite; got inf in row 1.",
            lambda: checks.finite("f", x=jnp.ones(2), y=jnp.array([1, jnp.inf])),
        ),
        (
            ValueError,
            "f: expected labels in [0, 3); got 4294967297 in row 2.",
            lambda: checks.within("f", 3, labels=np.array([0, 2, 2**32 + 1])),
        ),
        (
            ValueError,
            "f: expected kind among ('a', 'b'); got 'c'.",
            lambda: checks.one_of("f", ("a", "b"), kind="c"),
        ),
    ],
)
def test_messages_say_who_what_was_wanted_and_what_came(error, message, check):
    with pytest.raises(error) as raised:
        check()
    assert str(raised.value) == message


def test_good_arguments_pass_and_traced_values_are_let_through():
    checks.same_shape("f", rank=2, a=np.ones((8, 3)), b=jnp.ones((8, 3)))
    checks.shape("f", (8,), where=np.ones(8))
    checks.rows("f", 8, x=np.ones((8, 2)))
    checks.floating("f", x=jnp.ones(2, jnp.bfloat16), y=1.0)
    checks.boolean("f", where=np.ones(2, bool))
    checks.count("f", minimum=0, num_subsets=0, num_samples=np.int64(3))
    checks.one_of("f", ("a", "b"), kind="a")
    checks.finite("f", x=np.ones((8, 2)), y=jnp.ones(3, jnp.bfloat16), z=np.arange(3))
    checks.within(
        "f", 3, labels=np.array([0, 2, 7]), where=np.array([True, True, False])
    )
    jax.jit(lambda x: checks.finite("f", x=x))(np.nan * np.ones(2))
    jax.jit(lambda x, where: checks.finite("f", x=x, where=where))(np.ones(2), True)
    jax.jit(lambda x: checks.within("f", 1, x=x))(np.arange(2))
    jax.jit(lambda beta: checks.non_negative("f", beta=beta))(-1.0)
    jax.jit(lambda scale: checks.positive("f", scale=scale))(0.0)
    jax.jit(lambda rate: checks.fraction("f", rate=rate))(2.0)
