"""The part of the page about problems. Each kind of problem has a sentence, advice, and details that open on a click."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from foxapi_async.report._figures import state_of
from foxapi_async.report._manifest import ReportItem
from foxapi_async.report._problems import problems_of
from foxapi_async.report._texts import escaped, said

_MOST_REASONS = 50
_EXAMPLES = 3


def failures_part(items: Sequence[ReportItem]) -> Iterator[str]:
    """The part; nothing if there is no problem."""
    groups = problems_of(items)
    if not groups:
        return
    yield f'<section class="failures"><h2{said("failures")}</h2>\n'
    for kind, members in groups:
        ((state, _),) = Counter(state_of(item.status) for item in members).most_common(1)
        yield (
            f'<div class="failure {state}"><h3><b class="{state}">{len(members):,}</b> <span{said(f"kind.{kind}")}</span></h3>'
            f"<p{said(f'advice.{kind}')}</p>{_billed(members)}"
            f'<button type="button" class="show" value="{kind}" hidden{said("show")}</button>'
            f"<details><summary{said('details')}</summary><ul>{''.join(_reasons(members))}</ul></details></div>\n"
        )
    yield "</section>\n"


def _billed(members: Sequence[ReportItem]) -> str:
    counts = Counter(item.charged for item in members)
    parts = [
        f"<span{said(f'billed.{charged}', f'{counts[charged]:,}')}</span>"
        for charged in ("yes", "unknown", "no")
        if counts[charged]
    ]
    return f'<p class="soft">{" · ".join(parts)}</p>' if parts else ""


def _reasons(members: Sequence[ReportItem]) -> Iterator[str]:
    """The different codes and messages, the most frequent first, each with its first items."""
    reasons: dict[tuple[str, str], list[ReportItem]] = {}
    for item in members:
        reasons.setdefault((item.code, item.message), []).append(item)
    ordered = sorted(reasons.items(), key=lambda reason: -len(reason[1]))
    for (code, message), found in ordered[:_MOST_REASONS]:
        ids = " ".join(f"<bdi>{escaped(item.id)}</bdi>" for item in found[:_EXAMPLES])
        rest = len(found) - _EXAMPLES
        more = f" <span{said('more', f'{rest:,}')}</span>" if rest > 0 else ""
        yield (
            f"<li><b>{len(found):,}</b> <code>{escaped(code)}</code> <bdi>{escaped(message)}</bdi>"
            f'<p class="soft">{ids}{more}</p></li>'
        )
    if len(ordered) > _MOST_REASONS:
        yield f'<li class="soft"{said("more", f"{len(ordered) - _MOST_REASONS:,}")}</li>'
