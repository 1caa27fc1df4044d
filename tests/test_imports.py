"""What importing the package loads, in which direction, and that it takes no device."""

import importlib.util
import subprocess
import sys

import pytest

FOREIGN = {"absl", "chex", "etils", "flax", "matplotlib", "ml_collections", "networkx"}
FOREIGN |= {"optax", "orbax", "PIL", "scipy", "sklearn", "tensorflow_datasets", "tqdm"}
LIBRARY = [f"repr_jax/{name}" for name in ("losses", "ops", "metrics", "estimators")]


@pytest.fixture(scope="module")
def imports(repository):
    """The file that also draws the graph."""
    path = repository / ".ci" / "imports.py"
    spec = importlib.util.spec_from_file_location("imports", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph(imports, repository):
    """{module: modules of ours that it imports}."""
    return imports.graph_of(repository)


def without_commands(imports, repository, *folders):
    """Importing repr_jax/estimators/hierarchy/__main__.py would run it.

    Nor programs of peers, which need packages that are not here.
    """
    names = imports.names_of(repository, *folders)
    return sorted(
        name for name in names if ".peers." not in name and "__main__" not in name
    )


def circles(graph):
    """Sets of modules that import one another, by taking away those that end."""
    left = {name: targets - {name} for name, targets in graph.items()}
    while ends := {name for name, targets in left.items() if not targets & set(left)}:
        left = {name: targets for name, targets in left.items() if name not in ends}
    while starts := set(left) - set().union(*left.values()):
        left = {name: targets for name, targets in left.items() if name not in starts}
    return sorted(left)


def test_imports_point_one_way(imports, graph):
    wrong = [
        f"{name} imports {target}"
        for name, targets in graph.items()
        for target in targets
        if imports.layer(target) > imports.layer(name)
    ]
    assert not wrong


def test_the_page_shows_every_part_and_module(imports, graph):
    parts = imports.parts_of(graph)
    assert {"configs", "experiments", "repr_jax.train", "repr_jax.ops"} <= set(parts)
    assert "repr_jax.losses" in parts["experiments"] | parts["configs"]
    shown = imports.page(graph)
    assert shown.count("<rect x=") == len(parts)
    for name, targets in graph.items():
        line = f"<td>{name}</td><td>{', '.join(sorted(targets)) or '-'}</td>"
        assert line in shown
    levels = [level for level, _ in imports.rows_of(parts)]
    assert levels == sorted(levels, reverse=True)
    chain = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert imports.without_implied(chain) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_no_circle_of_imports(graph):
    assert not circles(graph)
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c"]


def run(repository, script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_library_needs_jax_and_numpy_alone(imports, repository):
    """All of losses, ops, metrics and estimators; not counting what jax loads."""
    script = (
        "import importlib, sys, numpy, jax, jax.scipy.linalg, jax.scipy.sparse.linalg\n"
        "before = set(sys.modules)\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})\n"
    )
    loaded = run(repository, script, *without_commands(imports, repository, *LIBRARY))
    assert "repr_jax" in loaded
    assert not loaded & FOREIGN


def test_tests_of_losses_start_where_jax_and_numpy_are_alone(repository):
    """As on the other Pythons of .ci/run: conftest.py imports nothing else."""
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(sys.argv[1:]))\n"
        "import tests.conftest\n"
        "print('started')\n"
    )
    absent = FOREIGN - {"scipy"}  # which jax needs
    assert run(repository, script, *absent) == {"started"}


def test_importing_everything_takes_no_device(imports, repository):
    """Only before there is a device can their number be set."""
    script = (
        "import importlib, sys, jax\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "jax.config.update('jax_num_cpu_devices', 3)\n"
        "print(jax.local_device_count())\n"
    )
    folders = ("repr_jax", "experiments", "configs")
    assert run(
        repository, script, *without_commands(imports, repository, *folders)
    ) == {"3"}
