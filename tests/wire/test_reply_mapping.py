"""From a mocked HTTP reply to the value or error that a user of the session gets.

The mock replaces `ClientSession._request`: middlewares, connectors, real timeouts and the writing of bodies
are not used. So a submit without an answer looks here as if nothing had been sent. The tests of submits
against a real connection check the behaviour that depends on sending.
"""

from __future__ import annotations

import pickle

import aiohttp
import pytest
from aioresponses import aioresponses

from foxapi_async import (
    AccountCredits,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    FoxError,
    FoxSession,
    GrokImagineImage,
    InsufficientQuotaError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    ServiceUnavailableError,
    UncertainSubmitError,
    UnprocessableError,
)
from foxapi_async._http import transport

KEY = "sk-test-0123456789"
BASE = "https://api.foxapi.test"
TASK = f"{BASE}/v1/tasks/task-1"
SUBMIT = f"{BASE}/v1/images/generations"
UPLOAD = f"{BASE}/v1/files/upload/stream"
CREDITS = f"{BASE}/v1/account/credits"
MODELS = f"{BASE}/v1/models"

REFUSALS = {
    301: APIError,
    307: APIError,
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientQuotaError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: APIError,
    413: PayloadTooLargeError,
    422: UnprocessableError,
    429: RateLimitError,
}
FAULTS = {408: APIError, 500: ServerError, 502: ServerError, 503: ServiceUnavailableError, 504: ServerError}
ENVELOPE = {"error": {"message": "no (request_id: req-12345)", "type": "some_type", "code": "some_code"}}


@pytest.fixture
def http(monkeypatch):
    # The mock keeps a deep copy of each call. A submit's body holds its event loop, and a copied loop is
    # never closed.
    monkeypatch.setattr(transport._Body, "__deepcopy__", lambda body, _: body, raising=False)
    with aioresponses() as mock:
        yield mock


@pytest.fixture
async def fox(http):
    async with FoxSession(KEY, base_url=BASE, retry=RetryPolicy(tries=1)) as session:
        yield session


async def error_of(awaitable) -> FoxError:
    with pytest.raises(FoxError) as caught:
        await awaitable
    return caught.value


def assert_shows_no_key(error: FoxError) -> None:
    """Neither the error nor anything attached to it holds the key."""
    again = pickle.loads(pickle.dumps(error))

    assert (error.__cause__, error.__context__) == (None, None)
    assert vars(error) == vars(again)
    assert KEY not in f"{error!r} {error.args} {vars(error)}"


@pytest.mark.parametrize(("status", "cls"), {**REFUSALS, **FAULTS}.items())
async def test_fetch_refused(http, fox, status, cls):
    """A fetch raises the class of its status, with the whole content of the envelope and the task's id;
    nothing is billed.
    """
    http.get(TASK, status=status, payload=ENVELOPE, headers={"Retry-After": "3"})
    error = await error_of(fox.fetch("task-1"))

    assert type(error) is cls
    assert (error.status, error.type, error.code, error.request_id) == (
        status,
        "some_type",
        "some_code",
        "req-12345",
    )
    assert error.task_id == "task-1"
    assert error.charged == "no"
    assert error.retryable is (status in {408, 429} or status >= 500)
    assert getattr(error, "retry_after", 3.0) == 3.0
    assert_shows_no_key(error)


@pytest.mark.parametrize(("status", "cls"), REFUSALS.items())
async def test_submit_refused(http, fox, status, cls):
    """A refused submit raises the class of its status; nothing is billed, and only a 429 may be repeated."""
    http.post(SUBMIT, status=status, payload=ENVELOPE)
    error = await error_of(fox.submit(GrokImagineImage("x")))

    assert type(error) is cls
    assert (error.status, error.charged, error.task_id) == (status, "no", None)
    assert error.retryable is (status == 429)
    assert fox.unfinished == ()
    assert_shows_no_key(error)


@pytest.mark.parametrize("status", FAULTS)
async def test_submit_uncertain(http, fox, status):
    """A submit that gets a server error may have been billed."""
    http.post(SUBMIT, status=status, payload=ENVELOPE)
    error = await error_of(fox.submit(GrokImagineImage("x")))

    assert type(error) is UncertainSubmitError
    assert (error.status, error.charged, error.retryable) == (status, "unknown", False)
    assert error.idempotency_key
    assert_shows_no_key(error)


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"id": null}', '{"id": "a/b"}', '{"id": "task'])
async def test_submit_with_an_unusable_answer(http, fox, body):
    """A 200 without a usable id is uncertain too."""
    http.post(SUBMIT, status=200, body=body)
    error = await error_of(fox.submit(GrokImagineImage("x")))

    assert type(error) is UncertainSubmitError
    assert error.status == 200
    assert_shows_no_key(error)


async def test_a_422_of_unavailability_is_transient(http, fox):
    """422 of the type "service unavailable" is unavailability: nothing is billed, and it may pass."""
    http.post(
        SUBMIT, status=422, payload={"error": {"type": "service_unavailable_error", "message": "no channel"}}
    )
    error = await error_of(fox.submit(GrokImagineImage("x")))

    assert type(error) is ServiceUnavailableError
    assert (error.charged, error.retryable) == ("no", True)


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_submit_accepted(http, fox, status):
    """Any 2xx with an id is a handle with its first state; the key is sent by header, and no redirect is followed."""
    payload = {"id": "task-1", "status": "pending", "model": "m", "task_info": {"estimated_time": 45}}
    http.post(SUBMIT, status=status, payload=payload)
    http.get(TASK, payload=payload, repeat=True)
    handle = await fox.submit(GrokImagineImage("x", num_outputs=2))
    snapshot = handle.snapshot
    call = next(call for key, calls in http.requests.items() if key[0] == "POST" for call in calls)
    sent = call.kwargs["headers"]

    assert handle.id == "task-1"
    assert (snapshot.status, snapshot.estimated_time, snapshot.model) == ("pending", 45, "m")
    assert sent["Authorization"] == f"Bearer {KEY}"
    assert len(sent["Idempotency-Key"]) >= 16
    assert call.kwargs["allow_redirects"] is False
    assert fox.unfinished == (handle,)


async def test_a_submit_that_cannot_connect(http, fox):
    """A submit that failed before it was handed over is not billed, and safe to repeat."""
    http.post(SUBMIT, exception=aiohttp.ServerDisconnectedError())
    error = await error_of(fox.submit(GrokImagineImage("x")))

    assert type(error) is ConnectionFailedError
    assert (error.charged, error.retryable) == ("no", True)
    assert_shows_no_key(error)


async def test_fetch(http, fox):
    """A fetch returns a snapshot whose images can fetch themselves."""
    http.get(
        TASK, payload={"id": "task-1", "status": "completed", "results": [{"url": "https://cdn.test/a.png"}]}
    )
    snapshot = await fox.fetch("task-1")

    assert snapshot.finished
    assert [(image.url, image.task_id) for image in snapshot.images] == [("https://cdn.test/a.png", "task-1")]


@pytest.mark.parametrize(
    ("status", "body", "cls", "words"),
    [
        (403, "error code: 1010", APIError, "error code: 1010"),
        (404, "404 page not found", APIError, "404 page not found"),
        (200, "<html>maintenance</html>", APIError, "<html>maintenance</html>"),
        (
            413,
            "<html><title>413 Payload Too Large</title></html>",
            APIError,
            "413 Payload Too Large",
        ),
        (502, "<html><title>502 Bad Gateway</title></html>", APIError, "502 Bad Gateway"),
        (401, '{"error": "invalid key"}', AuthenticationError, "invalid key"),
    ],
)
async def test_edge_errors(http, fox, status, body, cls, words):
    """The answer of an edge in front of the service, in HTML or plain text, is a plain error with its words."""
    http.get(TASK, status=status, body=body)
    error = await error_of(fox.fetch("task-1"))

    assert type(error) is cls
    assert words == error.message


@pytest.mark.parametrize("body", ["[]", "NaN", "{}", '{"status": 5}', '{"error": "no"}'])
async def test_fetch_unreadable(http, fox, body):
    """A 200 that is not a task is unreadable: not billed, and safe to repeat."""
    http.get(TASK, status=200, body=body)
    error = await error_of(fox.fetch("task-1"))

    assert type(error) is ResponseDecodeError
    assert (error.charged, error.retryable, error.task_id) == ("no", True, "task-1")
    assert_shows_no_key(error)


@pytest.mark.parametrize(
    "fault",
    [aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(104, "reset"), TimeoutError(), OSError(5, "x")],
)
async def test_fetch_without_an_answer(http, fox, fault):
    """A read without an answer is a failed connection, without the library's exception inside."""
    http.get(TASK, exception=fault)
    error = await error_of(fox.fetch("task-1"))

    assert type(error) is ConnectionFailedError
    assert (error.charged, error.retryable, error.task_id) == ("no", True, "task-1")
    assert_shows_no_key(error)


async def test_upload(http, fox):
    """An upload's reply is a file with its URL."""
    http.post(UPLOAD, payload={"id": "f1", "url": "https://cdn.test/u/a.png", "size": 3})
    file = await fox.upload(b"abc", filename="a.png")

    assert (file.url, file.id, file.size) == ("https://cdn.test/u/a.png", "f1", 3)


@pytest.mark.parametrize("status", [400, 401, 403, 413, 429, 500])
async def test_upload_refused(http, fox, status):
    """An upload raises the class of its status; nothing is billed."""
    http.post(UPLOAD, status=status, payload=ENVELOPE)
    error = await error_of(fox.upload(b"abc"))

    assert type(error) is {**REFUSALS, **FAULTS}[status]
    assert (error.charged, error.task_id) == ("no", None)
    assert_shows_no_key(error)


SISTER = {
    "data": {
        "token": {"remaining_credits": 99416.4, "unlimited_credits": False, "used_credits": 583.6},
        "user": {"remaining_credits": 1095.4, "used_credits": 135.9},
    },
    "message": "",
    "success": True,
}
"""The documented reply of the sister gateway (docs.evolink.ai, get-credits)."""


@pytest.mark.parametrize(
    ("payload", "remaining"),
    [
        ({"remaining": 5}, 5),
        ({"credits_used": 3, "credits_remaining": 7.5}, 7.5),
        ({"balance": "12.5"}, 12.5),
        ({"data": {"credits": 0}}, 0),
        ({"remaining_credits": None, "balance": 4}, 4),
        ({"remaining_credits": True}, None),
        ({"used": 3, "user_group": "default"}, None),
        ({"data": [{"remaining": 5}]}, None),
        (SISTER, 1095.4),
        ({"data": {"token": {"remaining_credits": 5}, "user": {"remaining_credits": 9}}}, 5),
        ({"token": {"remaining_credits": 0, "unlimited_credits": True}, "user": {"balance": 9}}, 9),
        ({"remaining": 100, "unlimited": True}, None),
    ],
    ids=str,
)
async def test_the_remaining_credits(http, fox, payload, remaining):
    """A number under a usual name is what remains: the lower one of key and account, without one that has no limit."""
    http.get(CREDITS, payload=payload)
    credits_ = await fox.credits()

    assert type(credits_) is AccountCredits
    assert (credits_.remaining, credits_.raw) == (remaining, payload)


async def test_the_credits_show_what_came(http, fox):
    """The `repr` has the number and the reply, which is shortened if it is long."""
    http.get(CREDITS, payload={"balance": 5, "plan": "x" * 1000})
    shown = repr(await fox.credits())

    assert shown.startswith("AccountCredits(remaining=5, raw={'balance': 5, 'plan': 'xxx")
    assert len(shown) < 400


async def test_the_credits_show_no_key(http, fox):
    """A key in the reply is replaced, in the kept reply as well."""
    http.get(CREDITS, payload={"balance": 5, "token": {"name": KEY}})
    credits_ = await fox.credits()

    assert credits_.raw["token"] == {"name": "***"}
    assert KEY not in f"{credits_!r} {credits_.raw}"


async def test_the_credits_are_a_frozen_value(http, fox):
    """They cannot be changed, and are equal to others of the same content."""
    http.get(CREDITS, payload={"balance": 5}, repeat=True)
    first, second = await fox.credits(), await fox.credits()

    assert (first, hash(first)) == (second, hash(second))
    with pytest.raises(AttributeError):
        first.remaining = 6


@pytest.mark.parametrize(
    "body", ["", "[]", "5", "{}", '{"error": "no"}', '{"success": false, "message": "no"}']
)
async def test_credits_unreadable(http, fox, body):
    """A 200 that states no credits is unusable: not billed, and safe to repeat."""
    http.get(CREDITS, body=body)
    error = await error_of(fox.credits())

    assert type(error) is (ResponseDecodeError if body else APIError)
    assert (error.charged, error.retryable, error.task_id) == ("no", True, None)
    assert_shows_no_key(error)


async def test_models(http, fox):
    """The ids are in the order of the service; an entry without one is left out."""
    rows = [{"id": "b", "owned_by": "x"}, {"owned_by": "x"}, {"id": ""}, {"id": None}, "c", {"id": "a"}]
    http.get(MODELS, payload={"data": rows})

    assert await fox.models() == ("b", "a")


async def test_no_models(http, fox):
    """A key may call no model."""
    http.get(MODELS, payload={"data": []})

    assert await fox.models() == ()


@pytest.mark.parametrize("body", ["[]", "{}", '{"data": null}', '{"data": {"id": "a"}}', '{"error": "no"}'])
async def test_models_unreadable(http, fox, body):
    """A 200 without a list is unusable: not billed, and safe to repeat."""
    http.get(MODELS, body=body)
    error = await error_of(fox.models())

    assert type(error) is ResponseDecodeError
    assert (error.charged, error.retryable, error.task_id) == ("no", True, None)
    assert_shows_no_key(error)


@pytest.mark.parametrize(("url", "call"), [(CREDITS, FoxSession.credits), (MODELS, FoxSession.models)])
@pytest.mark.parametrize(("status", "cls"), {**REFUSALS, **FAULTS}.items())
async def test_a_read_of_the_account_is_refused(http, fox, url, call, status, cls):
    """Credits and models raise the class of the status, as a fetch does; nothing is billed."""
    http.get(url, status=status, payload=ENVELOPE)
    error = await error_of(call(fox))

    assert type(error) is cls
    assert (error.status, error.request_id, error.charged) == (status, "req-12345", "no")
    assert_shows_no_key(error)


async def test_a_large_body_is_not_read_to_its_end(http, fox):
    """A reply beyond the limit is unreadable, with any content."""
    http.get(TASK, body=b'{"status": "completed"}' + b" " * (33 * 1024 * 1024))

    assert type(await error_of(fox.fetch("task-1"))) is ResponseDecodeError
