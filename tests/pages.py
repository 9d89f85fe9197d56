"""The pages of the documentation, and the blocks of code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FILES = {
    **{name: ROOT / name for name in ("README.md", "README.zh.md")},
    **{path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))},
}
"""The file of each page. A page of the docs has the name of its file below `docs`."""

TRANSLATIONS = {"README.zh.md": "README.md", "zh/quickstart.md": "quickstart.md"}
"""The English page of each Chinese one. Both have the same code, so only that of the English page is run."""

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = {name: path.read_text() for name, path in FILES.items()}
BLOCKS = [(name, kind, text) for name, page in PAGES.items() for kind, text in BLOCK.findall(page)]
LINK = re.compile(r"\]\(([^):#]*)(?:#([^)]*))?\)")
LINKS = [
    (name, target, heading)
    for name, page in PAGES.items()
    for target, heading in LINK.findall(BLOCK.sub("", page))
]
"""The page, the file and the heading of each link to a file of the project. Both are empty if it has none."""

SNIPPETS = [(name, text) for name, kind, text in BLOCKS if kind == "python" and name not in TRANSLATIONS]


# The examples of tests import the app of the README as `app`.
APP = (ROOT / "tests/apps/small_app.py").read_text()


def write_snippets(folder):
    """Write each example in Python into a file of its own, which has the name and line of its place."""
    (folder / "app.py").write_text(APP)
    for name, text in SNIPPETS:
        line = PAGES[name][: PAGES[name].index(f"```python\n{text}")].count("\n") + 2
        (folder / f"{name.replace('.', '_').replace('-', '_')}_line_{line}.py").write_text(text)
