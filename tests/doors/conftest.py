"""What the tests of the command line and of the page share."""

import os

import pytest
from shell import PYTHON, point_to

from foxapi_async.cli import main
from foxapi_async.emulator import ThreadedEmulator


@pytest.fixture
def clean_place(monkeypatch, tmp_path):
    """An empty working folder, without the settings of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOXAPI_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def service(monkeypatch):
    """A service with fast tasks; the environment points to it."""
    with ThreadedEmulator(seconds=0.1) as emulator:
        point_to(emulator, monkeypatch)
        yield emulator


@pytest.fixture
def named_columns():
    """The columns of a table that have the name of a Python term."""
    return ()


@pytest.fixture
def foxapi(capfd, named_columns):
    """Run a command line: its exit status, standard output and standard error, which never contains Python terms."""

    def run(*words):
        code = main(words)
        out, err = capfd.readouterr()
        shown = err
        for name in named_columns:
            shown = shown.replace(name, "")
        if "--debug" not in words:
            assert "Traceback" not in err
            assert not PYTHON.search(shown)
        return code, out, err

    return run


# The page in a browser. What it needs may not be installed.


@pytest.fixture(scope="module")
def page_service():
    """A service for the tests of the page in a browser."""
    with ThreadedEmulator(seconds=0.8) as running:
        yield running


@pytest.fixture(scope="module")
def page_server(page_service, tmp_path_factory):
    """`foxapi serve` at that service."""
    from browsing import Server

    running = Server(page_service, tmp_path_factory.mktemp("page"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def browser():
    """The machine's own Chromium."""
    from chromium import CHROMIUM, playwright  # it may not be installed

    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def complaints():
    """The messages in a browser's console against the page."""
    return []


@pytest.fixture
def page(page_server, browser, complaints):
    """The open page. At the end its console must be empty."""
    from browsing import loaded
    from chromium import PATIENCE

    with browser.new_context(base_url=page_server.url, viewport={"width": 1360, "height": 900}) as context:
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
        tab.on(
            "response", lambda response: complaints.append(response.url) if response.status == 404 else None
        )
        # A violation of the policy is an event, even if the console is silent.
        tab.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective))"
        )
        tab.goto(page_server.url)
        loaded(tab)  # images of earlier tests are there
        yield tab
        said = [text for text in complaints if "net::ERR_ABORTED" not in text]
    assert [] == said
