"""config.json, what a run was told, and starts.jsonl, a line for each of its starts."""

import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence

import jax
from etils import epath

from repr_jax import config as configs
from repr_jax import files

CONFIG_FILE = "config.json"
STARTS_FILE = "starts.jsonl"
# What is read of its lines.
_FIELDS = {"sha256": str, "revision": str, "hardware": str}
_FIELDS |= {"overrides": dict, "arguments": list}


def stored_text(workdir) -> str:
    """The JSON of a run's config; fields that an older one lacks have their defaults.

    Raises:
      FileNotFoundError: there is none. ValueError: it is no JSON of a config.
    """
    from configs.base import base  # of the checkout that experiments are run from

    path = epath.Path(workdir).expanduser() / CONFIG_FILE
    if not path.exists():
        raise FileNotFoundError(
            f"{workdir}: expected a run with {CONFIG_FILE}; got none."
        )
    text = files.read_text("config", path)
    try:
        return configs.with_defaults(text, configs.to_json(base()))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None


def stored_config(workdir, *, trusted: Sequence[str] = ()):
    """The config of a run, which names code of this project and of `trusted` packages.

    Raises:
      FileNotFoundError: there is none. ValueError: it names other code, or is not what
        any start of the run wrote.
    """
    text = stored_text(workdir)
    path = epath.Path(workdir).expanduser() / CONFIG_FILE
    written = {line["sha256"] for line in _starts(workdir) if "sha256" in line}
    if written and _digest(path.read_bytes()) not in written:
        raise ValueError(
            f"{path}: expected what a start of the run wrote; got other content. If it "
            f"was edited on purpose: give --config, or remove {STARTS_FILE}."
        )
    try:
        config = configs.from_json(text, trusted=trusted)
        configs.check_fields(config)
    except (ValueError, ImportError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    return config


def check_workdir(config, workdir, *, amend: bool = False) -> str:
    """What differs between a config and the workdir's, but for `evals`; "" if nothing.

    Raises:
      ValueError: they differ, and may not.
    """
    if not (epath.Path(workdir).expanduser() / CONFIG_FILE).exists():
        return ""
    here = configs.to_json(config)
    changes = configs.diff(stored_text(workdir), here, ignore="evals")
    if changes and not amend:
        raise ValueError(
            f"{workdir}: written by another config; use another --workdir, or the "
            f"values there, or --amend to go on with those here:\n{changes}"
        )
    return changes


def record(config, workdir, *, step: int, changes: str = "", notes=None) -> None:
    """Stores the resolved config, and once per start what ran where."""
    workdir = epath.Path(workdir).expanduser()
    workdir.mkdir(parents=True, exist_ok=True)
    text = configs.to_json(config)
    note_start(
        workdir,
        step=step,
        changes=changes.split("\n") if changes else [],
        sha256=_digest(text.encode()),  # of config.json, which is written after it
        processes=jax.process_count(),
        **(notes or {}),
    )
    files.write(workdir / CONFIG_FILE, text)


def note_start(workdir, **notes) -> None:
    """Adds a line to starts.jsonl: when, by which revision, on what, and the notes."""
    packages = ("repr-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
    line = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "revision": revision(),
        "python": platform.python_version(),
        "hardware": hardware(),
        **notes,
    }
    path = epath.Path(workdir).expanduser() / STARTS_FILE
    lines = path.read_bytes() if path.exists() else b""
    if lines and not lines.endswith(b"\n"):  # as a copy that was cut short
        lines += b"\n"
    files.write(path, lines + json.dumps(line).encode() + b"\n")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@functools.cache
def revision() -> str:
    """The short commit of the checkout, with a + if it has changes; "" if unknown."""
    folder = pathlib.Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return ""
    return found.stdout.strip()


def hardware() -> str:
    """The processor, its cores that this process may use, and other devices."""
    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    text = f"{cores} cores of {model}"
    devices = [d.device_kind for d in jax.devices() if d.platform != "cpu"]
    return f"{text}, {len(devices)} x {devices[0]}" if devices else text


def origin(workdirs: Iterable) -> dict[str, str]:
    """Revision and hardware of the starts of runs; those of now where none says."""
    starts = [line for workdir in workdirs for line in _starts(workdir)]
    known = {"revision": revision, "hardware": hardware}
    found = {
        name: dict.fromkeys(filter(None, (line.get(name) for line in starts)))
        for name in known
    }
    return {name: "; ".join(found[name]) or now() for name, now in known.items()}


def facts(config, step: int, workdir) -> dict:
    """What a report says of the run in its heading; "" for what is not known.

    The config's path, what was set on the command line, and the revision are those of
    the newest line of starts.jsonl that has them.
    """

    def name(choice):
        fn = choice.get("fn") if hasattr(choice, "get") else choice
        return f"{fn.__module__}.{fn.__qualname__}".removeprefix("repr_jax.")

    method = config.get("loss") or config.get("estimator") or config.experiment
    if hasattr(method, "get") and method.get("fn") is None:  # a loss for each player
        method = config.experiment
    starts, now = _starts(workdir), revision()
    trained_by = next((line["revision"] for line in starts if "revision" in line), now)
    by = f"{trained_by}, evaluated by {now}" if trained_by != now else now
    overrides = starts[0].get("overrides", {}) if starts else {}
    return {
        "method": name(method),
        "data": name(config.dataset),
        "config": next(filter(None, map(_config_path, starts)), ""),
        "set": ", ".join(f"{key}={value}" for key, value in overrides.items()),
        "seed": config.seed,
        "step": step,
        "revision": by,
    }


def _starts(workdir) -> list[dict]:
    """The lines of starts.jsonl that are whole, newest first."""
    path = epath.Path(workdir).expanduser() / STARTS_FILE
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    found = []
    for line in reversed(lines):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):  # a start was killed while it wrote
            continue
    return [line for line in found if _is_start(line)]


def _is_start(line) -> bool:
    """Whether it is a dict whose fields are of their types."""
    if not isinstance(line, dict):
        return False
    fields = [isinstance(line.get(n, kind()), kind) for n, kind in _FIELDS.items()]
    return all(fields) and all(isinstance(w, str) for w in line.get("arguments", []))


def _config_path(line: Mapping) -> str:
    """What --config was in a start's command line; "" if it was not."""
    arguments = line.get("arguments", ())
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and flag == "config":
            return value if equals else "".join(arguments[place + 1 : place + 2])
    return ""
