"""Faults that last for a while, that come from the edge, and that change a reply. Each docstring is a claim."""

import asyncio
import base64
import json
import math
from collections import Counter

import aiohttp
import pytest
from test_emulator import GROK, IMAGES, client, finished, get, poll, running, submit, upload

from foxapi_async.emulator import Emulator, Fault, ThreadedEmulator

virtual = pytest.mark.virtual


async def post(http, body=GROK, **options):
    """The status, the headers and the bytes of the answer to a submit."""
    async with http.post(IMAGES, json=body, allow_redirects=False, **options) as reply:
        return reply.status, reply.headers, await reply.read()


async def statuses(http, count, path="/v1/models"):
    return [(await get(http, path))[0] for _ in range(count)]


# Outages in time


@virtual
async def test_an_outage_has_a_beginning_and_an_end():
    """A fault during some seconds applies to each request of its kind then, and to none before or after."""
    seen = []
    async with running(Fault.status("submit", 503).during(10, 12)) as (emulator, http):
        for _ in range(5):
            seen.append((await post(http))[0])
            seen.append((await statuses(http, 1))[0])
            await asyncio.sleep(3.9)

    # At 0, 3.9, 7.8, 11.7 and 15.6 s.
    assert seen == [200, 200, 200, 200, 200, 200, 503, 200, 200, 200]
    assert emulator.billed == 4


@virtual
async def test_an_outage_counts_from_the_start_of_the_emulator():
    """The seconds of an outage count from the moment in which the emulator was started."""
    await asyncio.sleep(1000)
    async with running(Fault.edge("all", 502).during(1, 2)) as (_, http):
        first = await statuses(http, 1)
        await asyncio.sleep(1.5)
        second = await statuses(http, 1)

    assert (first, second) == ([200], [502])


@virtual
async def test_an_outage_can_begin_now():
    """An outage that starts on a running emulator begins at once and has the given length."""
    async with running() as (emulator, http):
        await asyncio.sleep(50)
        emulator.outage(2)
        begins = await post(http)
        await asyncio.sleep(1.99)
        lasts = await post(http)
        await asyncio.sleep(0.02)
        ends = await post(http)

    assert [begins[0], lasts[0], ends[0]] == [503, 503, 200]
    assert begins[1]["Content-Type"] == "text/html"
    assert emulator.billed == 1


@virtual
async def test_an_outage_can_be_of_any_fault():
    """An outage applies the given fault to each request, of that kind only."""
    async with running() as (emulator, http):
        emulator.outage(60, Fault.edge("submit", 302, location="http://captive.example.com/"))
        replies = [await post(http) for _ in range(3)]
        others = await statuses(http, 2)

    assert [(status, headers["Location"]) for status, headers, _ in replies] == [
        (302, "http://captive.example.com/")
    ] * 3
    assert others == [200, 200]


def test_an_outage_of_the_emulator_in_a_thread():
    """The form for synchronous code has outages as well."""
    with ThreadedEmulator() as emulator:
        emulator.outage(60)

        async def ask():
            async with client(emulator) as http:
                return await statuses(http, 1)

        assert asyncio.run(ask()) == [503]


async def test_every_kind_of_request():
    """A fault on "all" applies to submits, polls, uploads, files and every other request."""
    async with running(seconds=0.0) as (emulator, http):
        _, accepted, _ = await submit(http)
        url = (await poll(http, accepted["id"]))[1]["results"][0]["url"]
        emulator.outage(60, Fault.edge("all", 502))
        seen = [
            (await post(http))[0],
            *await statuses(http, 1, f"/v1/tasks/{accepted['id']}"),
            *await statuses(http, 1, url),
            *await statuses(http, 2),
            *await statuses(http, 1, "/v1/account/credits"),
            *await statuses(http, 1, "/nowhere"),
        ]
        async with http.post("/v1/files/upload/base64", json={"file_data": "AAAA"}) as reply:
            seen.append(reply.status)

    assert seen == [502] * 8
    assert emulator.billed == 1


async def test_the_service_s_own_faults_can_be_on_all():
    """A fault of the service itself on "all" applies to each request that the service has a route for."""
    async with running(Fault.status("all", 500, times=None)) as (emulator, http):
        seen = [(await submit(http))[0], *await statuses(http, 1), (await upload(http, file_data="AAAA"))[0]]
        nowhere = await statuses(http, 1, "/nowhere")

    assert (seen, nowhere) == ([500, 500, 500], [404])
    assert emulator.billed == 0


@virtual
async def test_connections_are_refused_for_a_while():
    """A restart drops the connections, refuses new ones, and answers at the same address afterwards."""
    async with running(Fault.hang("poll"), seconds=100) as (emulator, http):
        _, accepted, _ = await submit(http)
        hanging = asyncio.create_task(poll(http, accepted["id"]))
        await asyncio.sleep(1)
        restart = asyncio.create_task(emulator.refuse(30))
        await asyncio.sleep(0.5)
        with pytest.raises(aiohttp.ClientConnectionError):
            await hanging
        with pytest.raises(aiohttp.ClientConnectorError):
            await submit(http)
        await restart
        status, reply = await poll(http, accepted["id"])

    assert (status, reply["id"]) == (200, accepted["id"])
    assert emulator.billed == 1


@virtual
async def test_an_emulator_can_be_left_while_it_refuses():
    """An emulator whose context ends during a restart does not listen again."""
    async with running() as (emulator, http):
        restart = asyncio.create_task(emulator.refuse(30))
        await asyncio.sleep(1)
    await restart
    async with client(emulator) as http:
        with pytest.raises(aiohttp.ClientConnectorError):
            await submit(http)


# In front of the service


@pytest.mark.parametrize("status", [200, 303, 400, 403, 404, 405, 421, 502, 503, 520])
async def test_a_page_is_no_json(status):
    """A page of the edge has its status and no JSON; a submit that gets it is neither accepted nor billed."""
    async with running(Fault.edge("submit", status)) as (emulator, http):
        seen, _, page = await post(http)

    assert seen == status
    assert b"{" not in page
    assert page != b""
    assert emulator.billed == 0


async def test_the_ingress_s_404():
    """A 404 of the edge is the plain text of an ingress without a backend."""
    async with running(Fault.edge("all", 404)) as (_, http):
        _, headers, page = await post(http)

    assert page == b"404 page not found\n"
    assert headers["Content-Type"] == "text/plain"


async def test_a_page_of_one_s_own():
    """A page of the edge can have any text, type, address and `Retry-After`."""
    fault = Fault.edge(
        "poll", 503, body=b"later", content_type="text/plain", location="http://x/", retry_after="2s"
    )
    async with running(fault) as (_, http):
        _, accepted, _ = await submit(http)
        status, body, headers = await get(http, f"/v1/tasks/{accepted['id']}")

    assert (status, body, headers["Content-Type"]) == (503, b"later", "text/plain")
    assert (headers["Location"], headers["Retry-After"]) == ("http://x/", "2s")


async def test_the_edge_comes_first():
    """The edge answers before the key, the task and the address are checked."""
    wrong = {"Authorization": "Bearer sk-wrong"}
    async with running(Fault.edge("all", 404, times=4)) as (_, http):
        pages = [
            (await post(http, headers=wrong))[2],
            (await post(http, {}))[2],
            (await get(http, "/v1/tasks/nope"))[1],
            (await get(http, "/nowhere"))[1],
        ]
        after = await post(http, headers=wrong)

    assert pages == [b"404 page not found\n"] * 4
    assert after[0] == 401


async def test_the_edge_may_pass_on_and_spoil_the_answer():
    """A page in place of the answer: the submit is billed, and the service's own faults do not apply to that
    request.
    """
    own = Fault.status("submit", 429)
    async with running(own, Fault.edge("submit", 502, accepted=True)) as (emulator, http):
        first = await post(http)
        second = await post(http)

    assert (first[0], second[0]) == (502, 429)
    assert (emulator.billed, len(emulator.tasks)) == (1, 1)


@pytest.mark.parametrize("body", [{}, GROK | {"num_outputs": 99}])
async def test_the_edge_passes_on_what_is_refused(body):
    """A request that the service refuses is not billed; the edge's page hides the refusal."""
    async with running(Fault.edge("submit", 502, accepted=True)) as (emulator, http):
        status, _, _ = await post(http, body)

    assert (status, emulator.billed) == (502, 0)


async def test_a_firewall_that_refuses_one_prompt():
    """An edge can refuse by a rule on the prompt: only that submit, each time."""
    firewall = Fault.edge("submit", 403, prompt="DROP TABLE", times=None)
    async with running(firewall) as (emulator, http):
        prompts = ("a fox", "DROP TABLE foxes", "a hen", "DROP TABLE foxes")
        seen = [(await post(http, GROK | {"prompt": prompt}))[0] for prompt in prompts]

    assert seen == [200, 403, 200, 403]
    assert emulator.billed == 2


async def test_an_edge_reads_what_is_no_json():
    """An edge with a rule passes on a body that it cannot read, and the service refuses it."""
    async with (
        running(Fault.edge("submit", 403, prompt="x")) as (_, http),
        http.post(IMAGES, data=b"{") as reply,
    ):
        assert reply.status == 400


async def test_the_edge_keeps_the_limits(monkeypatch):
    """With an edge in front, a body beyond all limits is still 413."""
    monkeypatch.setattr("foxapi_async.emulator._server._MOST_BODY_BYTES", 1000)
    async with running(Fault.edge("poll", 403)) as (_, http):
        status, _, _ = await post(http, GROK | {"prompt": "x" * 2000})

    assert status == 413


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.thorough
async def test_a_share_of_the_submits(accepted):
    """A share of the submits is answered with 502, the same ones for the same seed, billed only if accepted."""
    runs = []
    for _ in range(2):
        fault = Fault.edge("submit", 502, probability=0.2, times=None, accepted=accepted)
        async with running(fault, seed=7) as (emulator, http):
            runs.append([(await post(http))[0] for _ in range(200)])
    counts = Counter(runs[0])

    assert runs[0] == runs[1]
    assert 20 < counts[502] < 60
    assert emulator.billed == (200 if accepted else counts[200])
    assert emulator.faults_fired == counts[502]


async def test_a_share_that_the_service_bills():
    """The service's own share of errors can come after the bill."""
    async with running(Fault.rate("submit", 1.0, status=500, accepted=True)) as (emulator, http):
        status, _, _ = await submit(http)

    assert (status, emulator.billed) == (500, 1)


# The service's own words


async def test_invalid_url():
    """The service's own 404 for an address is JSON with the words of this family of gateways."""
    async with running(Fault.invalid_url()) as (_, http):
        _, accepted, _ = await submit(http)
        status, body = await poll(http, accepted["id"])

    assert status == 404
    assert body == {"error": {"message": "Invalid URL", "type": "invalid_request_error"}}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.quota(), {"type": "insufficient_quota", "code": "insufficient_quota"}),
        (
            Fault.quota(status=403, code="insufficient_user_quota", retry_after=5),
            {"type": "new_api_error", "code": "insufficient_user_quota"},
        ),
    ],
)
async def test_quota(fault, error):
    """A used up quota is a 429 or 403 with its code, with or without `Retry-After`; nothing is billed."""
    async with running(fault) as (emulator, http):
        status, body, headers = await submit(http)

    assert status == fault.http_status
    assert body["error"] == {"message": "quota is used up"} | error
    assert headers.get("Retry-After") == (None if fault.retry_after is None else "5")
    assert emulator.billed == 0


async def test_an_error_at_200():
    """A success can be an error envelope without an id."""
    fault = Fault.status("submit", 200, message="being maintained", error_type="service_unavailable_error")
    async with running(fault) as (_, http):
        status, body, _ = await submit(http)

    assert (status, body) == (
        200,
        {"error": {"message": "being maintained", "type": "service_unavailable_error"}},
    )


@pytest.mark.parametrize(
    ("put", "where"),
    [({"task_id": "{id}"}, ("task_id",)), ({"data": [{"task_id": "{id}"}]}, ("data", 0, "task_id"))],
)
async def test_an_id_at_another_place(put, where):
    """The id of a billed task can be in another place of the reply, with another status."""
    fault = Fault.altered("submit", put, drop=["id"], status=202)
    async with running(fault) as (emulator, http):
        status, body, _ = await submit(http)
    found = body
    for step in where:
        found = found[step]

    assert status == 202
    assert "id" not in body
    assert [found] == list(emulator.tasks)


async def test_altered_json():
    """NaN and lone surrogates are written as JSON writes them, and bytes are inserted unchanged."""
    put = {"progress": math.nan, "model": "fox \ud83d", "type": b"im\xffage", "note": {"two": [b"\xfe", 1]}}
    async with running(Fault.altered("poll", put)) as (_, http):
        _, accepted, _ = await submit(http)
        _, raw, headers = await get(http, f"/v1/tasks/{accepted['id']}")
    reply = json.loads(raw.decode("utf-8", "surrogateescape"))

    assert b'"progress": NaN' in raw
    assert b'"model": "fox \\ud83d"' in raw
    assert b'"type": "im\xffage"' in raw
    assert reply["note"] == {"two": ["\udcfe", 1]}
    assert (reply["id"], reply["status"]) == (accepted["id"], "completed")
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("headers", [{"X-Trace": "x" * 9000}, {f"X-{n}": "v" for n in range(130)}])
async def test_headers(headers):
    """A reply can have a header of 9 kB or 130 headers, and is otherwise normal."""
    async with running(Fault.with_headers("submit", headers)) as (emulator, http):
        status, body, seen = await submit(http, max_field_size=65536, max_line_size=65536, max_headers=500)

    assert status == 200
    assert headers.items() <= dict(seen).items()
    assert [body["id"]] == list(emulator.tasks)


@pytest.mark.parametrize("size", [1_200_000, 33 * 1024 * 1024])
async def test_a_large_status(size):
    """A status reply can have any given size, and is valid JSON."""
    async with running(Fault.huge("poll", size=size)) as (_, http):
        _, accepted, _ = await submit(http)
        _, raw, _ = await get(http, f"/v1/tasks/{accepted['id']}")

    assert len(raw) > size
    assert json.loads(raw)["id"] == accepted["id"]


def test_a_fault_can_be_kept_in_a_set():
    """A fault is hashable, also with its own fields and headers."""
    faults = {
        Fault.altered("poll", {"a": 1}),
        Fault.altered("poll", {"a": 1}),
        Fault.altered("poll", {"a": 2}),
    }

    assert len(faults) == 2


async def test_an_outage_before_the_start():
    """An outage that starts before the emulator is entered counts from its start."""
    emulator = Emulator()
    emulator.outage(60)
    async with emulator, client(emulator) as http:
        assert await statuses(http, 1) == [503]


# A service that stands still, files that trickle


@virtual
async def test_a_frozen_service_goes_on_afterwards():
    """Requests that arrive during a freeze are answered as usual when it ends."""
    async with running(Fault.freeze().during(10, 25)) as (emulator, http):
        await asyncio.sleep(12)
        began = asyncio.get_running_loop().time()
        seen = await asyncio.gather(post(http), get(http, "/v1/models"))
        took = asyncio.get_running_loop().time() - began

    assert [200, 200] == [status for status, *_ in seen]
    assert took == pytest.approx(13)
    assert emulator.billed == 1


@virtual
async def test_a_client_that_leaves_a_frozen_service_is_not_billed():
    """A submit whose client leaves before the freeze ends is not accepted."""
    async with running() as (emulator, http):
        emulator.outage(15, Fault.freeze("submit"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await post(http)
        await asyncio.sleep(20)

    assert emulator.billed == 0


@virtual
async def test_a_freeze_without_an_end():
    """Without an end there is no answer, and nothing is accepted."""
    async with running(Fault.freeze("submit")) as (emulator, http):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await post(http)

    assert emulator.billed == 0


@virtual
@pytest.mark.parametrize(("size", "pieces"), [(1, 12), (5, 3)])
async def test_a_file_that_trickles(size, pieces):
    """A file that sends some bytes every five seconds."""
    async with running(Fault.trickle("file", 5.0, size=size)) as (_, http):
        _, uploaded = await upload(http, file_data=base64.b64encode(bytes(12)).decode())
        began = asyncio.get_running_loop().time()
        _, data, _ = await get(http, uploaded["url"])
        took = asyncio.get_running_loop().time() - began

    assert bytes(12) == data
    assert took == pytest.approx(5.0 * pieces)


def test_a_trickle_of_nothing():
    """A piece has at least one byte."""
    with pytest.raises(ValueError, match=r"size=0 must be at least 1 byte"):
        Fault.trickle(size=0)


# Odd results


@pytest.mark.parametrize(
    "results",
    [
        [{"url": "data:image/png;base64,iVBORw0KGgo="}],
        [{"b64_json": "iVBORw0KGgo="}],
        ["https://files.example.com/a.png"],
        [{"ok": True}],
        {"url": "https://files.example.com/a.png"},
        None,
    ],
    ids=lambda results: str(results)[:20],
)
async def test_any_result(results):
    """A completed task answers with any results, and keeps its other fields."""
    async with running(Fault.completes_with({"results": results})) as (emulator, http):
        task = await finished(http)

    assert (task["results"], task["status"], task["progress"]) == (results, "completed", 100)
    assert emulator.billed == 1


async def test_results_at_another_place():
    """Fields can be added and left out."""
    fault = Fault.completes_with({"result_data": [{"image_url": "{url}"}]}, drop=["results", "usage"])
    async with running(fault) as (_, http):
        task = await finished(http)
        status, data, _ = await get(http, task["result_data"][0]["image_url"])

    assert not {"results", "usage"} & task.keys()
    assert (status, data[:2]) == (200, b"\xff\xd8")


async def test_fewer_results_than_asked_for_and_a_relative_address():
    """`{path}` is an address without its host; one address may stand for four images that are billed."""
    async with running(Fault.completes_with({"results": [{"url": "{path}"}]})) as (emulator, http):
        task = await finished(http, GROK | {"num_outputs": 4})
        (result,) = task["results"]
        status, _, _ = await get(http, result["url"])

    assert result == {"url": f"/files/results/{task['id']}/0.jpg"}
    assert (status, emulator.billed_images) == (200, 4)


@virtual
async def test_odd_results_only_at_the_end():
    """A running task answers as usual; `times` limits how many polls of the completed task are odd."""
    async with running(Fault.completes_with({"results": "{id}"}, times=1), seconds=10) as (_, http):
        _, accepted, _ = await submit(http)
        seen = []
        for wait in (0, 60, 1):
            await asyncio.sleep(wait)
            seen.append((await poll(http, accepted["id"]))[1]["results"])

    assert seen[:2] == [None, accepted["id"]]
    assert len(seen[2]) == 1
