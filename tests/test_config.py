import contextlib
import functools
import json
import pathlib
import re

import ml_collections
import pytest

from repr_jax import config as configs

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


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


ATTACKS = [
    "subprocess:getoutput",
    "os:system",
    "builtins:exec",
    "repr_jax.files:os.system",
    "repr_jax.data.mnist:np.load",
    "repr_jax.data.mnist:files.write",
    "repr_jax.config:load",
    "repr_jax.config:importlib.import_module",
    "repr_jax.files:write",
    "repr_jax.workdir.lock:delete",
    "repr_jax.estimators.hierarchy.files:write",
    "repr_jax.estimators.hierarchy:files.write",
    "repr_jax.data.multimodal3dident_files:write",
    "repr_jax.run:train",
    "experiments.launch.sweep:main",
    "experiments.launch.sweep:subprocess.Popen",
    "experiments.make_assets:main",
    "experiments.papers.imagenet_audit:main",
    "experiments.fit:records.stored_config",
    "jax.numpy:load",
    "jax.numpy:save",
    "jax.numpy:fromfile",
    "flax.linen.linear:jnp.load",
    "jax.experimental.serialize_executable:deserialize_and_load",
    "jax.tools.jax_to_ir:main",
    "jax.profiler:start_server",
    "jax.profiler:start_trace",
    "flax.training.checkpoints:save_checkpoint",
    "flax.linen.module:os.system",
    "optax:sys.modules",
    "optax:__builtins__.exec",
    "optax:adam.__globals__",
    "optax:adam.__class__",
    "optax:adam.__getattribute__",
    "flax.linen:Dense.__init_subclass__",
    "repr_jax.models.mlp:MLP.__class__.__base__",
    "repr_jax.models.mlp",  # a module where it is trusted: harmless
    "repr_jax.estimators.hierarchy.__main__",
    "repr_jax.main",
    "jax",
    "antigravity",
    ":exec",
    "",
    7,
    ["os", "system"],
]


@pytest.mark.parametrize("place", ATTACKS, ids=str)
def test_stored_code_that_could_do_anything_is_refused(place):
    text = json.dumps({"a": {"fn": {"code": place}, "path": "/etc/passwd"}})
    if place == "repr_jax.models.mlp":
        assert configs.from_json(text).a.fn.MLP.__name__ == "MLP"
        return
    with pytest.raises((ValueError, AttributeError, ImportError)):
        configs.from_json(text)


def test_whatever_may_be_named_reads_no_pickle_and_starts_no_process():
    """As far as the text of the modules says what they do."""
    forbidden = re.compile(
        r"^\s*(import|from) (subprocess|pickle|shutil)\b|allow_pickle=True|rmtree|"
        r"\b(exec|eval|exec_module|system|import_module|__import__)\("
    )
    folders = ("data", "estimators", "evaluators", "losses", "metrics", "models", "ops")
    for folder in folders:
        for path in (REPOSITORY / "repr_jax" / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                assert not forbidden.search(line), f"{path}:{number}: {line}"


def test_every_config_of_the_project_is_trusted():
    for path in sorted((REPOSITORY / "configs").glob("*/*.py")):
        if path.name == "__init__.py":
            continue
        text = configs.to_json(configs.load(f"{path}:smoke"))
        assert configs.to_json(configs.from_json(text)) == text, path


def test_a_command_is_trusted_if_told_so():
    text = json.dumps({"a": {"code": "experiments.launch.sweep:main"}})
    for trusted in ("experiments.launch", "experiments.launch.sweep", "experiments"):
        assert callable(configs.from_json(text, trusted=[trusted]).a)
    with pytest.raises(ValueError, match=r"--trust=experiments\.launch\.sweep"):
        configs.from_json(text, trusted=["numpy"])


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, '{"a": {"tuple": 7}}'])
def test_crafted_json_is_no_crash(text):
    with contextlib.suppress(ValueError):
        configs.from_json(text)
