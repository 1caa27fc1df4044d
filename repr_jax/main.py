"""Trains what a config describes, evaluates it, and writes a report.

  python -m repr_jax.main --config=configs/multimodal/mopoe_polymnist.py --workdir=DIR

The same command continues a run that was stopped, and only evaluates one that is
finished. Any value of the config can be set: --config.batch_size=128. Two steps on a
laptop: --config=...py:smoke. Without --config, the one stored in the workdir is used.

Exit codes: 0 done; 2 an input, a file or the disk was wrong, and the one line says what
(--traceback shows where); 3 a loss or a gradient was not finite; 128 + the signal's
number, 143 for SIGTERM, stopped by it, and the same command continues, also after 134,
another process of the run died.
"""

import atexit
import contextlib
import gc
import os
import re
import signal
import sys
import time
from importlib.util import find_spec

if __name__ == "__main__":  # before the imports, which take seconds or would fail
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends us as SIGTERM does
    for _number, _name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, _name) is None:  # or a file of the run would get its number
            _null = os.open(os.devnull, os.O_RDWR)
            os.dup2(_null, _number)
            setattr(sys, _name, os.fdopen(_number, "w" if _number else "r"))
    for _names, _way in (
        (
            ("absl", "etils", "flax", "ml_collections", "optax", "orbax"),
            "pip install 'repr-jax[train]'",
        ),
        (
            ("configs", "experiments"),
            "experiments are launched from the folder of a checkout of the repository",
        ),
    ):
        if _missing := [name for name in _names if find_spec(name) is None]:
            print(f"error: found no {', '.join(_missing)}: {_way}.", file=sys.stderr)
            sys.exit(2)

from absl import app, flags, logging
from ml_collections import config_flags

from repr_jax import memory

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Path of a config file, or path.py:smoke.", lock_config=True
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for checkpoints, metrics and the report; created."
)
MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "eval"], "train also evaluates at the end."
)
STEP = flags.DEFINE_string(
    "step",
    None,
    'Evaluate the checkpoint of this step, or the "best" one, by '
    "config.best_metric; the newest otherwise.",
)
TRUST = flags.DEFINE_list(
    "trust",
    [],
    "Packages or modules whose code the config.json of --workdir may name, besides "
    "the parts of methods in this project, jax, flax and optax.",
)
AMEND = flags.DEFINE_bool(
    "amend",
    False,
    "Go on in the workdir of another config, with the values of this "
    "one; starts.jsonl records what changed. After a loss that was not finite, say.",
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

INPUT_ERRORS = (ValueError, TypeError, AttributeError, OSError, ImportError)
EXPECTED = (flags.Error, KeyError, *INPUT_ERRORS)  # of flags
# How an error of a computation begins that jaxlib raises as a ValueError, as it does
# where an array is read that another process did not live to send.
OF_XLA = re.compile(
    "(ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|UNKNOWN): "
)


def main(argv) -> None:
    """Runs with parsed flags; see the module's docstring."""
    if len(argv) > 1:
        _exit(2, f"expected flags alone; got {' '.join(argv[1:])}.")
    if not WORKDIR.value:
        _exit(2, "expected --workdir=DIR; got none.")
    if memory.is_of_cpu():
        memory.keep()  # before jax starts threads
    import jax

    from repr_jax.train import Interrupted, NonFiniteError

    try:
        _run()
    except RuntimeError as error:  # jaxlib's, or jax's where devices are first used
        if isinstance(error, jax.errors.JaxRuntimeError) or OF_XLA.search(str(error)):
            _wait_for_the_name_of_the_dead(jax)
        raise
    except NonFiniteError as error:
        way_on = (
            "To go on from there with other values: the same command with --amend and, "
            "say, a lower --config.optimizer.learning_rate."
        )
        _exit(3, f"{error} {way_on}")
    except Interrupted as error:
        _exit(128 + error.signal, f"{error} The same command continues.", kind="")
    except INPUT_ERRORS as error:
        if OF_XLA.match(str(error)):
            _wait_for_the_name_of_the_dead(jax)
            raise
        if TRACEBACK.value:
            raise
        if not jax.distributed.is_initialized():
            _exit(2, error)
        # The others may know nothing of it, and jax would wait for them.
        with contextlib.suppress(SystemExit):
            _exit(2, error)
        sys.stdout.flush()
        time.sleep(5.0 * (jax.process_index() == 0))  # or all would miss process 0
        os._exit(2)


def _wait_for_the_name_of_the_dead(jax):
    """In a run of several processes jax ends this one once it knows who is gone."""
    from repr_jax import sharding

    if jax.distributed.is_initialized():
        time.sleep(sharding.HEARTBEAT + 2)


def _run() -> None:
    """Trains unless finished, evaluates, reports."""
    config, parts, workdir = _prepare()
    from repr_jax import run, sharding

    if MODE.value == "train":
        notes = {"arguments": sys.argv[1:], "overrides": _overrides()}
        run.train(config, workdir, parts=parts, amend=AMEND.value, notes=notes)
        sharding.end_at_sigterm()
    step = int(STEP.value) if STEP.value and STEP.value != "best" else STEP.value
    run.evaluate(config, workdir, step=step or None, parts=parts)


def _prepare():
    """Config, what it is bound to, and workdir."""
    import jax
    from etils import epath

    from repr_jax import run, sharding
    from repr_jax.workdir import records

    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # orbax has much to say otherwise
    if STEP.value and STEP.value != "best" and not STEP.value.isdecimal():
        raise ValueError(f'--step: expected a number or "best"; got {STEP.value!r}.')
    _use_cache(jax)
    sharding.initialize(DISTRIBUTED.value)
    if MODE.value == "eval":
        sharding.end_at_sigterm()
    workdir = epath.Path(WORKDIR.value).expanduser()
    config = CONFIG.value
    if config is None:
        if not (workdir / records.CONFIG_FILE).exists():
            raise FileNotFoundError(
                "expected --config=FILE.py, or a workdir with config.json; got "
                f"neither (workdir {workdir})."
            )
        config = records.stored_config(workdir, trusted=TRUST.value)
    elif MODE.value == "eval":
        records.stored_text(workdir)  # raises if there is none
    records.check_workdir(config, workdir, amend=AMEND.value)
    return config, run.build(config), workdir


def _overrides() -> dict[str, str]:
    if CONFIG.value is None:
        return {}
    found = config_flags.get_override_values(flags.FLAGS["config"])
    return {name: str(value) for name, value in found.items()}


def _use_cache(jax):
    """Compiled programs are kept on disk, small ones too."""
    if CACHE.value and not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(CACHE.value))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _exit(code, text, kind="error: "):
    if isinstance(text, TypeError | AttributeError) and ": " not in str(text):
        text = f"{text} (--traceback shows where)"  # Python's own words
    with contextlib.suppress(OSError):  # a terminal may be closed at any time
        print(f"{kind}{text}", file=sys.stderr)
    sys.exit(code)


def _unraisable(found):
    """After a failed write orbax's threads call back to what has ended by then."""
    if str(found.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(found)


def _missing_field(error, argv) -> str:
    """What a KeyError, which names a field alone, means for the flag that it is of."""
    while isinstance(error, KeyError | AttributeError) and error.args:
        error = error.args[0]  # of the KeyError that an AttributeError may hold
    name, *suggestion = str(error).splitlines()
    name = name.strip("'")
    for argument in argv:
        if name in argument.partition("=")[0].split(".")[1:]:
            text = f"{argument}: expected a field that the config sets; got {name!r}."
            return " ".join([text, *suggestion])
    return str(error)


def _parse(argv):
    """Parses flags; what is wrong with --config is one line, too."""
    argv = [
        f"--config={os.path.expanduser(argument.partition('=')[2])}"
        if argument.startswith(("--config=~", "-config=~"))
        else argument
        for argument in argv
    ]
    try:
        arguments = flags.FLAGS(argv)
        if CONFIG.value is not None:
            len(CONFIG.value.keys())  # raises if there was no such file
        return arguments
    except Exception as error:  # a config is a program, and may raise anything
        of_a_field = isinstance(error, KeyError | AttributeError)
        text = _missing_field(error, argv) if of_a_field else error
        kind = "" if isinstance(error, EXPECTED) else f"{type(error).__name__}: "
        _exit(2, " ".join(f"{kind}{text}".split()))


if __name__ == "__main__":
    sys.unraisablehook = _unraisable
    atexit.register(gc.freeze)  # or the end takes a second of looking for garbage
    app.run(main, flags_parser=_parse)
