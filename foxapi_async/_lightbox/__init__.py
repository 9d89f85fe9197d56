"""The viewer that the page and the report share: one result at a time, large. The script explains its use."""

from importlib.resources import files


def read_asset(name: str) -> str:
    """The text of "lightbox.js" or "lightbox.css"."""
    return files(__name__).joinpath(name).read_text("utf-8")
