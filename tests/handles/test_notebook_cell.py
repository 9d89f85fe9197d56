"""A handle in the cell of a notebook. IPython is not needed: a page that keeps all states stands in for it."""

import asyncio
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers import fox_request, now, polls

from foxapi_async import FoxSession, TaskFailedError
from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual


class Page:
    """The part of IPython that a handle uses. It keeps every state of every cell, with its time."""

    def __init__(self, *types):
        self.display_formatter = SimpleNamespace(active_types=types)
        self.cells = []
        self.broken = False

    def get_ipython(self):
        return self

    def display(self, bundle, *, raw, display_id):
        assert (raw, display_id) == (True, True)
        states = []
        self.cells.append(states)
        cell = SimpleNamespace(update=lambda bundle, *, raw: self._keep(states, bundle))
        self._keep(states, bundle)
        return cell

    def _keep(self, states, bundle):
        if self.broken:
            raise OSError("the kernel is gone")
        states.append((now(), bundle))

    @property
    def texts(self):
        """The states of the only cell, as HTML."""
        (states,) = self.cells
        return [bundle["text/html"] for _, bundle in states]


def put_in_place(page, monkeypatch):
    """Let `import IPython` find this page."""
    module = SimpleNamespace(get_ipython=page.get_ipython, display=page)
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", page)
    return page


@pytest.fixture
def page(monkeypatch):
    """A notebook that shows HTML."""
    return put_in_place(Page("text/plain", "text/html"), monkeypatch)


def shares(texts):
    """How far the bar is in each text that has one."""
    return [float(found[1]) for text in texts if (found := re.search(r'value="([\d.]+)"', text))]


async def test_the_bar_moves_to_the_image(fox, page):
    """The bar of a cell only grows while the task runs. At the end the image is in its place."""
    task = await fox.submit(fox_request())
    task._ipython_display_()
    result = await task
    await asyncio.sleep(0)

    grown = shares(page.texts)
    assert grown == sorted(grown)
    assert len(set(grown)) > 10
    assert f'<img src="{result.images[0].url}"' in page.texts[-1]
    assert "<progress" not in page.texts[-1]


async def test_a_cell_names_state_time_and_id(fox, page):
    """A running task has its status, the elapsed time, about how long is left, and its id."""
    task = await fox.submit(fox_request())
    await asyncio.sleep(4)
    task._ipython_display_()

    (text,) = page.texts
    assert re.fullmatch(
        r'<div><progress max="1" value="0\.\d{3}"></progress> (pending|processing) \d+%, 4 s, about \d+ s left '
        rf"<code>{task.id}</code></div>",
        text,
    )


async def test_updates_are_few(fox, emulator, page):
    """A cell is updated with each poll, and at most once a second between two polls."""
    task = await fox.submit(fox_request())
    task._ipython_display_()
    began = now()
    await task
    await asyncio.sleep(0)

    assert now() - began > 10
    assert len(page.texts) <= 1 + len(polls(emulator)) + (now() - began)


async def test_nothing_is_left_after_the_end(fox, page):
    """A cell is not updated after the task has ended."""
    task = await fox.submit(fox_request())
    task._ipython_display_()
    await task
    await asyncio.sleep(0)
    count = len(page.texts)
    await asyncio.sleep(30)

    assert count == len(page.texts)


async def test_several_cells_follow_one_task(fox, page):
    """Each cell that shows a handle follows it."""
    task = await fox.submit(fox_request())
    task._ipython_display_()
    await asyncio.sleep(5)
    task._ipython_display_()
    await task
    await asyncio.sleep(0)

    assert ["<img" in states[-1][1]["text/html"] for states in page.cells] == [True, True]


async def test_closing_the_session_ends_the_cell(emulator, page):
    """When the session is closed, the cell says so and has the id. No asyncio task is left."""
    fox = await FoxSession(emulator.key, base_url=emulator.url).open()
    before = asyncio.all_tasks()
    task = await fox.submit(fox_request())
    task._ipython_display_()
    await asyncio.sleep(2)
    await fox.aclose()
    count = len(page.texts)
    assert asyncio.all_tasks() <= before
    await asyncio.sleep(30)

    assert page.texts[-1].startswith(
        f"<div>abandoned <code>{task.id}</code></div><div>the session was closed"
    )
    assert count == len(page.texts)


async def test_a_failure_is_in_the_cell(fox, emulator, page):
    """The error of a failed task is shown as text. It is raised where the task is awaited, and nowhere else."""
    emulator.add_fault(Fault.fails("<b>", "no & never"))
    task = await fox.submit(fox_request())
    task._ipython_display_()
    with pytest.raises(TaskFailedError):
        await task
    await asyncio.sleep(0)

    assert page.texts[-1].startswith("<div>failed after ")
    assert "failed (&lt;b&gt;): no &amp; never</div>" in page.texts[-1]


async def test_what_the_service_says_is_text(fox, emulator):
    """HTML in a status has no effect, and a long status is shortened."""
    emulator.add_fault(Fault.altered("submit", {"status": "<script>" + "x" * 100}))
    task = await fox.submit(fox_request())

    assert "</progress> &lt;script&gt;xxxx" in task._repr_html_()
    assert "x" * 50 not in task._repr_html_()


async def test_a_task_that_was_not_read_yet(fox):
    """Before the first reply, the bar shows that nothing is known."""
    task = fox.attach("task-<1>")

    assert (
        task._repr_html_()
        == '<div><progress max="1"></progress> not read yet <code>task-&lt;1&gt;</code></div>'
    )


async def test_a_task_without_an_estimate(fox, emulator):
    """The bar has no value if it is not known how far the task is."""
    unknown = {"progress": None, "task_info": {}}
    emulator.add_fault(Fault.altered("submit", unknown))
    task = await fox.submit(fox_request())

    assert task._repr_html_().startswith('<div><progress max="1"></progress> pending, 0 s <code>')


async def test_a_task_that_is_over_is_shown_once(fox, page):
    """There is nothing to follow, so IPython shows the HTML of the handle."""
    task = await fox.submit(fox_request())
    await task

    with pytest.raises(NotImplementedError):
        task._ipython_display_()
    assert "<img" in task._repr_html_()
    assert [] == page.cells


async def test_a_terminal_is_not_followed(fox, monkeypatch):
    """IPython in a terminal has no HTML, and would write each new state on a new line. So it shows the handle once."""
    terminal = put_in_place(Page("text/plain"), monkeypatch)
    task = await fox.submit(fox_request())

    with pytest.raises(NotImplementedError):
        task._ipython_display_()
    assert [] == terminal.cells


async def test_another_thread_shows_the_present_state(fox, page):
    """A cell that runs elsewhere than the session's loop cannot follow it."""
    task = await fox.submit(fox_request())

    with pytest.raises(NotImplementedError):
        await asyncio.to_thread(task._ipython_display_)
    assert [] == page.cells


async def test_a_broken_page_disturbs_no_one(fox, page):
    """An error of IPython goes to the loop's handler once. The task's waiter gets its result."""
    heard = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["exception"]))
    task = await fox.submit(fox_request())
    task._ipython_display_()
    page.broken = True
    result = await task

    assert result.images
    assert ["the kernel is gone"] == [str(error) for error in heard]


@pytest.mark.thorough
def test_a_program_does_not_import_ipython():
    """Only a notebook loads IPython."""
    program = "import sys; from foxapi_async import *; sys.exit('IPython' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", program]).returncode
