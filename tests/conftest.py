"""Four CPU devices for every test, quick compilation, no silent rank promotion."""

import ctypes
import gc
import os
import pathlib
import signal
import subprocess
import sys

import jax
import jaxlib
import numpy as np
import pytest

from experiments.launch import local
from tests import forked as forked_commands
from tests import older_jax, runs

NUM_DEVICES = 4
QUICK = (
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".pytest_cache"
DROP_ABOVE = 3 << 29  # bytes: compiled programs that are kept, and all the rest
LIBC = ctypes.CDLL(None)


def xla_knows(flag: str) -> bool:
    """Whether this XLA has the flag: one that has not aborts the process.

    So a child process tries it, once per release of jaxlib.
    """
    answer = CACHE / f"jaxlib-{jaxlib.__version__}{flag.partition('=')[0]}"
    if not answer.is_file():
        environment = {**os.environ, "XLA_FLAGS": flag, "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", "import jax; jax.devices()"]
        tried = subprocess.run(command, env=environment, capture_output=True)
        CACHE.mkdir(exist_ok=True)
        answer.write_text("known" if tried.returncode == 0 else "unknown")
    return answer.read_text() == "known"


def add_xla_flag(flag: str) -> None:
    """In this process and those that it starts; once, as workers inherit it."""
    flags = os.environ.get("XLA_FLAGS", "").replace(flag, "").strip()
    os.environ["XLA_FLAGS"] = f"{flags} {flag}"


# Most of the suite's time would be the compiler's, so it is told to spare itself, also
# in processes that tests start. FULL_COMPILATION=1 leaves it as users have it;
# test_full_compilation.py does so for tests in which rounding or lowering matter.
if not os.environ.get("FULL_COMPILATION"):
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    jax.config.update("jax_disable_most_optimizations", True)
    for flag in filter(xla_knows, QUICK):
        add_xla_flag(flag)

# What a job in the background is told to ignore, the processes that tests start heed.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# The processes that tests start read the package compiled, wherever Python is told to
# keep nothing.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Compiled programs are shared by workers, by the processes that tests start, and by
# the next run of the suite.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE / "jax"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
if hasattr(jax.config, "jax_num_cpu_devices"):
    jax.config.update("jax_num_cpu_devices", NUM_DEVICES)
else:  # JAX before 0.5
    add_xla_flag(f"--xla_force_host_platform_device_count={NUM_DEVICES}")
older_jax.give_present_names()
# What is traced stays: to walk all of it for garbage is left to the teardown below.
gc.set_threshold(10_000, 10, 10_000)


def resident_bytes() -> int:
    """Memory that this process has now; 0 where the system does not say."""
    status = pathlib.Path("/proc/self/statm")
    pages = int(status.read_text().split()[1]) if status.is_file() else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Drops compiled programs where they are many; small ones serve the next file too.

    A worker would otherwise keep those of all its tests: 6 GB. The allocator is asked
    to give back what they took, as it keeps it for later.
    """
    if resident_bytes() < DROP_ABOVE:
        return
    jax.clear_caches()
    gc.collect()
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)


def pytest_collection_modifyitems(items):
    """The files beside this one first: their long tests would be what ends the suite,
    one worker waiting for the other.
    """
    items.sort(key=lambda item: item.path.parent != pathlib.Path(__file__).parent)


@pytest.fixture(scope="session")
def full_compilation():
    """For a test whose rounding quick compilation changes; see the note above."""
    if not os.environ.get("FULL_COMPILATION"):
        pytest.skip("test_full_compilation.py runs it")


@pytest.fixture(scope="session")
def repository():
    """The folder that holds configs/, experiments/ and repr_jax/."""
    return REPOSITORY


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """start(*arguments of python, ...) -> process, as `local.started`."""

    def start(*command, **which):
        return local.started(start.log(), *command, **which)

    start.log = lambda: tmp_path_factory.mktemp("log") / "output"
    return start


@pytest.fixture(scope="session")
def forked(tmp_path_factory):
    """forked(module, arguments, folder) -> (exit code, what was printed), of a command.

    Its folder is one below others, for ., .., ../.. and ~, too, unless given.
    """
    home = tmp_path_factory.mktemp("here") / "a" / "b"
    home.mkdir(parents=True)
    output = tmp_path_factory.mktemp("output") / "text"
    with forked_commands.commands(REPOSITORY, home, output) as run:
        yield run


@pytest.fixture(scope="session")
def tiny():
    """The file of a config of 30 small steps."""
    return runs.TINY


@pytest.fixture(scope="session")
def unbroken(start, tiny, tmp_path_factory):
    """The workdir of a run of `tiny` that nothing happened to."""
    from repr_jax import logs  # which an install of jax and numpy alone cannot import

    workdir = tmp_path_factory.mktemp("unbroken") / "run"
    with start(*runs.command(tiny, workdir)) as process:
        runs.finish(process)
    assert [row["step"] for row in logs.read(workdir)] == list(range(2, 31, 2))
    return workdir


@pytest.fixture(scope="session")
def tfds_data_dir():
    """A prepared tensorflow-datasets folder with MNIST; the test is skipped without."""
    found = os.environ.get("REPR_JAX_TFDS_DATA_DIR")
    path = pathlib.Path(found or REPOSITORY.parent / "shared/data/tensorflow_datasets")
    if not (path / "mnist").is_dir():
        pytest.skip(f"needs MNIST prepared by tensorflow-datasets; none in {path}")
    return str(path)


@pytest.fixture(scope="session")
def emoji_file(tmp_path_factory):
    """A file in the form of `data.emoji`: ten emoji, the last two in three tones."""
    rng = np.random.default_rng(0)
    base = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 9, 9, 9])
    tone = np.array([-1] * 8 + [0, 1, 5] * 2)
    images = rng.integers(256, size=(2, len(base), 32, 32, 3), dtype=np.uint8)
    things = (
        "sun",
        "moon",
        "star",
        "apple",
        "pear",
        "plum",
        "cat",
        "dog",
        "hand",
        "nose",
    )
    path = tmp_path_factory.mktemp("emoji") / "emoji.npz"
    np.savez(
        path,
        noto=images[0],
        twemoji=images[1],
        name=np.array([f"bright {things[b]}" for b in base]),
        category=base % 3,
        subcategory=base % 6,
        category_names=np.array(["sky", "food", "life"]),
        subcategory_names=np.array(["a", "b", "c", "d", "e", "f"]),
        base=base,
        tone=tone,
    )
    return str(path)


@pytest.fixture
def fake_tfds(tmp_path):
    """A folder where sets of images seem to be prepared, with ten random ones each."""
    import tensorflow_datasets as tfds

    from repr_jax.data import tfds_images

    for name in ("celeb_a", "cifar10", "cifar100", "food101", "imagenet2012"):
        (tmp_path / name).mkdir()
    with tfds.testing.mock_data(num_examples=10):
        yield str(tmp_path)
    tfds_images.arrays.cache_clear()


@pytest.fixture(scope="session")
def installed_wordnet():
    """WordNet's nouns, which Debian packages; the test is skipped without them."""
    from repr_jax.data import wordnet

    if not pathlib.Path(wordnet.DEBIAN).is_file():
        pytest.skip(f"needs WordNet's {wordnet.DEBIAN}, of Debian's wordnet-base")
    return wordnet.DEBIAN


@pytest.fixture(scope="session")
def real_emoji_file():
    """The emoji of two artists; the test is skipped without them."""
    found = os.environ.get("REPR_JAX_EMOJI")
    path = pathlib.Path(found or REPOSITORY.parent / "shared/data/emoji.npz")
    if not path.is_file():
        pytest.skip(f"needs a file of emoji; none at {path}")
    return str(path)


@pytest.fixture(scope="session")
def people_file(tmp_path_factory):
    """Ten persons in all tones, one in three tones, a hand in all and an apple."""
    base = np.repeat(np.arange(13), [6] * 10 + [3, 6, 1])
    tone = np.concatenate([np.tile(np.arange(6), 10), [0, 1, 5], np.arange(6), [-1]])
    subcategory = np.array([0] * 30 + [1] * 33 + [2] * 6 + [3])
    value = 10 * base + tone
    images = np.broadcast_to(value[:, None, None, None], (len(base), 32, 32, 3))
    path = tmp_path_factory.mktemp("people") / "emoji.npz"
    np.savez(
        path,
        noto=images.astype(np.uint8),
        twemoji=(images + 120).astype(np.uint8),
        name=np.array([f"thing {b}" for b in base]),
        category=np.zeros(len(base), int),
        subcategory=subcategory,
        base=base,
        tone=tone,
        category_names=np.array(["all"]),
        subcategory_names=np.array(["person", "person-role", "hands", "food"]),
    )
    return str(path)
