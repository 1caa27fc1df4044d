"""Reading files that may be damaged or out of reach, in all processes of a run alike.

Damage is what reading again cannot mend: a missing file, or content that is not what
was written. Anything else, such as a file server that does not answer, may pass.
"""

import contextlib
import gc
import io
import logging
import time

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

PAUSES = (0.0, 0.5, 2.0)  # seconds between the tries of a read that fails

FINE, DAMAGED, UNREADABLE, FATAL = range(4)  # outcomes, the worse the greater

_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_NOT_OF_FILES = (  # this machine, or this program
    MemoryError,
    jax.errors.JaxRuntimeError,
    NameError,
    ImportError,
    NotImplementedError,
)


class DamagedError(OSError):
    """Something stored is there, but files are missing or not what was written."""


def agreed(path, *phases):
    """phases[-1](...(phases[0](None))), once each has worked in every process.

    A failure is tried again at once, and one of reading a few times more.

    Raises:
      DamagedError: in some process what is in `path` is damaged.
      OSError: some process cannot read it.
    """
    for pause in (*PAUSES, None):
        result = error = None
        for phase in phases:
            try:
                result = phase(result)
            except Exception as caught:
                error = caught
            outcome, error = _outcome(error, path)
            worst, process = worst_of(outcome)
            if worst != FINE:
                break
        if worst == FINE:
            return result
        if pause is None or worst == FATAL or (worst == DAMAGED and pause):
            break
        time.sleep(pause)
    if worst == FATAL and outcome == FATAL:
        raise error
    why = reason(error) if outcome == worst else f"found by process {process}"
    if worst == DAMAGED:
        raise DamagedError(why) from error
    raise OSError(
        f"{path}: could not be read, but may be intact: {why}; nothing was deleted."
    ) from error


def _outcome(error, path):
    """What an error of reading `path` means, and the error that shows it best.

    Orbax has no error of its own for a damaged file. So it is damage if every file
    can be read whole, and still the content is not what it has to be.
    """
    if error is None:
        return FINE, None
    if isinstance(error, DamagedError):
        return DAMAGED, error
    if isinstance(error, _NOT_OF_FILES):
        return FATAL, error
    for cause in _chain(error):
        if isinstance(cause, OSError) and not isinstance(cause, _MISSING):
            return UNREADABLE, cause
    try:
        _read_all(path)
    except OSError as unreadable:
        if not isinstance(unreadable, _MISSING):
            return UNREADABLE, unreadable
    return DAMAGED, error


def _read_all(path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            _read_all(child)
    else:
        path.read_bytes()


def worst_of(outcome: int) -> tuple[int, int]:
    """(the worst outcome of all processes, the process that has it)."""
    if jax.process_count() == 1:
        return outcome, 0
    outcomes = multihost_utils.process_allgather(np.array(outcome))
    return int(outcomes.max()), int(outcomes.argmax())


def _chain(error: BaseException) -> list[BaseException]:
    """An error and its causes, the first cause last."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (
            None if error.__suppress_context__ else error.__context__
        )
    return chain


def reason(error: BaseException) -> str:
    """One line: the first cause of an error."""
    error = _chain(error)[-1]
    first = str(error).strip().split("\n")[0]
    if isinstance(error, DamagedError):
        return first
    if len(first) > 180:  # tensorstore names files first and the cause last
        first = f"{first[:60]} ... {first[-110:]}"
    return f"{type(error).__name__}: {first}"


# Orbax


def hide_tracebacks_of_orbax() -> None:
    """Its threads log each error that they also hand over, at any later time."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_no_traceback_of_orbax)


def _no_traceback_of_orbax(record: logging.LogRecord) -> bool:
    if not record.exc_info:
        return True
    text = f"{record.pathname} {record.getMessage()} {record.exc_info[1]}"
    return "orbax" not in text and "tensorstore" not in text


@contextlib.contextmanager
def orbax_alone():
    """Orbax reads what is asked, quietly, and waits for no other process.

    One whose read fails would never come; see `agreed`. Its threads report at length
    what is then said in a line.
    """
    options = ocp.options
    here = options.MultiprocessingOptions(
        primary_host=None, active_processes={jax.process_index()}
    )
    some = options.PyTreeOptions.Loading(partial_load=True)
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stderr(io.StringIO()),
            ocp.Context(
                multiprocessing_options=here,
                pytree_options=options.PyTreeOptions(loading=some),
            ),
        ):
            try:
                yield
            except Exception:
                time.sleep(0.05)  # let what orbax left behind finish and complain
                gc.collect()
                raise
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
