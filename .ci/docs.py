"""Writes pages of the API and of imports into a folder: python .ci/docs.py site

By pdoc, with every warning an error. Docstrings are plain text: a paragraph that starts
with a formula is shown as it stands there, line by line.
"""

import pathlib
import re
import sys
import warnings

MODULES = ("repr_jax", "!repr_jax.main", "!repr_jax.estimators.hierarchy.__main__")
SECTION = re.compile(r"(?:Args|Returns|Raises|Yields|Source)\b[^\n]*:")
FORMULA = re.compile(
    r"""[-(|]*\s?
    (?: [\d/N]*\s?(?:mean|sum|min|max|log|exp)
        (?: _\S+\s | \s?(?=[\[({|-]) | \s(?=over\b|(?:mean|log|sum|exp)\b) )
      | \w+ (?:\([^)]*\)|\[[^\]]*\])? \s=\s  # y(x) = ...
      | \|\w  # |x - y| ...
      | \w\(\w+,\s\w+\)\s\+  # L(a, b) + ...
    )""",
    re.VERBOSE,
)


def with_formulas(docstring: str) -> str:
    """Formulas of the description in code blocks, as markdown has them."""
    summary, *paragraphs = docstring.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if SECTION.match(paragraph):
            break
        if FORMULA.match(paragraph):
            paragraphs[number] = f"```text\n{paragraph}\n```"
    return "\n\n".join((summary, *paragraphs))


def main(folder: str) -> None:
    """Writes the pages."""
    import imports  # beside this file
    import jinja2
    import pdoc
    from pdoc import render, render_helpers

    @jinja2.pass_context
    def to_markdown(context, docstring):  # in place of pdoc's filter of this name
        return render_helpers.to_markdown_with_context(
            context, with_formulas(docstring)
        )

    warnings.simplefilter("error")
    # A default that is a function of JAX's own, whose annotations only JAX can read.
    warnings.filterwarnings("ignore", r"Error parsing type .* for repr_jax\..*_init\.")
    render.configure(docformat="google")
    render.env.filters["to_markdown"] = to_markdown
    pdoc.pdoc(*MODULES, output_directory=pathlib.Path(folder))
    root = pathlib.Path(__file__).resolve().parent.parent
    page = imports.page(imports.graph_of(root))
    (pathlib.Path(folder) / "imports.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
