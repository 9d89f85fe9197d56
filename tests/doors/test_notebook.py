"""The notebook of the docs, executed in a kernel of Jupyter."""

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (dependency group `notebook`)")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (dependency group `notebook`)")
pytest.importorskip("ipykernel", reason="ipykernel is not installed (dependency group `notebook`)")

from jupyter_client.manager import start_new_kernel  # noqa: E402 - a part of nbclient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which the notebook runs."""
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def cells(folder):
    """The code cells of the notebook, with the outputs of a run in a new kernel."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    return [cell for cell in client.execute().cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def kernel(folder):
    """Runs code in a new kernel: the messages of each call, up to its end."""
    manager, client = start_new_kernel(cwd=str(folder))

    def run(code):
        sent, found = client.execute(code), []
        while True:
            message = client.get_iopub_msg(timeout=60)
            found.append(message)
            if message["parent_header"].get("msg_id") == sent and "idle" == message["content"].get(
                "execution_state"
            ):
                return found

    try:
        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def outputs(cells, beginning):
    """The outputs of the only cell that has a line with this beginning."""
    (cell,) = [cell for cell in cells if any(line.startswith(beginning) for line in cell.source.splitlines())]
    return cell.outputs


def printed(outputs):
    """The lines that a cell printed."""
    return "".join(out.text for out in outputs).splitlines()


def test_the_notebook_is_stored_without_outputs():
    """The file has no outputs of a run, which would be large, and different each time."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    assert [] == [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]


def test_no_cell_warns(cells):
    """No cell writes a warning or an error."""
    assert [] == [out.text for cell in cells for out in cell.outputs if out.get("name") == "stderr"]


def test_a_result_shows_its_picture(cells):
    """A result as the last expression of a cell shows the image, loaded from its address."""
    (shown,) = outputs(cells, "result = await fox.generate(")

    assert shown.data["text/html"].startswith('<img src="http://127.0.0.1:')


def test_a_picture_stays_in_the_notebook(cells):
    """The bytes of an image are one that IPython can show."""
    (shown,) = outputs(cells, "Image(")

    assert "image/jpeg" in shown.data


def test_the_progress_ends_with_the_task(cells):
    """The loop over a handle shows the state at each poll, until the task is completed."""
    lines = printed(outputs(cells, "async for event in task"))

    assert "completed, 100 %, about 0 s left" == lines[-1]


def test_a_running_handle_shows_a_bar(cells):
    """A handle as the last line of a cell shows how far its task is, as HTML and as text."""
    (shown,) = outputs(cells, "task = await fox.submit(")

    assert shown.data["text/html"].startswith('<div><progress max="1" value="0.')
    assert shown.data["text/plain"].startswith("<TaskHandle task-")


def test_the_bar_becomes_the_image(cells):
    """While a cell waits for a task, its bar is replaced by newer ones, and at the end by the image."""
    shown, saved = outputs(cells, "owl = await fox.submit(")

    assert shown.data["text/html"].startswith("<div>succeeded after ")
    assert '<img src="http://127.0.0.1:' in shown.data["text/html"]
    assert "out/task-" in saved.data["text/plain"]


def test_many_are_shown(cells):
    """The cell with many tasks shows the image of each."""
    shown = outputs(cells, "async for outcome in")

    assert 3 == len([out for out in shown if "<img" in out.data["text/html"]])


def test_images_are_saved(cells, folder):
    """The cells that save write files."""
    assert 2 == len(list(folder.glob("out/*.jpg")))


def test_nothing_runs_at_the_end(cells):
    """When the session is closed, no paid task still runs."""
    (shown,) = cells[-1].outputs

    assert "()" == shown.data["text/plain"]


def test_a_bar_moves_while_other_cells_run(kernel):
    """The cell of a handle is updated while later cells run: first with newer bars, at the end with the image."""
    kernel(
        "from foxapi_async import FoxSession, GrokImagineImage\n"
        "from foxapi_async.emulator import Emulator\n"
        "service = await Emulator(seconds=3).__aenter__()\n"
        "fox = await FoxSession(service.key, base_url=service.url).open()\n"
        "task = await fox.submit(GrokImagineImage('a fox'))"
    )
    (shown,) = [message for message in kernel("task") if message["msg_type"] == "display_data"]
    later = [*kernel("result = await task"), *kernel("await fox.aclose()")]
    texts = [
        message["content"]["data"]["text/html"]
        for message in later
        if message["msg_type"] == "update_display_data"
        and message["content"]["transient"] == shown["content"]["transient"]
    ]

    assert 3 <= len(texts) <= 12
    assert "<progress" in texts[0]
    assert "<img" in texts[-1]
