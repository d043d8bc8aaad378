"""The notebook tests/examples/quick.ipynb, made from quick.py beside it.

python -m tests.support.notebook writes it.
"""

from __future__ import annotations

import re

import nbformat
from nbformat import v4

from tests import ROOT

SCRIPT = ROOT / "tests" / "examples" / "quick.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")


def notebook() -> nbformat.NotebookNode:
    """One cell per `# %%` of the script; in a notebook a figure shows itself."""
    cells = []
    parts = re.split(r"^# %%(.*)\n", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for number, (kind, text) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        if "[markdown]" in kind:
            prose = re.sub(r"^# ?", "", text.strip(), flags=re.MULTILINE)
            cells.append(v4.new_markdown_cell(prose, id=f"cell-{number}"))
        else:
            code = re.sub(r'^figure\.savefig\("\S+"\)$', "figure", text, flags=re.MULTILINE)
            cells.append(v4.new_code_cell(code.strip(), id=f"cell-{number}"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def written() -> str:
    return nbformat.writes(notebook()) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(written(), encoding="utf-8")
