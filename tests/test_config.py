import functools
import json

import ml_collections
import pytest

from repr_jax import config as configs


def scale(x, *, factor=2.0):
    return factor * x


def apply(*, to, offset, widths=()):
    return to(1.0) + offset


def choices():
    return ml_collections.ConfigDict(
        {
            "seed": 3,
            "name": "run",
            "rate": 0.5,
            "empty": None,
            "distribution": functools,
            "loss": dict(fn=apply, offset=1.0, to=dict(fn=scale, factor=5.0)),
            "widths": (1, (2, 3)),
            "rules": (("bias$", None), ("", dict(fn=scale))),
        }
    )


def test_bind_makes_partials_of_choices_within_choices():
    bound = configs.bind(choices().loss)
    assert isinstance(bound, functools.partial)
    assert bound() == 6.0
    two = configs.bind(dict(fn=apply, to=scale, offset=0, widths=(dict(fn=scale),)))
    assert two.keywords["widths"][0](3.0) == 6.0


@pytest.mark.parametrize("kind", [dict, list, tuple])
def test_choices_inside_plain_containers_are_bound(kind):
    choice = dict(fn=scale, factor=3.0)
    inside = dict(a=choice) if kind is dict else kind([choice])
    bound = configs.bind(dict(fn=apply, to=scale, offset=0, widths=inside))
    (found,) = (
        bound.keywords["widths"].values() if kind is dict else bound.keywords["widths"]
    )
    assert found(2.0) == 6.0
    inside = dict(a=dict(fn=scale, facter=1.0))
    with pytest.raises(TypeError, match=r"config\.widths\.a: .* no argument 'facter'"):
        configs.bind(dict(fn=apply, to=scale, offset=0, widths=inside))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            dict(fn=scale, facter=1.0),
            r"loss: .*scale has no argument 'facter'; did you",
        ),
        (dict(fn=scale, zzz=1.0), "it has factor, x"),
        (dict(factor=1.0), "loss: expected dict"),
        (dict(fn="scale"), "loss.fn: expected a function or class; got 'scale'"),
        (dict(fn=apply, to=dict(fn=scale, facter=1)), r"loss\.to: "),
    ],
)
def test_bind_names_what_is_wrong(choice, message):
    with pytest.raises(TypeError, match=message):
        configs.bind(choice, "loss")


def test_a_stored_config_comes_back_whole():
    trusted = ["functools", scale.__module__.partition(".")[0]]
    again = configs.from_json(configs.to_json(choices()), trusted=trusted)
    assert again == choices()
    assert again.loss.to.fn is scale
    assert again.widths == (1, (2, 3))


def test_a_function_without_a_name_is_not_stored():
    with pytest.raises(TypeError, match="that a module names"):
        configs.to_json(ml_collections.ConfigDict({"fn": lambda x: x}))


def test_diff_lists_every_value_that_differs_and_nothing_else():
    other = choices()
    assert configs.diff(configs.to_json(choices()), configs.to_json(other)) == ""
    other.loss.to.factor = 7.0
    other.extra = 1
    lines = configs.diff(configs.to_json(choices()), configs.to_json(other))
    assert lines.splitlines() == [
        "  extra: absent there, 1 here",
        "  loss.to.factor: 5.0 there, 7.0 here",
    ]


def test_load_reads_a_file_its_mode_and_overrides(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        "import ml_collections\n"
        "def get_config(mode=''):\n"
        "    return ml_collections.ConfigDict(dict(mode=mode, a=dict(b=1)))\n"
    )
    config = configs.load(f"{path}:smoke", {"a.b": 2})
    assert (config.mode, config.a.b) == ("smoke", 2)
    with pytest.raises((AttributeError, KeyError), match="c"):
        configs.load(str(path), {"a.c": 2})
    with pytest.raises(FileNotFoundError, match=r"nowhere\.py"):
        configs.load(str(tmp_path / "nowhere.py"))


def test_defaults_fill_what_a_text_lacks_and_nothing_else():
    text = configs.with_defaults('{"a": {"b": 1}}', '{"a": {"c": 2}, "d": 3}')
    assert json.loads(text) == {"a": {"b": 1}, "d": 3}


@pytest.mark.parametrize("text", ["{", "[1]", "", '{"a": '])
def test_what_is_no_config_is_refused(text):
    with pytest.raises(ValueError, match=r"config: expected (a )?JSON"):
        configs.from_json(text)
