"""The report page: what it shows of a batch, and that untrusted text stays text in it."""

import base64
import hashlib
import html
import json
import re
import tracemalloc
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foxapi_async import InvalidRequestError
from foxapi_async.report import _page, write_report
from foxapi_async.report._figures import (
    Histogram,
    Spend,
    Timeline,
    histogram_of,
    nice_step,
    percentile,
    spend_of,
    timeline_of,
)
from foxapi_async.report._manifest import ReportItem, address_of, read_manifest
from foxapi_async.report._problems import kind_of, problems_of
from foxapi_async.report._texts import TEXTS, words

HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style><!-- <svg onload=alert(1)>",
    "&lt;b&gt; &amp;amp; &#60;",
    "]]> <![CDATA[ \u202e fox \u2028 \ud800",
    "javascript:alert(1)",
]
VOID = {"meta", "input", "img"}


class Page(HTMLParser):
    """The parts of a page: every tag with its attributes, and the text below each kind of element."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.texts, self._open = text, [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("class", ""), []))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        name, css, parts = self._open.pop()
        assert tag == name, "elements are closed in their order"
        self.texts.append((name, css, "".join(parts)))
        if self._open:
            self._open[-1][2].append("".join(parts))

    def handle_data(self, data):
        if self._open:
            self._open[-1][2].append(data)

    def all(self, tag, css=None):
        return [text for name, its, text in self.texts if name == tag and css in (None, its)]

    def attributes(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def record(item_id="a", **fields):
    return {
        "id": item_id,
        "status": "done",
        "model": "grok-imagine-image",
        "files": [],
        "error": None,
    } | fields


@pytest.fixture
def report(tmp_path):
    """The page of these records; a text among them is a raw line."""

    def report(*records, end="\n"):
        lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
        (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + end)
        return Page(write_report(tmp_path).read_text("utf-8"))

    return report


# --- hostile text ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(report, text):
    """Prompts, ids, models, statuses, codes and messages appear unchanged, and make no element or attribute."""
    fields = dict.fromkeys(("task_id", "status", "model", "prompt"), text)
    error = {"code": text, "message": text, "charged": text}
    times = {"elapsed": 1, "finished": 1000}
    hostile = report(
        record(text, **fields, error=error, timings=times), record("b", status="done", timings=times)
    )
    plain_fields = dict.fromkeys(fields, "plain")
    plain = report(
        record("plain", **plain_fields, error=dict.fromkeys(error, "plain"), timings=times),
        record("b", status="done", timings=times),
    )
    reported = text.replace("\ud800", "\ufffd").replace("\u202e", "\ufffd").replace("\u2028", " ")

    assert [(tag, sorted(attrs)) for tag, attrs in plain.tags] == [
        (tag, sorted(attrs)) for tag, attrs in hostile.tags
    ]
    assert [reported] == hostile.all("p", "prompt")
    assert [reported] == hostile.all("code")
    assert reported in [attrs["data-model"] for attrs in hostile.attributes("article")]
    assert reported in [attrs["value"] for attrs in hostile.attributes("option")]
    assert (1, 1) == (len(hostile.all("script")), len(hostile.all("style")))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.text(max_size=60).filter(str.strip))
def test_any_prompt_is_shown_as_it_is(report, text):
    """A printable text is the same after the page's parser."""
    printable = "".join(c for c in text if c.isprintable()) or "x"

    assert [printable] == report(record(prompt=printable)).all("p", "prompt")
    report(record(prompt=text))


def test_nothing_of_a_manifest_is_in_the_script(report):
    """The one script and style are the same in every page: data is only in attributes and texts."""
    one, two = report(record(prompt="secret")), report(record("other"))

    assert one.all("script") == two.all("script")
    assert one.all("style") == two.all("style")


def test_the_policy_allows_this_script_and_style_alone(report):
    """The policy names the hashes of the inline style and script; nothing else may run or load except images."""
    page = report(record(prompt="a", files=[{"path": "a.png"}], timings={"elapsed": 1, "finished": 1}))
    (policy,) = [
        m["content"] for m in page.attributes("meta") if m.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    for name, text in (("script-src", page.all("script")[0]), ("style-src", page.all("style")[0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" == rules[name]
    assert ("'none'", "'none'", "'none'") == (rules["default-src"], rules["base-uri"], rules["form-action"])
    assert "'self' file:" == rules["img-src"] == rules["media-src"]
    assert [] == [
        attrs for _, attrs in page.tags if "style" in attrs or any(n.startswith("on") for n in attrs)
    ]
    namespace = "http://www.w3.org/2000/svg"  # a name, which is never loaded
    assert [] == re.findall(r"https?://|url\(|@import", page.text.replace(namespace, ""))


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("images/a b#1?.png", "images/a%20b%231%3F.png"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ('"x".png', "%22x%22.png"),
        ("狐.png", "%E7%8B%90.png"),
        ("../a.png", None),
        ("a/../../b.png", None),
        ("/etc/passwd", None),
        ("//host/a.png", None),
        ("a\\b.png", None),
        ("a\0.png", None),
        ("\ud800.png", None),
        ("./a.png", None),
        ("", None),
        (7, None),
    ],
)
def test_addresses_lead_below_the_folder(path, address):
    """A file's address is percent-encoded and relative; a path that leaves the folder has none."""
    assert address == address_of(path)


def test_pictures_and_other_files(report):
    """A picture loads when it is scrolled into view, another file is a link, a path that leads out is left out."""
    files = [{"path": "a b.png"}, {"path": "clip.mp4"}, {"path": "../c.png"}, "d.png"]
    page = report(record(prompt='a "fox"', files=files))

    expected = {"src": "a%20b.png", "alt": 'a "fox"', "loading": "lazy", "decoding": "async"}
    assert [expected] == page.attributes("img")
    assert ["a%20b.png", "clip.mp4"] == [attrs["href"] for attrs in page.attributes("a")]


# --- the manifest ----------------------------------------------------------------------------------


def test_a_torn_last_line_is_a_remark(report):
    """A cut last line is left out, and a remark says so."""
    page = report(record(), '{"id": "b', end="")

    assert ["The manifest's last line is incomplete, as after a killed run. It is not shown."] == page.all(
        "p", "remark"
    )
    assert 1 == len(page.all("article"))


def test_a_last_line_without_an_end_is_read(report):
    """A last line that is whole counts, also without its line end."""
    page = report(record("a"), record("b"), end="")

    assert ([], 2) == (page.all("p", "remark"), len(page.all("article")))


def test_unreadable_lines_are_reported(report):
    """A line that is not an object is reported with its number, and the rest is shown."""
    page = report("x", "", "[1]", "[" * 100_000, record(), "{", end="\n")

    assert ["4 lines of the manifest cannot be read: 1, 3, 4, 6."] == page.all("p", "remark")
    many = report(*["x"] * 12)
    assert [
        "12 lines of the manifest cannot be read: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 …",
        "The manifest has no items yet.",
    ] == [text.replace("….", "…") for text in many.all("p", "remark")]


def test_the_last_line_of_an_id_counts(report):
    """An item that was run again is shown once, with its last result."""
    page = report(record("a", status="failed", error={"code": "x"}), record("b"), record("a", prompt="again"))

    assert ["done", "done"] == [attrs["data-status"] for attrs in page.attributes("article")]
    assert ["again"] == page.all("p", "prompt")
    assert [] == page.all("h3")


def test_values_of_the_wrong_kind_are_left_out(tmp_path):
    """Values of the wrong kind neither break the page nor count in its figures."""
    odd = ["x", -1, True, None, [1], {"a": 1}, float("nan"), float("inf"), 1e300, 10**400]
    lines = [
        {
            "id": 12345678901234567890,
            "usage": {"credits_reserved": v},
            "timings": {"elapsed": v, "finished": v},
        }
        for v in odd
    ]
    lines += [{"usage": v, "timings": v, "error": v, "files": v, "request": v, "model": v} for v in odd]
    lines.append({"id": "end", "timings": {"submitted": 5, "finished": 2, "elapsed": None}})
    lines.append({"id": "span", "timings": {"submitted": 5, "finished": 7.5}})
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))

    items = read_manifest(path).items
    write_report(tmp_path)

    assert "12345678901234567890" == items[0].id
    assert ["line 11", "line 12"] == [item.id for item in items[1:3]]
    assert {None, 2.5} == {item.elapsed for item in items}
    assert {None} == {item.credits for item in items}
    assert ("no code", "") == (items[6].code, items[1].code)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_no_manifest(tmp_path, make):
    """A folder without a manifest is an error that says what to give."""
    make(tmp_path / "manifest.jsonl")

    with pytest.raises(InvalidRequestError, match=r"manifest\.jsonl: .*; give the folder of a batch"):
        write_report(tmp_path)


def test_an_older_page_is_replaced_whole(report, tmp_path):
    """The page gets its name when it is whole; if it cannot, no other file is left."""
    report(record())
    report(record(prompt="new"))

    assert ["manifest.jsonl", "report.html"] == sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InvalidRequestError, match=r"report\.html: "):
        write_report(tmp_path)
    assert ["manifest.jsonl", "report.html"] == sorted(path.name for path in tmp_path.iterdir())


# --- figures ---------------------------------------------------------------------------------------


def test_percentiles_are_of_the_nearest_rank():
    """A percentile is a measured value: of 1 to 100 the 95th is 95."""
    values = [float(n) for n in range(1, 101)]

    assert [1, 50, 95, 99, 100] == [percentile(values, percent) for percent in (0, 50, 95, 99, 100)]
    assert 7 == percentile([7], 50)


def test_the_histogram_counts_every_value():
    """Bars have a round width and hold every value except the few that are far beyond the others."""
    values = [n / 10 for n in range(1, 201)]

    assert histogram_of([]) is None
    assert Histogram(1.0, (3,), 0, 0, 0, 0) == histogram_of([0, 0, 0])
    found = histogram_of(values)
    assert (0.5, 200, 0) == (found.step, sum(found.counts), found.beyond)
    assert (4, 5, 5) == found.counts[:3]
    assert (10.0, 19.0, 19.8) == (found.p50, found.p95, found.p99)
    outlier = histogram_of([*values, 10_000])
    assert (1.0, 200, 1) == (outlier.step, sum(outlier.counts), outlier.beyond)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e15), min_size=1, max_size=50))
def test_any_latencies_make_a_histogram(values):
    """For any latencies, no value is lost and the bars are few."""
    found = histogram_of(values)

    assert len(values) == sum(found.counts) + found.beyond
    assert len(found.counts) <= 41
    assert found.p50 <= found.p95 <= found.p99


@given(st.floats(1e-6, 1e16), st.integers(1, 100))
def test_axis_steps_are_round(span, count):
    """A step is the least round one with which the requested number of steps covers the span."""
    step = nice_step(span, count)

    assert span <= step * count * (1 + 1e-6)
    assert f"{step:.1e}"[:3] in {"1.0", "2.0", "2.5", "5.0"}


def test_the_timeline_stacks_what_ended():
    """Each step of the timeline counts the items that ended in it, by status."""
    ends = [("done", 100), ("done", 101), ("failed", 139.9), ("uncertain", 140), ("odd", 140)]
    items = [ReportItem(id="x", status=status, finished=end) for status, end in ends]

    found = timeline_of(items)

    assert timeline_of([ReportItem(id="x")]) is None
    assert (100, 1.0, 41) == (found.start, found.step, len(found.counts))
    assert ((1, 0, 0, 0, 0), (1, 0, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, 1)) == (
        *found.counts[:2],
        *found.counts[-2:],
    )
    assert Timeline(7, 1.0, ((1, 0, 0, 0, 0),)) == timeline_of(
        [ReportItem(id="x", status="done", finished=7)]
    )


def test_spend_counts_what_failed_too(report):
    """Failed and uncertain items count as spent; a cost that the service did not report is shown as unknown."""
    usage = {"usage": {"credits_reserved": 2.5}}
    records = [record("a", **usage), record("b", status="failed", **usage), record("c", status="uncertain")]

    facts = report(*records).all("dd")

    assert "52.5 failed1 item unknown" in facts
    items = [ReportItem(id="a", status="done", credits=1.0), ReportItem(id="b")]
    assert Spend({"done": 1.0}, 0.0, 1) == spend_of(items, None)
    assert "unknown" in report(record()).all("dd")


def test_without_items_nothing_is_spent(report):
    """The credits are 0, and there is no list."""
    page = report("")

    assert (["0"] * 4, []) == (page.all("dd"), page.all("h2"))


def test_a_drawing_is_shown(report):
    """An SVG is a picture, as the others are."""
    page = report(record("a", files=[{"path": "images/a.svg"}]))

    assert ["images/a.svg"] == [attrs["src"] for attrs in page.attributes("img")]


def failed(item_id, code=None, **fields):
    error = None if code is None else {"code": code, "message": "no", "charged": "yes"}
    return record(item_id, **{"status": "failed", "error": error, "task_id": "t"} | fields)


def test_equal_failures_are_one_sentence(report):
    """A kind has its number, what can be done about it, and what was billed; the most frequent one comes first."""
    page = report(*(failed(f"p{n}", "content_policy") for n in range(60)), record("u", status="uncertain"))

    assert ["60 The service refused the content", "1 It is not known whether these were sent"] == page.all(
        "h3"
    )
    assert words("advice.content") in page.text
    assert "60 billed" in page.all("p", "soft")
    assert ["Details", "Details"] == page.all("summary")


def test_the_reasons_of_a_kind_are_counted(report):
    """Each code and message stands once, with its first items."""
    page = report(*(failed(f"p{n}", "boom") for n in range(5)), failed("q", "bang"))

    assert ["5 boom nop0 p1 p2 and 2 more", "1 bang noq"] == page.all("li")


def test_the_list_of_reasons_is_bounded(report):
    """Of very many, the most frequent ones stand there."""
    assert "and 3 more" == report(*(failed(f"{n}", f"c{n}") for n in range(53))).all("li")[-1]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"status": "done"}, None),
        ({"status": "queued"}, None),
        ({"status": "queued", "code": "x"}, "other"),
        ({"status": "failed", "code": "model_not_found"}, "model"),
        ({"status": "failed", "code": "invalid_image_url"}, "input"),
        ({"status": "failed", "code": "insufficient_quota"}, "account"),
        ({"status": "failed", "code": "BadRequestError"}, "request"),
        ({"status": "failed", "code": "TaskCancelledError", "task_id": "t"}, "cancelled"),
        ({"status": "failed", "code": "NotFoundError", "task_id": "t"}, "gone"),
        ({"status": "failed", "code": "generation_failed", "task_id": "t"}, "failed"),
        (
            {"status": "failed", "code": "x", "message": "violates our content policy", "task_id": "t"},
            "content",
        ),
        ({"status": "unsaved", "code": "DownloadError"}, "unsaved"),
        ({"status": "unsaved", "code": "UnreadableResultError"}, "unreadable"),
        ({"status": "uncertain", "code": "UncertainSubmitError"}, "uncertain"),
    ],
)
def test_the_kind_of_a_problem(fields, kind):
    """It decides what can be done."""
    assert kind == kind_of(ReportItem(id="a", **fields))
    assert kind is None or {f"kind.{kind}", f"advice.{kind}"} <= TEXTS.keys()


def test_an_item_without_a_file_says_why(report):
    """Its card has the sentence of its problem in the place of a picture."""
    page = report(failed("a", "boom"), record("b"))

    assert ["The service could not make these"] == page.all("span", "failed")
    assert ["no file"] == page.all("span", "done")


def test_no_problem_has_no_part(report):
    """A batch that went well says nothing about failures."""
    assert "What went wrong" not in report(record()).all("h2")
    assert [] == problems_of([ReportItem(id="a", status="done")])


# --- languages -------------------------------------------------------------------------------------


def test_each_text_is_there_in_both_languages():
    """With the same values."""
    values = {key: [set(re.findall(r"{\w+}", text)) for text in texts] for key, texts in TEXTS.items()}

    assert [] == [key for key, (english, chinese) in values.items() if english != chinese]
    assert [] == [key for key, (_, chinese) in TEXTS.items() if not re.search("[\u4e00-\u9fff]", chinese)]


def test_the_page_names_known_texts(report):
    """The script finds each text that an element names."""
    page = report(failed("a", "x"), record("b", timings={"elapsed": 1, "finished": 1}), "x")
    named = {
        attrs[name]
        for _, attrs in page.tags
        for name in ("data-text", "data-label", "data-placeholder")
        if name in attrs
    }

    assert named <= TEXTS.keys()
    assert len(named) > 20


def test_the_script_names_known_texts(report):
    """So do those that it makes itself."""
    (script,) = report(record()).all("script")

    assert set(re.findall(r'\btext\("([\w.]+)"', script)) <= TEXTS.keys()


def test_charts_report_their_numbers(report):
    """Each bar says in words what it counts, and the percentiles are in the chart."""
    records = [
        record(f"{n}", timings={"elapsed": n + 0.5, "finished": 1_700_000_000 + n * 60}) for n in range(200)
    ]
    records += [record("late", timings={"elapsed": 7300, "finished": 1_700_000_000})]

    page = report(*records)

    assert ["Latency of the finished items", "Items ended in each 5:00 min"] == [
        attrs["aria-label"] for attrs in page.attributes("svg")
    ]
    titles = [html.unescape(text) for text in re.findall("<rect[^>]*><title[^>]*>([^<]*)</title>", page.text)]
    assert "10 in 0 s to 10 s" in titles
    assert "1 longer than 5:00 min" in titles
    assert "6 done in 0 s to 5:00 min" in titles
    assert (
        sum(
            1 for text in page.all("text", "mark") if text in {"p50 1:40 min", "p95 3:10 min", "p99 3:18 min"}
        )
        == 3
    )
    assert "2023-11-14 22:13:20 UTC" in page.all("text", "") or "2023-11-14 22:13:20 UTC" in page.text


# --- size ------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_ten_thousand_items(tmp_path):
    """A page of 10,000 items holds each of them, and is hardly larger than their data."""
    records = (record(f"{n}", prompt="x" * 100, files=[{"path": f"{n}.png"}]) for n in range(10_000))
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    tracemalloc.start()
    text = write_report(tmp_path).read_text("utf-8")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert 10_000 == text.count("<article ") == text.count("<img ")
    assert len(text) < 10_000_000
    assert peak < 100_000_000


def test_long_prompts_and_many_items_are_bounded(report, monkeypatch):
    """A prompt is shown up to its 2,000th character, and of very many items the last ones."""
    monkeypatch.setattr(_page, "_MOST_CARDS", 2)
    page = report(record("a"), record("b", prompt="x" * 5000), record("c"))

    assert ["x" * 2000 + "…"] == page.all("p", "prompt")
    assert 2 == len(page.attributes("article"))
    assert ["The last 2 of 3 items are shown; the figures count all items."] == page.all("p", "remark")
