"""Renders every file of results as markdown, and takes in new ones.

  python -m experiments.results.render [DIR/NAME.json ...]

Files that are named are copied into this folder first, with the pictures that they
show. README.md lists all. Nothing here is typed by hand: see `store`.
"""

import os
import pathlib
import shutil
import sys

from experiments.arguments import parser_of
from experiments.results import store
from repr_jax import files

FOLDER = pathlib.Path(__file__).resolve().parent
INDEX = """# Results

Every figure that the project claims, a file a method or command: its command,
revision, date, seeds and hardware, and the published figure beside it. A result that
disagrees with the paper says so. Commands write the JSON (see `store.py`), and `python
-m experiments.results.render` the markdown.
"""


def names(folder=FOLDER) -> list[str]:
    """The files of results, without their ending."""
    return sorted(path.stem for path in pathlib.Path(folder).glob("*.json"))


def rendered(folder=FOLDER) -> dict[str, str]:
    """{file name: text} of all that is rendered.

    Raises:
      ValueError: a file is not of the form of `store`.
    """
    folder = pathlib.Path(folder)
    found = {name: store.read(folder / f"{name}.json") for name in names(folder)}
    texts = {f"{n}.md": store.markdown(r, f"{n}.json") for n, r in found.items()}
    lines = [f"- [{result.title}]({name}.md)" for name, result in found.items()]
    return {**texts, "README.md": INDEX + "\n" + "\n".join(lines) + "\n"}


def take(path, folder=FOLDER) -> None:
    """Copies a file of results and its pictures into the folder."""
    path, folder = pathlib.Path(path), pathlib.Path(folder)
    for block in store.read(path).content:
        if isinstance(block, store.Picture):
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.parent / block.file, target)
    shutil.copyfile(path, folder / path.name)


def main(arguments=None, folder=FOLDER) -> int:
    """Takes the files in, renders all; the exit code."""
    parser = parser_of("experiments.results.render", __doc__)
    path = os.path.expanduser
    parser.add_argument("files", type=path, nargs="*", metavar="DIR/NAME.json")
    asked = parser.parse_args(arguments)
    try:
        for path in asked.files:
            take(path, folder)
        for name, text in rendered(folder).items():
            files.write(pathlib.Path(folder) / name, text)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
