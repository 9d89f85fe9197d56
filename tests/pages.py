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


def write_snippets(folder):
    """Write each example in Python into a file of its own, which has the name and line of its place."""
    files = []
    for name, text in SNIPPETS:
        line = PAGES[name][: PAGES[name].index(f"```python\n{text}")].count("\n") + 2
        file = folder / f"{name.replace('.', '_').replace('-', '_')}_line_{line}.py"
        file.write_text(text)
        files.append(file)
    return files
