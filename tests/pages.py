"""The pages of the documentation, and the blocks of code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {
    path.name: path.read_text()
    for path in (ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").glob("*.md")))
}
BLOCKS = [
    (name, kind, text)
    for name, page in PAGES.items()
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
]
SNIPPETS = [(name, text) for name, kind, text in BLOCKS if kind == "python"]


# The examples of tests import the app of the README as `app`.
APP = (ROOT / "tests/apps/small_app.py").read_text()


def write_snippets(folder):
    """Write each example in Python into a file of its own, which has the name and line of its place."""
    (folder / "app.py").write_text(APP)
    for name, text in SNIPPETS:
        line = PAGES[name][: PAGES[name].index(f"```python\n{text}")].count("\n") + 2
        (folder / f"{name.replace('.', '_').replace('-', '_')}_line_{line}.py").write_text(text)
