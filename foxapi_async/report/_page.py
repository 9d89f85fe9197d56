"""Makes the page. Every text from a manifest is untrusted, and is escaped."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files

from foxapi_async._errors import LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.protocol import Totals
from foxapi_async._lightbox import read_asset
from foxapi_async.report._cards import groups, tools
from foxapi_async.report._charts import latency_chart, seconds_text, timeline_chart
from foxapi_async.report._failures import failures_part
from foxapi_async.report._figures import STATES, Spend, histogram_of, spend_of, state_of, timeline_of
from foxapi_async.report._manifest import ReportData, ReportItem
from foxapi_async.report._texts import TEXTS, said

# A browser still scrolls easily through this many.
_MOST_CARDS = 20_000


def page_of(manifest: ReportData, name: str, ledger: Totals | LedgerError | None) -> str:
    """The whole page of a batch. The page loads only files of its folder.

    Args:
        manifest: its items.
        name: the name of its folder.
        ledger: the totals of its ledger, or why the ledger cannot be read; None if there is none.
    """
    style, script = _style(), _script()
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' file:; media-src 'self' file:; "
        f"style-src '{_source(style)}'; script-src '{_source(script)}'"
    )
    title = said("title", name)
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">\n',
            f"<title{title}</title>\n<style>{style}</style></head>\n<body><main><h1{title}</h1>\n",
            *_body(manifest, ledger),
            f"</main><script>{script}</script></body></html>\n",
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
    yield from failures_part(items)
    yield f"<h2{said('list')}</h2>\n" if items else ""
    yield tools(items)
    yield '<div class="cards">\n'
    yield from groups(items[-_MOST_CARDS:])
    yield f'</div>\n<p class="nothing" id="nothing" hidden{said("nothing")}</p>\n'


def _remarks(manifest: ReportData, ledger: Totals | LedgerError | None) -> Iterator[str]:
    texts: list[str] = []
    if manifest.torn:
        texts.append(said("remark.torn"))
    if wrong := manifest.unreadable:
        numbers = ", ".join(map(str, wrong[:10])) + (" …" if len(wrong) > 10 else "")
        texts.append(said("remark.unreadable", f"{len(wrong):,}", numbers))
    if len(manifest.items) > _MOST_CARDS:
        texts.append(said("remark.last", f"{_MOST_CARDS:,}", f"{len(manifest.items):,}"))
    if isinstance(ledger, LedgerError):
        texts.append(said("remark.ledger", str(ledger)))
    if not manifest.items:
        texts.append(said("remark.empty"))
    for text in texts:
        yield f'<p class="remark" role="note"{text}</p>\n'


def _facts(items: Sequence[ReportItem], totals: Totals | None) -> str:
    states = Counter(state_of(item.status) for item in items)
    facts = [_fact(said("items"), f">{len(items):,}")]
    facts += [
        _fact(said(f"state.{state}"), f">{states[state]:,}", css=state)
        for state in STATES
        if states[state] or state == "done"
    ]
    if totals and (running := totals.counts[ItemState.SUBMITTED] + totals.counts[ItemState.SUBMITTING]):
        facts.append(_fact(said("running"), f">{running:,}", more=f"<small{said('running.more')}</small>"))
    facts.append(_fact(said("files"), f">{sum(len(item.files) for item in items):,}"))
    facts.append(_spend_fact(spend_of(items, totals), len(items)))
    if histogram := histogram_of(x.elapsed for x in items if x.status == "done" and x.elapsed is not None):
        values = (("p50", histogram.p50), ("p95", histogram.p95), ("p99", histogram.p99))
        facts += [_fact(said("latency", name), f">{seconds_text(value)}") for name, value in values]
    return f'<dl class="facts">{"".join(facts)}</dl>\n'


def _fact(name: str, value: str, *, css: str = "", more: str = "") -> str:
    """A name and a value, each as `said` makes it."""
    return f'<div><dt{name}</dt><dd class="{css}"><span{value}</span>{more}</dd></div>'


def _spend_fact(spend: Spend, count: int) -> str:
    if count and spend.unknown == count and not spend.total:
        return _fact(said("credits"), said("unknown"))
    parts = [
        said(f"spend.{state}", f"{amount:,.6g}")
        for state, amount in spend.by_status.items()
        if state != "done"
    ]
    parts += [said("spend.others", f"{spend.others:,.6g}")] if spend.others else []
    parts += [said("spend.unknown", f"{spend.unknown:,}")] if spend.unknown else []
    more = "".join(f"<small{part}</small>" for part in parts)
    return _fact(said("credits"), f">{spend.total:,.10g}", more=more)


@functools.cache
def _style() -> str:
    return read_asset("lightbox.css") + _asset("page.css")


@functools.cache
def _script() -> str:
    """The script with all texts. It is the same for each page."""
    table = json.dumps(TEXTS, ensure_ascii=False)
    return f"const TEXTS = {table};\n{read_asset('lightbox.js')}{_asset('page.js')}"


def _asset(name: str) -> str:
    return files("foxapi_async.report").joinpath(name).read_text("utf-8")


def _source(text: str) -> str:
    """The name of an inline style or script in a Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
