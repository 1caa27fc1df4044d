"""What importing the package loads, in which direction, and that it takes no device."""

import ast
import subprocess
import sys

import pytest

FOREIGN = {"absl", "chex", "etils", "flax", "matplotlib", "ml_collections", "networkx"}
FOREIGN |= {"optax", "orbax", "PIL", "scipy", "sklearn", "tensorflow_datasets", "tqdm"}
LIBRARY = [f"repr_jax/{name}" for name in ("losses", "ops", "metrics", "estimators")]

# Imports go from a layer to itself or to a lower one. Modules that are not listed, such
# as train, and experiments and configs are the highest layer.
LAYERS = {"ops": 0, "files": 0, "last_words": 0, "trees": 1}
LAYERS |= dict.fromkeys(("losses", "metrics", "estimators"), 2)
LAYERS |= dict.fromkeys(("config", "figures", "optim", "sharding"), 1)
LAYERS |= dict.fromkeys(("models", "data", "evaluators"), 3)


def names_of(repository, *folders):
    """{name of a module: its path} of all that are below the folders."""
    found = {}
    for folder in folders:
        for path in sorted((repository / folder).rglob("*.py")):
            parts = path.relative_to(repository).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def without_commands(repository, *folders):
    """Importing repr_jax/estimators/hierarchy/__main__.py would run it."""
    names = names_of(repository, *folders)
    return sorted(name for name in names if not name.endswith("__main__"))


def layer(name):
    top, _, rest = name.partition(".")
    return LAYERS.get(rest.partition(".")[0], 4) if top == "repr_jax" else 4


def imported(path, modules):
    """Modules of ours that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}
    return found & set(modules)


def circles(graph):
    """Sets of modules that import one another, by taking away those that end."""
    left = {name: targets - {name} for name, targets in graph.items()}
    while ends := {name for name, targets in left.items() if not targets & set(left)}:
        left = {name: targets for name, targets in left.items() if name not in ends}
    while starts := set(left) - set().union(*left.values()):
        left = {name: targets for name, targets in left.items() if name not in starts}
    return sorted(left)


@pytest.fixture(scope="module")
def graph(repository):
    """{module: modules of ours that it imports}."""
    modules = names_of(repository, "repr_jax", "experiments", "configs")
    return {name: imported(path, modules) for name, path in modules.items()}


def test_imports_point_one_way(graph):
    wrong = [
        f"{name} imports {target}"
        for name, targets in graph.items()
        for target in targets
        if layer(target) > layer(name)
    ]
    assert not wrong


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


def test_the_library_needs_jax_and_numpy_alone(repository):
    """All of losses, ops, metrics and estimators; not counting what jax loads."""
    script = (
        "import importlib, sys, numpy, jax, jax.scipy.linalg, jax.scipy.sparse.linalg\n"
        "before = set(sys.modules)\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})\n"
    )
    loaded = run(repository, script, *without_commands(repository, *LIBRARY))
    assert "repr_jax" in loaded
    assert not loaded & FOREIGN


def test_importing_everything_takes_no_device(repository):
    """Only before there is a device can their number be set."""
    script = (
        "import importlib, sys, jax\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "jax.config.update('jax_num_cpu_devices', 3)\n"
        "print(jax.local_device_count())\n"
    )
    folders = ("repr_jax", "experiments", "configs")
    assert run(repository, script, *without_commands(repository, *folders)) == {"3"}
