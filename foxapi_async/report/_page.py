"""Makes the page. Every text from a manifest is untrusted, and goes through `_e`."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from foxapi_async._errors import LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.protocol import Totals
from foxapi_async._wire.texts import counted
from foxapi_async.report._charts import latency_chart, seconds_text, timeline_chart
from foxapi_async.report._figures import (
    STATES,
    Spend,
    failures_of,
    histogram_of,
    name_of,
    spend_of,
    state_of,
    timeline_of,
)
from foxapi_async.report._manifest import ReportData, ReportItem

# A browser still scrolls easily through this many.
_MOST_CARDS = 20_000
_MOST_LISTED = 50
_MOST_GROUPS = 100
_MOST_MODELS = 200
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".svg")


def page_of(manifest: ReportData, name: str, ledger: Totals | LedgerError | None) -> str:
    """The whole page of a batch. The page loads only the images beside it.

    Args:
        manifest: its items.
        name: of its folder.
        ledger: the totals of its ledger, or why this cannot be read; None if there is none.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' file:; "
        f"style-src '{_source(style)}'; script-src '{_source(script)}'"
    )
    title = _e(f"{name}: report")
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{_e(policy)}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">\n',
            f"<title>{title}</title>\n<style>{style}</style></head>\n<body><h1>{title}</h1>\n",
            *_body(manifest, ledger),
            f"<script>{script}</script></body></html>\n",
        ]
    )


def _body(manifest: ReportData, ledger: Totals | LedgerError | None) -> Iterator[str]:
    items = manifest.items
    yield from _remarks(manifest, ledger)
    yield _facts(items, None if isinstance(ledger, LedgerError) else ledger)
    histogram = histogram_of(x.elapsed for x in items if x.status == "done" and x.elapsed is not None)
    timeline = timeline_of(items)
    charts = [latency_chart(histogram)] if histogram else []
    charts += [timeline_chart(timeline)] if timeline else []
    yield f'<div class="charts">{"".join(charts)}</div>\n'
    yield from _failures(items)
    yield "<h2>Items</h2>\n"
    yield _tools(items)
    yield '<main class="cards">\n'
    yield from map(_card, items[-_MOST_CARDS:])
    yield "</main>\n"


def _remarks(manifest: ReportData, ledger: Totals | LedgerError | None) -> Iterator[str]:
    texts: list[str] = []
    if manifest.torn:
        texts.append("The manifest's last line is incomplete, as after a killed run. It is not shown.")
    if wrong := manifest.unreadable:
        numbers = ", ".join(map(str, wrong[:10])) + (" …" if len(wrong) > 10 else "")
        texts.append(f"{counted(len(wrong), 'line')} of the manifest cannot be read: {numbers}.")
    if len(manifest.items) > _MOST_CARDS:
        texts.append(
            f"The last {_MOST_CARDS:,} of {len(manifest.items):,} items are shown; the figures count all items."
        )
    if isinstance(ledger, LedgerError):
        texts.append(f"The sums are those of the manifest, because the ledger cannot be read: {ledger}")
    if not manifest.items:
        texts.append("The manifest has no items yet.")
    for text in texts:
        yield f'<p class="remark" role="note">{_e(text)}</p>\n'


def _facts(items: Sequence[ReportItem], totals: Totals | None) -> str:
    states = Counter(state_of(item.status) for item in items)
    facts = [("items", f"{len(items):,}", "", "")]
    facts += [
        (name_of(state), f"{states[state]:,}", state, "")
        for state in STATES
        if states[state] or state == "done"
    ]
    if totals and (running := totals.counts[ItemState.SUBMITTED] + totals.counts[ItemState.SUBMITTING]):
        facts.append(("not ended", f"{running:,}", "", "sent, without a line yet"))
    facts.append(("files", f"{sum(len(item.files) for item in items):,}", "", ""))
    facts.append(_spend_fact(spend_of(items, totals), len(items)))
    if histogram := histogram_of(x.elapsed for x in items if x.status == "done" and x.elapsed is not None):
        values = (("p50", histogram.p50), ("p95", histogram.p95), ("p99", histogram.p99))
        facts += [(f"latency {name}", seconds_text(value), "", "") for name, value in values]
    cells = "".join(
        f'<div><dt>{_e(name)}</dt><dd class="{css}">{_e(value)}{f"<small>{_e(more)}</small>" if more else ""}</dd></div>'
        for name, value, css, more in facts
    )
    return f'<dl class="facts">{cells}</dl>\n'


def _spend_fact(spend: Spend, count: int) -> tuple[str, str, str, str]:
    if spend.unknown == count and not spend.total:
        return "credits", "unknown", "", ""
    parts = [
        f"{amount:,.6g} {name_of(state)}" for state, amount in spend.by_status.items() if state != "done"
    ]
    parts += [f"{spend.others:,.6g} earlier submits and running tasks"] if spend.others else []
    parts += [f"{counted(spend.unknown, 'item')} unknown"] if spend.unknown else []
    return "credits", f"{spend.total:,.10g}", "", ", ".join(parts)


def _failures(items: Sequence[ReportItem]) -> Iterator[str]:
    groups = failures_of(items)
    if groups:
        yield "<h2>Failures</h2>\n"
    for code, members in groups[:_MOST_GROUPS]:
        charged = Counter(item.charged or "not said" for item in members)
        billed = ", ".join(f"{name} {count}" for name, count in charged.most_common(5))
        rows = "".join(
            f'<li><bdi>{_e(item.id)}</bdi> <span class="soft">{_e(item.task_id)}</span> <bdi>{_e(item.message)}</bdi></li>'
            for item in members[:_MOST_LISTED]
        )
        more = (
            f'<p class="soft">and {len(members) - _MOST_LISTED:,} more</p>'
            if len(members) > _MOST_LISTED
            else ""
        )
        yield (
            f'<details><summary><b class="failed">{len(members):,}</b><bdi>{_e(code)}</bdi> '
            f'<span class="soft">charged: {_e(billed)}</span></summary><ul>{rows}</ul>{more}</details>\n'
        )
    if len(groups) > _MOST_GROUPS:
        yield f'<p class="soft">and {len(groups) - _MOST_GROUPS:,} more codes</p>\n'


def _tools(items: Sequence[ReportItem]) -> str:
    """The search tools. The script shows them, because they do not work without it."""
    statuses = Counter(item.status for item in items).most_common(_MOST_MODELS)
    models = Counter(item.model for item in items if item.model).most_common(_MOST_MODELS)
    return (
        '<div class="tools" id="tools" role="search" hidden>'
        '<input id="search" type="search" placeholder="Search prompts, ids and messages ( / )" '
        'aria-label="Search prompts, ids and messages" autocomplete="off">'
        f'<select id="status" aria-label="Status"><option value="">every status</option>{_options(statuses)}</select>'
        f'<select id="model" aria-label="Model"><option value="">every model</option>{_options(models)}</select>'
        '<span id="count" class="soft" role="status"></span></div>\n'
    )


def _options(counts: Iterable[tuple[str, int]]) -> str:
    return "".join(
        f'<option value="{_e(name)}">{_e(name_of(name))} ({count:,})</option>' for name, count in counts
    )


def _card(item: ReportItem) -> str:
    meta = [item.model, item.id, item.task_id]
    meta += [seconds_text(item.elapsed)] if item.elapsed is not None else []
    meta += [counted(item.credits, "credit")] if item.credits is not None else []
    meta += item.extra
    shown_meta = "".join(f"<bdi>{_e(text)}</bdi> " for text in meta if text)
    problem = f"{item.code}: {item.message}" if item.message else item.code
    error = f'<p class="meta"><bdi class="failed">{_e(problem)}</bdi></p>' if problem else ""
    prompt = f'<p class="prompt" dir="auto" tabindex="0">{_e(item.prompt)}</p>' if item.prompt else ""
    return (
        f'<article class="card" data-status="{_e(item.status)}" data-model="{_e(item.model)}">{_pictures(item)}'
        f'<div class="about">{prompt}<p class="meta"><b class="{state_of(item.status)}">{_e(name_of(item.status))}</b>{shown_meta}</p>'
        f"{error}</div></article>\n"
    )


def _pictures(item: ReportItem) -> str:
    if not item.files:
        return f'<div class="pictures"><span class="{state_of(item.status)}">{_e(item.code or "no file")}</span></div>'
    links = "".join(_picture(address, _e(item.prompt[:100] or item.id)) for address in item.files)
    return f'<div class="pictures{" many" if len(item.files) > 1 else ""}">{links}</div>'


def _picture(address: str, alt: str) -> str:
    link = _e(address)
    if not address.lower().endswith(_PICTURES):
        return f'<a href="{link}">{link}</a>'
    return f'<a href="{link}"><img src="{link}" alt="{alt}" loading="lazy" decoding="async"></a>'


def _e(text: str) -> str:
    return html.escape(text, quote=True)


@functools.cache
def _asset(name: str) -> str:
    return files("foxapi_async.report").joinpath(name).read_text("utf-8")


def _source(text: str) -> str:
    """The name of an inline style or script in a Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
