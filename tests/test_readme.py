"""What the README shows is true: its Python runs, its names and files exist."""

import pathlib
import re

from repr_jax import losses

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["value"].shape == ()


def test_every_row_of_the_table_names_a_loss_and_a_config_and_every_loss_has_one():
    rows = re.findall(
        r"^\|[^`]*`losses\.(\w+)`.*`(configs/\S+\.py)`.*\|$", README, re.M
    )
    assert {loss for loss, _ in rows} <= set(losses.__all__)
    missing = [loss for loss in losses.__all__ if f"`losses.{loss}`" not in README]
    assert not missing, "losses without a mention in the README"
    for _, config in rows:
        assert (ROOT / config).exists(), config


def test_files_that_the_readme_points_to_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"(?:configs|colab|experiments)/[\w/]+\.\w+", README):
        assert (ROOT / path).exists(), path
