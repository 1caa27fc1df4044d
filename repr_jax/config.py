"""Configs: from `dict(fn=f, a=1)` to `partial(f, a=1)`, and to JSON and back.

A config is an ml_collections ConfigDict in which code is chosen by naming it. `bind`
turns a choice into a partial; `to_json` and `from_json` store a resolved config in a
working directory so that the run can be read, compared and repeated.
"""

import difflib
import functools
import importlib.util
import inspect
import json
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence

import ml_collections

# Fields that no number depends on: which devices hold what, and how long they wait.
PLACEMENT = ("shard_state", "model_devices", "data_patience")
CODE = "code"  # JSON key of "package.module:name", or of a module without a name
TUPLE = "tuple"  # JSON key of a tuple, which JSON would make a list
# What a stored config may name: parts of methods, nothing that runs what it is told.
TRUSTED = ("configs", "experiments", "optax", "flax.linen", "jax.nn", "jax._src.nn")
TRUSTED += ("jax.numpy", "jax._src.numpy.ufuncs", "repr_jax.data")
TRUSTED += ("repr_jax.estimators", "repr_jax.evaluators", "repr_jax.losses")
TRUSTED += ("repr_jax.metrics", "repr_jax.models", "repr_jax.ops", "repr_jax.optim")
# Commands among them, and what reads pickles or writes any file.
COMMANDS = ("experiments.launch", "experiments.papers", "experiments.benchmarks")
COMMANDS += ("experiments.results", "experiments.make_assets", "experiments.make_emoji")
COMMANDS += ("jax.numpy:load", "jax.numpy:fromfile")
COMMANDS += ("repr_jax.estimators.hierarchy.files",)
COMMANDS += ("repr_jax.data.multimodal3dident_files", "repr_jax.models.from_torch")


def bind(choice, who: str = "config") -> Callable:
    """dict(fn=f, a=1, b=dict(fn=g)) -> partial(f, a=1, b=partial(g)).

    Args:
      choice: a mapping with `fn` and keywords of it; nested choices are bound as well,
        also inside mappings without `fn`, tuples and lists.
      who: how errors call the choice, such as "config.loss".

    Raises:
      TypeError: there is no `fn`, or it has no such keyword; the nearest is suggested.
    """
    if (
        not isinstance(choice, Mapping | ml_collections.ConfigDict)
        or "fn" not in choice
    ):
        raise TypeError(f"{who}: expected dict(fn=..., keyword=...); got {choice!r}.")
    fn = choice["fn"]
    if not callable(fn):
        raise TypeError(f"{who}.fn: expected a function or class; got {fn!r}.")
    keywords = {
        name: _bind_value(value, f"{who}.{name}")
        for name, value in choice.items()
        if name != "fn"
    }
    accepted = inspect.signature(fn).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        for name in keywords:
            if name not in accepted:
                raise TypeError(
                    f"{who}: {_name(fn)} has no argument {name!r}"
                    f"{_suggestion(name, accepted)}."
                )
    return functools.partial(fn, **keywords)


def _bind_value(value, who):
    if isinstance(value, ml_collections.ConfigDict | Mapping):
        if "fn" in value:
            return bind(value, who)
        return {k: _bind_value(v, f"{who}.{k}") for k, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_bind_value(v, f"{who}[{i}]") for i, v in enumerate(value))
    return value


def _suggestion(name, known):
    near = difflib.get_close_matches(name, [str(k) for k in known], n=1)
    known = ", ".join(sorted(str(k) for k in known))
    return f"; did you mean {near[0]!r}?" if near else f"; it has {known}"


def _name(fn):
    return f"{fn.__module__}.{fn.__qualname__}"


def check_fields(config) -> None:
    """Raises ValueError unless the config says what is trained, and on what."""
    for name in ("experiment", "dataset"):
        if name not in config:
            raise ValueError(f"config.{name}: expected a choice; the config has none.")


def to_json(config: ml_collections.ConfigDict) -> str:
    """The resolved config as indented JSON; code becomes `module:name` or `module`."""

    def encode(value):
        if isinstance(value, ml_collections.ConfigDict | Mapping):
            return {name: encode(value[name]) for name in sorted(value)}
        if isinstance(value, tuple):
            return {TUPLE: [encode(v) for v in value]}
        if isinstance(value, list):
            return [encode(v) for v in value]
        if isinstance(value, types.ModuleType):
            return {CODE: value.__name__}
        if callable(value):
            if "<" in value.__qualname__ or value.__module__ not in sys.modules:
                raise TypeError(
                    f"config: expected a function that a module names; got {value!r}."
                )
            return {CODE: f"{value.__module__}:{value.__qualname__}"}
        return value

    return json.dumps(encode(config), indent=2) + "\n"


def from_json(text: str, *, trusted: Sequence[str] = ()) -> ml_collections.ConfigDict:
    """The inverse of `to_json`: imports the functions that the text names.

    Args:
      text: of `to_json`.
      trusted: packages and modules whose code may be named, besides those of TRUSTED.

    Raises:
      ValueError: not JSON of a config, or it names other code: a config can call
        whatever it names, with any values.
    """

    def decode(value):
        if isinstance(value, Mapping):
            if set(value) == {CODE}:
                return _code(value[CODE], trusted)
            if set(value) == {TUPLE} and isinstance(value[TUPLE], list):
                return tuple(decode(v) for v in value[TUPLE])
            return {name: decode(v) for name, v in value.items()}
        return [decode(v) for v in value] if isinstance(value, list) else value

    return ml_collections.ConfigDict(decode(_mapping(text)))


def _code(place, trusted: Sequence[str]):
    """The function, class or module at "package.module:name", if it may be named."""
    module, _, name = place.partition(":") if isinstance(place, str) else ("", "", "")
    found, owner = None, module
    if _may_be_named(module, "", trusted) and "__" not in place:
        found = importlib.import_module(module)
        for part in name.split(".") if name else ():
            found = getattr(found, part)
        # what a module merely imports, such as os, is not its own
        owner = getattr(found, "__module__" if name else "__name__", None) or ""
        name = getattr(found, "__qualname__", "") if name else ""
        if _may_be_named(owner, name, trusted):
            return found
    raise ValueError(
        f"config: expected code of {', '.join(sorted({*TRUSTED, *trusted}))} that is "
        f"no command; got {str(place)[:200]!r}. If you trust it: --trust={owner[:200]}"
    )


def _may_be_named(module: str, name: str, trusted: Sequence[str]) -> bool:
    """Whether code of a module is trusted, and no command unless told so."""

    def among(prefixes):
        return any(
            module == p or module.startswith(f"{p}.") or f"{module}:{name}" == p
            for p in prefixes
        )

    return among(trusted) or (among(TRUSTED) and not among(COMMANDS))


def _mapping(text: str) -> dict:
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"config: expected JSON; got {error}.") from None
    if not isinstance(found, dict):
        raise ValueError(f"config: expected a JSON object; got {type(found).__name__}.")
    return found


def with_defaults(text: str, defaults: str) -> str:
    """The JSON of a config, with the top-level fields that it lacks from `defaults`."""
    return json.dumps({**_mapping(defaults), **_mapping(text)}, indent=2) + "\n"


def diff(old: str, new: str, *, ignore: str | None = None) -> str:
    """What changed between two configs of `to_json`, a line a value; "" if nothing.

    The top-level field `ignore` may differ, and so may those of PLACEMENT.
    """
    old, new = (_flatten(_mapping(text)) for text in (old, new))
    lines = []
    for name in sorted(old.keys() | new.keys()):
        if name.split(".")[0] in (ignore, *PLACEMENT):
            continue
        before, after = old.get(name, "absent"), new.get(name, "absent")
        if before != after:
            lines.append(f"  {name}: {before} there, {after} here")
    return "\n".join(lines)


def _flatten(value, prefix=""):
    if not isinstance(value, Mapping) or set(value) in ({CODE}, {TUPLE}):
        if isinstance(value, Mapping):
            (value,) = value.values()
        return {prefix: json.dumps(value)}
    flat = {}
    for name, child in value.items():
        flat |= _flatten(child, f"{prefix}.{name}" if prefix else name)
    return flat


def load(path: str, overrides: Mapping | None = None) -> ml_collections.ConfigDict:
    """A config file's `get_config`, for notebooks: no flags are needed.

    Args:
      path: "configs/family/name.py", or with a mode as in "...py:smoke".
      overrides: dotted names to values, as in {"loss.beta": 2.5}.

    Raises:
      FileNotFoundError: no such file. AttributeError: an override names no field.
      ValueError: the file raises something, or has no get_config.
    """
    path, _, mode = os.path.expanduser(path).partition(":")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"config: expected a Python file; got {path}.")
    spec = importlib.util.spec_from_file_location("repr_jax_config", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(mode).lock()
    except Exception as error:  # a config is a program, and may raise anything
        kind = type(error).__name__
        raise ValueError(f"config: {path} cannot be used: {kind}: {error}.") from error
    for name, value in (overrides or {}).items():
        *parents, last = name.split(".")
        setattr(functools.reduce(getattr, parents, config), last, value)
    return config
