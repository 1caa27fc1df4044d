"""Trains what a config describes, evaluates it, and writes a report.

  python -m repr_jax.main --config=configs/multimodal/mopoe_polymnist.py --workdir=DIR

The same command continues a run that was stopped, and only evaluates one that is
finished. Any value of the config can be set: --config.batch_size=128. Two steps on a
laptop: --config=...py:smoke. Without --config, the one stored in the workdir is used.

Exit codes: 0 done; 2 the input was wrong, and the one line says what; 3 a loss or a
gradient was not finite; 143 stopped by SIGTERM, and the same command continues.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import sys

from absl import app, flags, logging
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Path of a config file, or path.py:smoke.", lock_config=True
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for checkpoints, metrics and the report; created."
)
MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "eval"], "train also evaluates at the end."
)
STEP = flags.DEFINE_integer(
    "step", None, "Evaluate the checkpoint of this step, not the newest one."
)
DISTRIBUTED = flags.DEFINE_enum(
    "distributed",
    "auto",
    ["auto", "none", "env"],
    "Which processes make up the run: asks the launcher (TPU, Slurm, MPI, Kubernetes) "
    "if there is one; this process alone; or JAX_COORDINATOR_ADDRESS, "
    "JAX_NUM_PROCESSES and JAX_PROCESS_ID.",
)
CACHE = flags.DEFINE_string(
    "compilation_cache",
    os.path.join("~", ".cache", "repr_jax", "compilation"),
    "Folder of compiled programs, reused by later runs; empty for none. The variable "
    "JAX_COMPILATION_CACHE_DIR wins.",
)
TRACEBACK = flags.DEFINE_bool(
    "traceback", False, "Show where an error came from, and not one line alone."
)

CONFIG_FILE = "config.json"
INPUT_ERRORS = (ValueError, TypeError, AttributeError, OSError, ImportError)


def main(argv) -> None:
    """Runs with parsed flags; see the module's docstring."""
    if len(argv) > 1:
        _exit(2, f"expected flags alone; got {' '.join(argv[1:])}.")
    if not WORKDIR.value:
        _exit(2, "expected --workdir=DIR; got none.")
    from repr_jax.checkpoint import DamagedError
    from repr_jax.train import Interrupted, NonFiniteError

    try:
        run()
    except NonFiniteError as error:
        _exit(3, error)
    except Interrupted as error:
        print(f"{error} The same command continues.", file=sys.stderr)
        sys.exit(143)
    except DamagedError as error:
        _exit(2, error)


def run() -> None:
    """Trains unless finished, evaluates, reports."""
    from repr_jax import evaluate, sharding, train

    try:
        config, parts, workdir = _prepare()
    except INPUT_ERRORS as error:
        if TRACEBACK.value:
            raise
        _exit(2, error)
    if MODE.value == "train":
        train.train(config, workdir, parts=parts)
    evaluate.evaluate(config, workdir, step=STEP.value, parts=parts)
    if sharding.is_main_process():
        print(f"report: {workdir / 'report' / 'index.html'}")


def _prepare():
    """Config, what it is bound to, and workdir: all that a user can get wrong."""
    import jax
    from etils import epath

    from repr_jax import sharding, train

    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # orbax has much to say otherwise
    _use_cache(jax)
    sharding.initialize(DISTRIBUTED.value)
    workdir = epath.Path(WORKDIR.value)
    config = _resolve(workdir)
    parts = train.build(config)
    train.abstract_state(config, parts)  # traces the loss
    if MODE.value == "train" and sharding.is_main_process():
        _describe(config, workdir)
    return config, parts, workdir


def _resolve(workdir):
    """The config of the flags; but for `evals` it must be the workdir's, if any.

    Raises:
      ValueError: the two differ; the message is the difference.
      FileNotFoundError: there is neither.
    """
    from repr_jax import config as configs

    stored = workdir / CONFIG_FILE
    if CONFIG.value is None:
        if not stored.exists():
            raise FileNotFoundError(
                f"expected --config=FILE.py, or a workdir with {CONFIG_FILE}; got "
                f"neither (workdir {workdir})."
            )
        return configs.from_json(stored.read_text())
    text = configs.to_json(CONFIG.value)
    if stored.exists():
        changes = configs.diff(stored.read_text(), text, ignore="evals")
        if changes:
            raise ValueError(
                f"{workdir}: written by another config; use another --workdir, or the "
                f"values there:\n{changes}"
            )
    elif MODE.value == "eval":
        raise FileNotFoundError(f"{workdir}: expected a run to evaluate; got none.")
    return CONFIG.value


def _describe(config, workdir):
    """Stores the resolved config, and once per start what ran where."""
    import jax

    from repr_jax import config as configs

    workdir.mkdir(parents=True, exist_ok=True)
    partial = workdir / (CONFIG_FILE + ".partial")
    partial.write_text(configs.to_json(config))
    partial.replace(workdir / CONFIG_FILE)
    packages = ("repr-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
    overrides = {}
    if CONFIG.value is not None:
        overrides = config_flags.get_override_values(flags.FLAGS["config"])
    start = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "arguments": sys.argv[1:],
        "overrides": {name: str(value) for name, value in overrides.items()},
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "cores": os.cpu_count(),
    }
    with (workdir / "starts.jsonl").open("a") as file:
        file.write(json.dumps(start) + "\n")


def _use_cache(jax):
    """Compiled programs are kept on disk, small ones too."""
    if CACHE.value and not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(CACHE.value))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _exit(code, error):
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


def _parse(argv):
    """Parses flags; what is wrong with --config is one line, too."""
    try:
        arguments = flags.FLAGS(argv)
        if CONFIG.value is not None:
            len(CONFIG.value.keys())  # raises if there was no such file
        return arguments
    except (flags.Error, KeyError, *INPUT_ERRORS) as error:
        text = error.args[0] if isinstance(error, KeyError) else error  # no quotes
        _exit(2, " ".join(str(text).split()))


if __name__ == "__main__":
    app.run(main, flags_parser=_parse)
