"""The items as cards, and the tools to search them. Every text of a manifest is untrusted, and is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from foxapi_async.report._charts import seconds_text
from foxapi_async.report._figures import state_of
from foxapi_async.report._manifest import ReportItem
from foxapi_async.report._problems import kind_of, problems_of
from foxapi_async.report._texts import escaped, labelled, said, words

_MOST_MODELS = 200
# With 1 to 6 cards in a row, all rows of a group are full. No window shows more than 6 in a row.
_IN_A_GROUP = 60
# The types that the lightbox can show, by the ending of a saved file.
_TYPES = {
    **{f".{kind}": f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif", "avif")},
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
}


def tools(items: Sequence[ReportItem]) -> str:
    """The search tools. The script shows them, because they do not work without it."""
    states = Counter(item.status for item in items).most_common(_MOST_MODELS)
    models = Counter(item.model for item in items if item.model).most_common(_MOST_MODELS)
    statuses = "".join(_state_option(status, count) for status, count in states)
    ids = "".join(
        f'<option value="{escaped(name)}">{escaped(name)} ({count:,})</option>' for name, count in models
    )
    problems = "".join(
        f'<option value="{kind}"{said(f"kind.{kind}")}</option>' for kind, _ in problems_of(items)
    )
    return (
        '<div class="tools" id="tools" role="search" hidden>'
        f'<input id="search" type="search" autocomplete="off" data-placeholder="search" '
        f'placeholder="{escaped(words("search"))}"{labelled("search.label")}>'
        f'<select id="status"{labelled("status")}><option value=""{said("status.all")}</option>{statuses}</select>'
        f'<select id="model"{labelled("model")}><option value=""{said("model.all")}</option>{ids}</select>'
        f'<select id="kind"{labelled("kind")}{"" if problems else " hidden"}>'
        f'<option value=""{said("kind.all")}</option>{problems}</select>'
        '<span id="count" class="soft" role="status"></span></div>\n'
    )


def _state_option(status: str, count: int) -> str:
    state, more = state_of(status), f" ({count:,})"
    name = f">{escaped(status)}" if state == "other" else said(f"state.{state}")
    return f'<option value="{escaped(status)}" data-more="{more}"{name}{more}</option>'


def groups(items: Sequence[ReportItem]) -> Iterator[str]:
    """The cards of the items, in groups. Groups are less work for a browser than single cards."""
    for first in range(0, len(items), _IN_A_GROUP):
        cards = "".join(map(_card, items[first : first + _IN_A_GROUP]))
        yield f'<div class="group">{cards}</div>\n'


def _card(item: ReportItem) -> str:
    meta = [item.model, item.id, item.task_id]
    meta += [seconds_text(item.elapsed)] if item.elapsed is not None else []
    shown = "".join(f"<bdi>{escaped(text)}</bdi> " for text in meta if text)
    if item.credits is not None:
        shown += f"<bdi{said('amount', f'{item.credits:,.10g}')}</bdi> "
    shown += "".join(f"<bdi>{escaped(text)}</bdi> " for text in item.extra)
    problem = f"{item.code}: {item.message}" if item.message else item.code
    error = (
        f'<p class="meta"><bdi class="{state_of(item.status)}">{escaped(problem)}</bdi></p>'
        if problem
        else ""
    )
    prompt = f'<p class="prompt" dir="auto" tabindex="0">{escaped(item.prompt)}</p>' if item.prompt else ""
    return (
        f'<article class="card" data-status="{escaped(item.status)}" data-model="{escaped(item.model)}" '
        f'data-kind="{kind_of(item) or ""}" data-id="{escaped(item.task_id or item.id)}">{_files(item)}'
        f'<div class="about">{prompt}<p class="meta">{_state(item)} {shown}</p>{error}</div></article>\n'
    )


def _state(item: ReportItem) -> str:
    state = state_of(item.status)
    if state == "other":
        return f'<b class="other">{escaped(item.status)}</b>'
    return f'<b class="{state}"{said(f"state.{state}")}</b>'


def _files(item: ReportItem) -> str:
    if not item.files:
        kind = kind_of(item)
        reason = said("no.file" if kind is None else f"kind.{kind}")
        return f'<div class="pictures"><span class="{state_of(item.status)}"{reason}</span></div>'
    links = "".join(_file(address, escaped(item.prompt[:100] or item.id)) for address in item.files)
    return f'<div class="pictures{" many" if len(item.files) > 1 else ""}">{links}</div>'


def _file(address: str, alt: str) -> str:
    link = escaped(address)
    kind = _TYPES.get(f".{address.rpartition('.')[2].lower()}", "")
    shown = f' data-type="{kind}"' if kind else ""
    if not kind.startswith("image/"):
        return f'<a href="{link}"{shown}>{link}</a>'
    return f'<a href="{link}"{shown}><img src="{link}" alt="{alt}" loading="lazy" decoding="async"></a>'
