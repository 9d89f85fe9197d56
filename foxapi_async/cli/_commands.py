"""The commands: each takes the parsed options and a screen, and returns its exit status."""

from __future__ import annotations

import json
import os
import shlex
from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foxapi_async._errors import ConfigurationError, InvalidRequestError, NotFoundError
from foxapi_async._http.credentials import DEFAULT_BASE_URL
from foxapi_async._wire.requests import check_task_id
from foxapi_async._wire.texts import counted, plain
from foxapi_async.cli import _exits, _requests
from foxapi_async.cli._messages import report as report_error
from foxapi_async.cli._models import show_models
from foxapi_async.cli._screen import Screen
from foxapi_async.models import GenerationRequest

if TYPE_CHECKING:
    from foxapi_async._client.session import FoxSession
    from foxapi_async._handles.snapshot import TaskSnapshot
    from foxapi_async._wire.account_replies import AccountCredits
    from foxapi_async.cli._job import TaskCommand, Work

# A command first checks its options, and says what it does. Then it imports aiohttp, which may take seconds.


def _run_tasks(args: Namespace, screen: Screen, work: Work, folder: Path = Path()) -> int:
    """Run work on tasks in a session. Their images go to `folder`."""
    from foxapi_async.cli._job import TaskCommand  # noqa: PLC0415 - with aiohttp

    return _run(TaskCommand(args, screen, folder).in_session(work), screen)


def _run(work: Coroutine[Any, Any, int], screen: Screen) -> int:
    from foxapi_async.cli._running import run  # noqa: PLC0415 - with aiohttp

    return run(work, screen)


def generate(args: Namespace, screen: Screen) -> int:
    """Submit the requests, wait, save."""
    requests = _requests.read_requests(args)
    name = _requests.read_name(args.name, ("prompt", "id", "n"))
    if args.dry_run:
        return max(_show_request(request, screen) for request in requests)
    service = _requests.read_service(args)
    folder = _requests.open_folder(args.out)
    names = _requests.fill_prompts(name, requests, folder, overwrite=args.overwrite)
    uploading = "uploading and " if any(request.local_files() for request in requests) else ""
    screen.note(f"{uploading}sending to {service}")

    async def work(command: TaskCommand, fox: FoxSession) -> int:
        return await command.generate(fox, requests, names)

    return _run_tasks(args, screen, work, folder)


def _show_request(request: GenerationRequest, screen: Screen) -> int:
    """Print the body of a submit and the curl command that sends it, without the key. Send nothing."""
    body = request.to_dict()
    path = body.pop("path", request.path)
    url = (os.environ.get("FOXAPI_BASE_URL") or DEFAULT_BASE_URL).strip().rstrip("/") + path
    if files := request.local_files():
        screen.note(f"{counted(len(files), 'local file')} would be uploaded first, and sent as an address")
    for line in json.dumps(body, indent=2, ensure_ascii=False, default=os.fspath).splitlines():
        screen.line(line)
    sent = shlex.quote(json.dumps(body, ensure_ascii=False, default=os.fspath))
    headers = "-H 'Content-Type: application/json' -H \"Authorization: Bearer $FOXAPI_API_KEY\""
    screen.line(f"curl {shlex.quote(url)} {headers} -d {sent}")
    screen.data({"url": url, "body": json.loads(json.dumps(body, default=os.fspath))})
    return _exits.DONE


def wait(args: Namespace, screen: Screen) -> int:
    """Attach to tasks, wait, save."""
    ids = list(dict.fromkeys(check_task_id(task_id) for task_id in args.ids))
    name = _requests.read_name(args.name, ("id", "n"))
    if len(ids) > 1 and "{id}" not in name:
        raise InvalidRequestError(f"--name {name}: for several tasks, the name needs {{id}}")
    service = _requests.read_service(args)
    folder = _requests.open_folder(args.out)
    screen.note(f"waiting for {counted(len(ids), 'task')} of {service}")

    async def work(command: TaskCommand, fox: FoxSession) -> int:
        return await command.finish([command.attach(fox, task_id) for task_id in ids], name)

    return _run_tasks(args, screen, work, folder)


def batch(args: Namespace, screen: Screen) -> int:
    """Run many requests, each once."""
    file = "standard input" if args.file == "-" else args.file
    if args.batch is not None and args.dsn is None:
        raise InvalidRequestError(f"--batch {args.batch}: this is for a batch in a database; give --dsn, too")
    if args.dsn is not None and not args.check:
        screen.note(f"reading {file}, for the workers of a database")
        from foxapi_async.cli._cluster_batch import start_followed_batch  # noqa: PLC0415 - rarely needed

        return _run(start_followed_batch(args, screen), screen)
    sending = "" if args.check else f", to send its items to {_requests.read_service(args)}"
    screen.note(f"reading {file}{sending}")
    from foxapi_async.cli._batch import start_batch  # noqa: PLC0415 - a database, which only batches need

    return _run(start_batch(args, screen), screen)


def worker(args: Namespace, screen: Screen) -> int:
    """Work on the batches of a database."""
    from foxapi_async.cli import _cluster_worker  # noqa: PLC0415 - with aiohttp

    if args.recover is not None:
        return _run(_cluster_worker.start_recovery(args, screen), screen)
    from foxapi_async.cli._running import run_until_stopped  # noqa: PLC0415 - with aiohttp

    command = _cluster_worker.WorkerCommand(args, screen)
    return run_until_stopped(command.work(), command.stop)  # pragma: no cover - needs PostgreSQL


def cluster(args: Namespace, screen: Screen) -> int:
    """Make the tables of a database, or act on its workers and batches."""
    from foxapi_async.cli._cluster import start_cluster  # noqa: PLC0415 - rarely needed

    return _run(start_cluster(args, screen), screen)


def status(args: Namespace, screen: Screen) -> int:
    """Show a task, or a batch, once."""
    if args.dsn is not None:
        from foxapi_async.cli._cluster import show_batch  # noqa: PLC0415 - rarely needed

        return _run(show_batch(args, screen), screen)
    if os.path.isdir(args.id):  # noqa: PTH112 - Path.is_dir raises if the name is too long
        from foxapi_async.cli._batch_status import show_status  # noqa: PLC0415 - a database, which only batches need

        return _run(show_status(_requests.read_batch_folder(args.id), screen), screen)
    service, no_folder = _requests.read_task(args)
    screen.note(f"asking {service}{no_folder and f' for a task: {no_folder}'}")

    async def work(_: TaskCommand, fox: FoxSession) -> int:
        try:
            snapshot = await fox.fetch(args.id)
        except NotFoundError as error:
            unknown = f"{no_folder}, and the service has no such task" if no_folder else ""
            code = report_error(error, screen, about=unknown, debug=args.debug)
            return _exits.USAGE if no_folder else code
        screen.line(_snapshot_line(snapshot))
        screen.data(_snapshot_object(snapshot))
        return _exits.DONE

    return _run_tasks(args, screen, work)


def report(args: Namespace, screen: Screen) -> int:
    """Make the page of a batch."""
    from foxapi_async.report import write_report  # noqa: PLC0415 - only batches need it

    path = write_report(_requests.read_batch_folder(args.out))
    screen.line(str(path))
    screen.data({"path": str(path)})
    return _exits.DONE


def export(args: Namespace, screen: Screen) -> int:
    """Give the items of a batch to other programs."""
    from foxapi_async.cli._export import export_batch  # noqa: PLC0415 - a database, which only batches need

    return _run(export_batch(args, screen), screen)


def upload(args: Namespace, screen: Screen) -> int:
    """Store a file."""
    path = _requests.read_image("FILE", args.file)
    if isinstance(path, str):
        raise InvalidRequestError(f"FILE {path}: this is a URL already; give it to `foxapi generate --image`")
    screen.note(f"uploading {path} to {_requests.read_service(args)}")

    async def work(_: TaskCommand, fox: FoxSession) -> int:
        stored = await fox.upload(path)
        screen.line(stored.url)
        names = ("url", "id", "filename", "size", "created")
        screen.data({name: getattr(stored, name) for name in names})
        screen.note("the service keeps the file for 72 hours")
        return _exits.DONE

    return _run_tasks(args, screen, work)


def models(args: Namespace, screen: Screen) -> int:
    """List the models, or show one."""
    if not args.mine:
        return show_models(args, screen)
    screen.note(f"asking {_requests.read_service(args)} which models the key may call")

    async def work(_: TaskCommand, fox: FoxSession) -> int:
        return show_models(args, screen, mine=await fox.models())

    return _run_tasks(args, screen, work)


def account_credits(args: Namespace, screen: Screen) -> int:
    """Show the credits of the key."""
    screen.note(f"asking {_requests.read_service(args)} for the credits of the key")

    async def work(_: TaskCommand, fox: FoxSession) -> int:
        stated = await fox.credits()
        for line in _credit_lines(stated):
            screen.line(line)
        screen.data({"remaining": stated.remaining, "raw": stated.raw})
        return _exits.DONE

    return _run_tasks(args, screen, work)


def serve(args: Namespace, screen: Screen) -> int:
    """Serve the page."""
    screen.note(f"starting the page, which sends to {_requests.read_service(args)}")
    try:
        from foxapi_async.cli._serve import PageCommand  # noqa: PLC0415 - a web server, rarely needed
    except ImportError as error:
        problem = f"foxapi serve needs {error.name}: pip install 'foxapi-async[web]'"
    else:
        return _run(PageCommand(args, screen).work(), screen)
    raise ConfigurationError(problem)


def emulator(args: Namespace, _screen: Screen) -> int:
    """Run the emulator."""
    from foxapi_async.emulator.__main__ import run as run_emulator  # noqa: PLC0415 - a web server, rarely needed

    return run_emulator(args)


def doctor(args: Namespace, screen: Screen) -> int:
    """Check what a command needs."""
    from foxapi_async.cli._doctor import examine  # noqa: PLC0415 - rarely needed

    return _run(examine(Path(args.out), screen), screen)


def completion(args: Namespace, screen: Screen) -> int:
    """Print a completion script."""
    try:
        from foxapi_async.cli._completion import completion_script  # noqa: PLC0415 - optional
    except ImportError as error:
        problem = f"foxapi completion needs {error.name}: pip install 'foxapi-async[cli]'"
    else:
        script = completion_script(args.shell)
        for line in script.splitlines():
            screen.line(line)
        screen.data({"shell": args.shell, "script": script})
        return _exits.DONE
    raise ConfigurationError(problem)


COMMANDS: Mapping[str, Callable[[Namespace, Screen], int]] = {
    "generate": generate,
    "batch": batch,
    "worker": worker,
    "cluster": cluster,
    "report": report,
    "export": export,
    "status": status,
    "wait": wait,
    "upload": upload,
    "models": models,
    "credits": account_credits,
    "serve": serve,
    "emulator": emulator,
    "doctor": doctor,
    "completion": completion,
}


def _credit_lines(stated: AccountCredits) -> Iterator[str]:
    """What remains, if it is known, and then each field of the reply. A field with other fields in it is JSON."""
    known = [] if stated.remaining is None else [("remaining", stated.remaining)]
    for name, value in (*known, *(item for item in stated.raw.items() if item not in known)):
        yield plain(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


def _snapshot_line(snapshot: TaskSnapshot) -> str:
    progress = None if snapshot.progress is None or snapshot.finished else f"{snapshot.progress:g} %"
    images = counted(len(snapshot.images), "image") if snapshot.images else None
    problem = snapshot.error and ": ".join(filter(None, (snapshot.error.code, snapshot.error.message)))
    parts = (snapshot.id, snapshot.status, progress, images, problem, snapshot.model)
    return plain("  ".join(part for part in parts if part))


def _snapshot_object(snapshot: TaskSnapshot) -> dict[str, Any]:
    problem = snapshot.error
    return {
        "task_id": snapshot.id,
        "model": snapshot.model or None,
        "status": snapshot.status,
        "finished": snapshot.finished,
        "progress": snapshot.progress,
        "estimated_time": snapshot.estimated_time,
        "created": snapshot.created,
        "images": [{"url": image.url, "content_type": image.content_type} for image in snapshot.images],
        "error": problem and {"code": problem.code, "message": problem.message, "type": problem.type},
        "usage": snapshot.usage,
    }
