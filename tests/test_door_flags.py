"""Whatever a command is given: exit code 2 and what is wrong, never a traceback.

REPR_JAX_FUZZ=300 tries more than the suite has time for.
"""

import os
import random

import numpy as np
import pytest

from repr_jax import config as configs
from tests.runs import CONFIG

NUM_CASES = int(os.environ.get("REPR_JAX_FUZZ", 36))

VALUES = ["abc", "-1", "0", "nan", "inf", "-inf", "1e400", "()", "(1,2)", "[1]", "None"]
VALUES += ["True", "{}", "'", "", " ", "1.5", "ü", "../..", "/dev/null", "~", "$HOME"]
VALUES += ["best", "1,2", "a=b", "=", "\n", "%s", "{}{0}", "/nowhere/at/all", "."]
VALUES += [300 * "x"]
FLAGS = ["config", "workdir", "step", "mode", "distributed", "trust", "amend"]
FLAGS += ["compilation_cache", "unknown", *["value"] * 4]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with files of every kind, whole and broken, and a config."""
    folder = tmp_path_factory.mktemp("files")
    text = CONFIG.replace("num_steps = 30", "num_steps = 4")
    (folder / "tiny.py").write_text(text)
    (folder / "broken.py").write_text("def get_config(mode='')\n    return 1")
    (folder / "raises.py").write_text("def get_config(mode=''):\n    return 1 / 0")
    (folder / "number.py").write_text("def get_config(mode=''):\n    return 7")
    (folder / "empty.py").write_text("")
    (folder / "imports.py").write_text("import nowhere_at_all")
    rng = np.random.default_rng(0)
    np.save(folder / "logits.npy", rng.normal(size=(40, 5)).astype(np.float32))
    np.save(folder / "labels.npy", np.arange(40) % 5)
    np.save(folder / "nan.npy", np.full((4, 3), np.nan))
    np.save(folder / "object.npy", np.array([{}, 1], object), allow_pickle=True)
    np.save(folder / "text.npy", np.array(["a", "b"]))
    np.save(folder / "scalar.npy", np.float32(3))
    np.savez(folder / "some.npz", a=np.zeros(3))
    whole = (folder / "logits.npy").read_bytes()
    (folder / "cut.npy").write_bytes(whole[:100])
    (folder / "noise.npy").write_bytes(rng.bytes(200))
    (folder / "noise.npz").write_bytes(rng.bytes(200))
    (folder / "names.txt").write_text("\ufeffa\nb\n$c\nd\ne\n")
    (folder / "latin.txt").write_bytes("é\nb\nc\nd\ne\n".encode("latin1"))
    (folder / "names.json").write_text('["a", "b"')
    (folder / "run").mkdir()
    (folder / "run" / "config.json").write_text('{"seed": 1}')
    (folder / "bad").mkdir()
    (folder / "bad" / "config.json").write_bytes(b"\xff\xfe{")
    (folder / "link").symlink_to(folder / "nowhere")
    return folder


def of_main(rng, files):
    """Arguments of `repr_jax.main`: a good command, with one to three things wrong."""
    flat = list(configs.load(str(files / "tiny.py")).to_dict().items())
    names = [
        f"{name}.{key}" if isinstance(value, dict) else name
        for name, value in flat
        for key in (value if isinstance(value, dict) and value else [""])
    ]
    names = [name for name in names if name != "num_steps"]
    arguments = {"config": str(files / "tiny.py"), "workdir": str(files / "new")}
    for _ in range(rng.choice([1, 1, 2, 3])):
        name = rng.choice(FLAGS)
        if name == "value":
            name = f"config.{rng.choice(names)}"
        if name == "unknown":
            name = rng.choice(["config.nowhere", "config.seed.x", "nowhere", "", "-"])
        arguments[name] = a_value(rng, files)
    if rng.random() < 0.2:
        del arguments["config"]
    extra = [a_value(rng, files)] if rng.random() < 0.1 else []
    return [f"--{name}={value}" for name, value in arguments.items()] + extra


def a_value(rng, files):
    if rng.random() < 0.4:
        return str(rng.choice([*sorted(files.iterdir()), files, files / "no" / "such"]))
    return rng.choice(VALUES)


def of_hierarchy(rng, files):
    """Arguments of `repr_jax.estimators.hierarchy`."""
    arguments = [str(files / "logits.npy"), f"--out={files / 'tree'}"]
    if rng.random() < 0.5:
        arguments[0] = a_value(rng, files)
    names = ["labels", "names", "images", "out", "aggregation"]
    names += ["temperature", "bootstrap", "threads", "nowhere"]
    for _ in range(rng.choice([0, 1, 2])):
        arguments.append(f"--{rng.choice(names)}={a_value(rng, files)}")
    return arguments


def of_sweep(rng, files):
    """Arguments of `experiments.launch.sweep`, which never gets to start a run."""
    arguments = [f"--config={files / 'tiny.py'}", f"--workdir={files / 'sweep'}"]
    names = ["config", "workdir", "seeds", "set", "set", "metrics", "jobs", "threads"]
    for _ in range(rng.choice([1, 2])):
        value = a_value(rng, files)
        if rng.random() < 0.4:
            value = f"{rng.choice(['seed', 'loss.beta', 'no', 'loss'])}={value}"
        arguments.append(f"--{rng.choice(names)}={value}")
    return [*arguments, "--dry-run"]


def of_scale(rng, files):
    """Arguments of a paper's command, or of a benchmark: a value that cannot be."""
    names = [
        "scale",
        "workdir",
        "data_dir",
        "table",
        "jobs",
        "threads",
        "seeds",
        "only",
    ]
    return [f"--{rng.choice(names)}={a_value(rng, files)}", "--no-such-flag"]


def of_gathering(rng, files):
    """Arguments of the benchmark of an accelerator, which is to run nothing."""
    names = ["out", "out", "only", "seconds", "total", "part", "nowhere"]
    flags = [f"--{rng.choice(names)}={a_value(rng, files)}" for _ in range(2)]
    return [f"--out={files / 'gathered'}", *flags, "--gather"]


def of_assets(rng, files):
    """Arguments of the command that rebuilds what is in the package."""
    names = ("data_dir", "photographs", "output")
    return [f"--{name}={a_value(rng, files)}" for name in names if rng.random() < 0.9]


def of_emoji(rng, files):
    """Arguments of the command that makes a file of emoji."""
    names = ("google", "twitter", "out")
    return [f"--{name}={a_value(rng, files)}" for name in names if rng.random() < 0.9]


def of_torch(rng, files):
    """Arguments of the command that reads weights of torch."""
    network = rng.choice(["resnet", "vit", "masked", a_value(rng, files)])
    values = [f"--{name}={a_value(rng, files)}" for name in ("entry", "prefix")]
    return [
        network,
        *(a_value(rng, files) for _ in range(2)),
        *values[: rng.randrange(3)],
    ]


def of_launcher(*needed):
    """Arguments of a command that starts a run elsewhere, and here only says how."""

    def make(rng, files):
        flags = ["--dry-run", *needed]
        names = ("name", "processes", "devices", "gpus", "time", "type", "steps")
        names += ("chip", "topology", "image", "restarts", "zone", "version")
        for _ in range(rng.choice([0, 1, 1])):
            flags.append(f"--{rng.choice(names)}={a_value(rng, files)}")
        of_main = [f"--config={files / 'tiny.py'}", "--workdir=gs://bucket/run"]
        return [*flags, "--", *of_main]

    return make


def of_render(rng, files):
    """Arguments of the command that takes results in."""
    return [a_value(rng, files), str(files / "bad" / "config.json")]


PAPERS = ["multimodal_identifiability", "logits_to_hierarchies", "imagenet_hierarchy"]
PAPERS += ["multimodal_vae_limits", "mopoe", "mmjsd"]
PAPERS += ["shift_robustness", "self_supervised", "upsampling_fairness", "checks"]
PAPERS += ["imperfect_labels"]
BENCHMARKS = ["conv", "contrastive", "hierarchy", "outliers", "outliers_peer"]
BENCHMARKS += ["calibration", "self_supervised", "speed", "public_losses"]
LAUNCHERS = {
    "local": (),
    "slurm": ("--gpus=2", "--time=1:00:00"),
    "tpu": ("--name=a", "--zone=b", "--type=v5litepod-32", "--version=c"),
    "gke": ("--name=a", "--image=b", "--chip=v5e", "--topology=4x8"),
}
CHECKS = ["agreement", "pod_memory", "faults", "cost", "similarity"]  # of launching
STARTED = {"repr_jax.last_words", "experiments.launch.befall"}  # by others alone
STARTED |= {"experiments.benchmarks.speed.peers"}
STARTED |= {
    f"experiments.benchmarks.peers.{name}"
    for name in ("label_errors", "losses", "outliers", "self_supervised")
}
COMMANDS = [("repr_jax.main", of_main)] * 4
COMMANDS += [("repr_jax.estimators.hierarchy", of_hierarchy)] * 2
COMMANDS += [("experiments.launch.sweep", of_sweep)]
COMMANDS += [(f"experiments.papers.{name}", of_scale) for name in PAPERS]
COMMANDS += [(f"experiments.benchmarks.{name}", of_scale) for name in BENCHMARKS]
COMMANDS += [("experiments.benchmarks.accelerator", of_gathering)]
COMMANDS += [("experiments.make_assets", of_assets)]
COMMANDS += [("experiments.make_emoji", of_emoji)]
COMMANDS += [("repr_jax.models.from_torch", of_torch)]
COMMANDS += [("experiments.results.render", of_render)]
COMMANDS += [
    (f"experiments.launch.{name}", of_launcher(*needed))
    for name, needed in LAUNCHERS.items()
]
COMMANDS += [(f"experiments.launch.{name}", of_scale) for name in CHECKS]


def test_every_command_is_tried(repository):
    tried = {module for module, _ in COMMANDS}
    there = set()
    for package in ("repr_jax", "experiments"):
        for path in (repository / package).rglob("*.py"):
            if 'if __name__ == "__main__":' in path.read_text():
                place = path.relative_to(repository).with_suffix("")
                there.add(".".join(place.parts).removesuffix(".__main__"))
    assert there - tried == STARTED and tried <= there


def test_no_arguments_make_a_traceback(forked, files, monkeypatch):
    seed, codes = random.randrange(2**32), []
    problems = []
    for number in range(NUM_CASES):
        rng = random.Random(f"{seed} {number}")
        module, make = COMMANDS[number % len(COMMANDS)]
        arguments = make(rng, files)
        code, text = forked(module, arguments)
        case = f"seed {seed}, case {number}: {module} {arguments}: {code}\n"
        if code not in (0, 2, 3) or "Traceback" in text or (code and not text.strip()):
            problems.append(case + text[-3000:])
        codes.append((module.rpartition(".")[2], code))
    counts = {pair: codes.count(pair) for pair in sorted(set(codes))}
    print(NUM_CASES, "cases; exit codes:", counts)
    assert not problems, f"{len(problems)} problems\n" + "\n\n".join(problems)


@pytest.mark.parametrize(
    "command",
    [
        "papers.multimodal_identifiability --scale=smoke --only=table --workdir=FILE",
        "papers.logits_to_hierarchies --smoke --workdir=FILE",
        "papers.imagenet_hierarchy --workdir=FILE",
        "papers.multimodal_vae_limits --scale=smoke --workdir=FILE",
        "papers.mopoe --scale=smoke --workdir=FOLDER --only=polymist",
        "benchmarks.hierarchy --rows=10 --file=FILE",
        "benchmarks.conv --batch=-1",
        "benchmarks.conv --modalities=0",
        "benchmarks.contrastive --chunks 256 0",
        "benchmarks.contrastive --dim=abc",
        "benchmarks.hierarchy --rows=0",
        "benchmarks.hierarchy --scipy_gb=nan",
        "benchmarks.hierarchy --scipy_gb=-1",
        "benchmarks.hierarchy --out=FILE",
        "benchmarks.conv --out=FOLDER",
        "benchmarks.contrastive --out=FILE/results.json",
        "benchmarks.accelerator --out=FILE",
        "benchmarks.accelerator --out=FOLDER --only=cielings",
        "benchmarks.accelerator --out=FOLDER --total=0",
        "papers.shift_robustness --scale=smoke --workdir=FILE",
        "papers.shift_robustness --workdir=FOLDER --only=sprite",
        "papers.self_supervised --workdir=FOLDER --seeds=0",
        "papers.self_supervised --workdir=FOLDER --only=emoji",
        "papers.imperfect_labels --scale=paper --workdir=FOLDER",
        "papers.imperfect_labels --scale=smoke --workdir=FOLDER --only=rarer",
        "papers.imperfect_labels --scale=smoke --workdir=FILE",
        "make_assets --data_dir=FOLDER --photographs=FOLDER --output=FOLDER",
        "make_emoji --google=FOLDER --twitter=FOLDER --out=FOLDER/emoji.npz",
        "results.render FILE",
        "results.render FOLDER",
    ],
)
def test_a_value_that_cannot_be_is_one_line(forked, files, command):
    names = {"FILE": str(files / "names.txt"), "FOLDER": str(files)}
    for word, path in names.items():
        command = command.replace(word, path)
    module, *arguments = command.split()
    code, text = forked(f"experiments.{module}", arguments)
    assert code == 2 and "Traceback" not in text, text
    assert "error: " in text.splitlines()[-1], text
