"""The page of docs/fastapi.md in the machine's own Chromium: it reads events with fetch, and with an EventSource."""

import contextlib
import http.client
import http.server
import json
import threading

import pytest
from apps.served import TESTS, ServerProcess
from chromium import PATIENCE, expect, needs_chromium
from helpers import let_end
from pages import BLOCKS

from foxapi_async.emulator import Fault, ThreadedEmulator

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytestmark = [needs_chromium, pytest.mark.thorough]

TOKEN = {"APP_TOKEN": "a-long-secret", "APP_SECRET": "another-long-secret"}


@pytest.fixture(autouse=True)
def patience():
    """More time for each fact, because servers start meanwhile."""
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=PATIENCE)


@pytest.fixture
def service():
    """A service whose tasks end only when a test lets them."""
    with ThreadedEmulator(seconds=0.5, faults=[Fault.never_finishes(times=None)]) as running:
        yield running


@pytest.fixture
def server(service):
    running = ServerProcess(service, "browser_app", "--access-log", **TOKEN)
    yield running
    running.kill()


@pytest.fixture
def page(browser, server):
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url.removeprefix(server.url)))
    page.goto(server.url)
    yield page
    page.close()


def test_the_page_is_that_of_the_docs():
    """The docs show the app and the page that these tests run."""
    texts = [text for name, _, text in BLOCKS if name == "fastapi.md"]

    assert (TESTS / "apps/browser_app.py").read_text() in texts
    assert (TESTS / "apps/page.html").read_text() in texts


@pytest.mark.parametrize("way", ["fetch", "EventSource"])
def test_a_browser_sees_progress_and_then_the_picture(page, service, way):
    """Progress is shown while the task runs; after `final` the stream is closed, and the picture is there."""
    page.fill("#token", TOKEN["APP_TOKEN"])
    page.get_by_role("button", name=way).click()
    expect(page.locator("#state")).to_contain_text("progress: ")
    let_end(service)
    expect(page.locator("#state")).to_contain_text("final: completed")
    expect(page.locator("#picture")).to_have_js_property("complete", True)
    page.wait_for_function("document.getElementById('picture').naturalWidth > 0")
    page.wait_for_timeout(3500)  # a browser would connect again after three seconds

    assert 1 == len([path for path in page.requested if path.endswith("/events")])
    assert 1 == service.billed


def begin(page, way):
    """The page reads the events of a task that runs."""
    page.fill("#token", TOKEN["APP_TOKEN"])
    page.get_by_role("button", name=way).click()
    expect(page.locator("#state")).to_contain_text("progress: ")


@contextlib.contextmanager
def started_again(service, port, **env):
    """The server of the page, once more, on the same port."""
    running = ServerProcess(service, "browser_app", port=port, **{**TOKEN, **env})
    try:
        yield
    finally:
        running.kill()


def is_for_events(message):
    return message.url.endswith("/events")


@pytest.mark.parametrize("way", ["fetch", "EventSource"])
def test_a_server_that_is_away_for_a_moment(page, service, server, way):
    """If nothing listens in the middle of a task, the page asks again until it sees the end, and sends nothing twice."""
    begin(page, way)
    with page.expect_event("requestfailed", is_for_events):
        server.terminate()
        server.output()
    with started_again(service, server.port):
        let_end(service)
        expect(page.locator("#state")).to_contain_text("final: completed")

    assert 1 == service.billed


class NoReplica(http.server.BaseHTTPRequestHandler):
    """A proxy that has no replica: it answers every request with a web page."""

    def do_GET(self):
        self.send_error(502)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def proxy_without_replica(port):
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), NoReplica) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=[0.05])
        thread.start()
        yield
        proxy.shutdown()
        thread.join()


@pytest.mark.parametrize("way", ["fetch", "EventSource"])
def test_a_proxy_that_has_no_replica_for_a_moment(page, service, server, way):
    """If a proxy answers with its own page in the middle of a task, the page asks again until it sees the end."""
    begin(page, way)
    server.terminate()
    server.output()
    with proxy_without_replica(server.port):
        with page.expect_response(lambda answer: 502 == answer.status and is_for_events(answer)):
            pass
        with page.expect_response(lambda answer: 502 == answer.status):  # the page's next request
            pass
    with started_again(service, server.port):
        let_end(service)
        expect(page.locator("#state")).to_contain_text("final: completed")

    assert 1 == service.billed


def test_an_old_ticket(page, service, server):
    """If the events refuse the ticket of an EventSource, the page takes a new one, and sees the end."""
    begin(page, "EventSource")
    server.terminate()
    server.output()
    with started_again(service, server.port, APP_SECRET="a-new-secret"):
        with page.expect_response(lambda answer: 401 == answer.status and is_for_events(answer)):
            pass
        let_end(service)
        expect(page.locator("#state")).to_contain_text("final: completed")

    assert 2 == len([path for path in page.requested if path.endswith("/ticket")])


A_BUG = """
    const { get, set } = Object.getOwnPropertyDescriptor(Node.prototype, "textContent");
    Object.defineProperty(Node.prototype, "textContent", {
        get,
        set(text) {
            if (text.startsWith("final")) throw new TypeError("a bug");
            set.call(this, text);
        },
    });
"""


@pytest.mark.parametrize("way", ["fetch", "EventSource"])
def test_a_bug_of_the_page(page, service, way):
    """If the page cannot show the end, it says so, and asks no more."""
    page.add_init_script(A_BUG)
    page.reload()
    begin(page, way)
    let_end(service)
    expect(page.locator("#state")).to_have_text("a bug")
    page.wait_for_timeout(2500)  # it would ask again after a second

    assert 1 == len([path for path in page.requested if path.endswith("/events")])


def test_an_end_that_was_seen_before(page):
    """If the stream breaks after the last event, the next answer is 204, and the page asks no more."""
    page.route("**/events", lambda route: route.fulfill(status=204))
    page.fill("#token", TOKEN["APP_TOKEN"])
    page.get_by_role("button", name="fetch").click()
    with page.expect_request(lambda request: request.url.endswith("/files/1")):
        pass

    assert 1 == len([path for path in page.requested if path.endswith("/events")])


def test_an_event_source_gives_up(page):
    """If thirty sources in a row close without an event, the page says so, and asks no more."""
    page.add_init_script("const wait = setTimeout; window.setTimeout = (resume) => wait(resume, 10);")
    page.reload()
    page.route("**/events", lambda route: route.fulfill(status=401))
    page.fill("#token", TOKEN["APP_TOKEN"])
    page.get_by_role("button", name="EventSource").click()
    expect(page.locator("#state")).to_have_text("The server sends no events.")

    assert 30 == len([path for path in page.requested if path.endswith("/events")])


@pytest.mark.parametrize("way", ["fetch", "EventSource"])
def test_a_browser_without_the_token(page, service, way):
    """Without the token the page says so, and nothing is billed."""
    page.get_by_role("button", name=way).click()
    expect(page.locator("#state")).to_have_text("who are you?")

    assert 0 == service.billed


def ask(server, path, method="GET", body=None, **headers):
    """The status and the headers of an answer."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders())
    connection.close()
    return found


def test_a_ticket_is_for_one_stream_and_in_no_log(server, service):
    """A ticket opens the events of its task, no other task and no other route; and no log shows it."""
    mine = {"authorization": f"Bearer {TOKEN['APP_TOKEN']}"}
    request = json.dumps({"model": "grok-imagine-image", "prompt": "x"})
    paths = [
        ask(server, "/images", "POST", request, content_type="application/json", **mine)[1]["location"]
        for _ in range(2)
    ]
    status, headers = ask(server, f"{paths[0]}/ticket", "POST", **mine)
    cookie, *attributes = headers["set-cookie"].split("; ")
    forged = cookie.replace("=", "=9", 1)

    assert (204, f"Path={paths[0]}/events") == (status, attributes[2])
    assert {"HttpOnly", "SameSite=strict", "Max-Age=600"} <= set(attributes)
    assert [200, 401, 401, 401, 401] == [
        ask(server, path, cookie=given)[0]
        for path, given in (
            (f"{paths[0]}/events", cookie),
            (f"{paths[1]}/events", cookie),
            (f"{paths[0]}/result", cookie),
            (f"{paths[0]}/events", forged),
            (f"{paths[0]}/events", "ticket=x"),
        )
    ]
    assert 401 == ask(server, f"{paths[0]}/ticket", "POST")[0]
    server.terminate()
    log = server.output()
    assert f"{paths[0]}/events" in log
    assert cookie.partition(".")[2] not in log
