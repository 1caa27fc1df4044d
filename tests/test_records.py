"""One record a method, in its family's page: every public name, and what it names."""

import collections
import importlib
import importlib.util
import pathlib
import pkgutil
import re

import pytest

from experiments.papers.checks.__main__ import WAVES
from repr_jax import estimators, losses

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "configs").glob("*/README.md"))
BESIDE_OTHERS = ROOT / "configs" / "evaluation" / "beside_others.md"
FIELDS = ("Source", "Name", "Config", "Command", "Result")
PUBLIC = {
    *(f"losses.{name}" for name in losses.__all__),
    *(f"estimators.{m.name}" for m in pkgutil.iter_modules(estimators.__path__)),
}


def parse(page):
    """[(title, {field: text})] of a page: sections of "- Field: text" lines."""
    records = []
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.M)[1:]:
        title, _, body = section.partition("\n")
        lines = re.findall(r"^- (\w+): (.+)$", body, flags=re.M)
        assert len(lines) == len(body.split("\n- ")) - 1, f"{page}: {title}"
        assert len(dict(lines)) == len(lines), f"{page}: {title}: a field twice"
        records.append((title, dict(lines)))
    return records


RECORDS = [
    pytest.param(page, fields, id=f"{page.parent.name}: {title}")
    for page in PAGES
    for title, fields in parse(page)
]


def code(text):
    """What stands between backquotes."""
    return re.findall(r"`([^`]+)`", text)


def test_every_public_name_has_exactly_one_record():
    found = collections.Counter(
        name for record in RECORDS for name in code(record.values[1]["Name"])
    )
    assert set(found) >= PUBLIC
    for name in set(found) - PUBLIC:  # what else a method has, such as a score
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(f"repr_jax.{module}"), attribute), name
    assert [name for name, count in found.items() if count > 1] == []


@pytest.mark.parametrize(("page", "fields"), RECORDS)
def test_a_record_says_source_name_what_to_run_and_result(page, fields):
    assert tuple(f for f in FIELDS if f in fields) == tuple(fields)
    assert {"Source", "Name", "Result"} <= set(fields)
    assert {"Config", "Command"} & set(fields)
    assert re.search(r"\]\(https?://\S+\)", fields["Source"])
    assert code(fields["Name"])


@pytest.mark.parametrize(("page", "fields"), RECORDS)
def test_what_a_record_names_exists(page, fields):
    configs = fields.get("Config", "none yet")
    files = [name for name in code(configs) if "/" in name]
    assert files or configs == "none yet"
    for file in files:
        assert (ROOT / file).is_file(), file
    for command in code(fields.get("Command", "")):
        start, module = re.match(r"(python -m )([\w.]+)", command).groups()
        assert start and importlib.util.find_spec(module), command
    links = re.findall(r"\]\(([^)]+)\)", fields["Result"])
    assert links or fields["Result"] == "not yet run"
    for link in links:
        path = (page.parent / link).resolve()
        assert path.is_file() and path.parent == ROOT / "experiments" / "results", link


@pytest.mark.parametrize(
    "page", [*PAGES, BESIDE_OTHERS], ids=lambda page: f"{page.parent.name}/{page.stem}"
)
def test_the_examples_of_a_page_run(page):
    for example in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S):
        exec(compile(example, str(page), "exec"), {})


def test_every_config_and_every_result_belongs_to_a_record():
    fields = [record.values[1] for record in RECORDS]
    named = {file for record in fields for file in code(record.get("Config", ""))}
    configs = {str(p.relative_to(ROOT)) for p in (ROOT / "configs").glob("*/*.py")}
    assert configs <= named
    linked = " ".join(record["Result"] for record in fields)
    for path in (ROOT / "experiments" / "results").glob("*.json"):
        assert f"/{path.stem}.md)" in linked, path.stem


def test_a_loss_belongs_to_the_family_of_its_file():
    for record in RECORDS:
        page, fields = record.values
        for name in code(fields["Name"]):
            kind, _, function = name.partition(".")
            if kind == "losses":
                module = getattr(losses, function).__module__.split(".")[-1]
                assert module.split("_")[0] == page.parent.name, name


def test_what_is_beside_others_exists():
    """Our names in `configs/evaluation/beside_others.md`, none of theirs twice."""
    text = BESIDE_OTHERS.read_text()
    lines = re.findall(r"^\| (lightly|open_clip|PML) \| (.+) \| (.+) \|$", text, re.M)
    assert len(lines) == len(re.findall(r"^\| [^-]", text, re.M)) - 1 > 70
    theirs = [(package, n) for package, names, _ in lines for n in names.split(", ")]
    assert len(set(theirs)) == len(theirs)
    for *_, here in lines:
        for name in code(here):
            if name.startswith(("losses.", "ops.")):
                pkgutil.resolve_name(f"repr_jax.{name}")


@pytest.mark.parametrize(
    ("page", "others"), [("scores", set()), ("views", {"none yet"})]
)
def test_what_holds_a_wave_exists(page, others):
    """Functions, tests and checks of `configs/evaluation/scores.md`, `views.md`."""
    found = {check.name for part in WAVES[page].values() for check in part} | others
    text = (ROOT / "configs" / "evaluation" / f"{page}.md").read_text()
    lines = re.findall(r"^\| (.+) \| `(.+)` \| `(.+)::(\w+)` \| (.+) \|$", text, re.M)
    assert len(lines) == len(re.findall(r"^\| [^-]", text, re.M)) - 1 > 60
    for _, function, file, test, checks in lines:
        pkgutil.resolve_name(f"repr_jax.{function}")
        assert f"def {test}(" in (ROOT / file).read_text(), test
        assert set(checks.split(", ")) <= found, checks
