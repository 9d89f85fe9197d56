"""What other people's clients ask of the stand-in: the vendor's own, pages in a browser, the sister gateway's."""

import json

import pytest
from test_emulator import GROK, IMAGES, finished, get, running, submit

from foxapi_async.emulator import Emulator, Fault

IMAGE_2 = {"model": "gpt-image-2", "prompt": "a fox"}
PAGE = {"Origin": "https://app.example.com"}


# gpt-image-2


@pytest.mark.parametrize(
    ("name", "kind"), [("png", "image/png"), ("jpeg", "image/jpeg"), ("webp", "image/webp")]
)
async def test_gpt_image_2_names_the_type_of_its_files(name, kind):
    """Each result has the `content_type` that its file has."""
    async with running() as (_, http):
        task = await finished(http, IMAGE_2 | {"num_outputs": 2, "output_format": name})
        served = [(await get(http, result["url"]))[2]["Content-Type"] for result in task["results"]]

    assert [kind, kind] == [result["content_type"] for result in task["results"]] == served


async def test_other_models_name_no_type():
    """The results of the other models have a `url` and nothing else."""
    async with running() as (_, http):
        task = await finished(http)

    assert [{"url"}] == [set(result) for result in task["results"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (IMAGE_2 | {"n": 2}, "n"),
        (IMAGE_2 | {"size": "1024x1024"}, "size"),
        (IMAGE_2 | {"mode": "gpt-image-2"}, "mode"),
        (IMAGE_2 | {"model": "gpt-image-2-limit", "quality": "low"}, "quality"),
    ],
)
async def test_gpt_image_2_refuses_unknown_fields(body, field):
    """A field that its page does not have is 400, and nothing is billed."""
    async with running() as (emulator, http):
        status, reply, _ = await submit(http, body)

    assert (status, reply["error"]["type"]) == (400, "invalid_request_error")
    assert reply["error"]["message"].startswith(f"{field}:")
    assert emulator.billed == 0


@pytest.mark.parametrize(
    "body",
    [
        IMAGE_2 | {"num_outputs": 2, "resolution": {"width": 1536, "height": 1024}, "quality": "low", "background": "opaque"},
        IMAGE_2 | {"image_urls": ["https://x/y.png"], "mask_url": "https://x/m.png", "output_format": "webp"},
        IMAGE_2 | {"model": "gpt-image-2-limit", "resolution": "1024x1536", "num_outputs": 1, "image_urls": None},
    ],
)  # fmt: skip
async def test_gpt_image_2_takes_the_fields_of_its_page(body):
    """Every field of the page is accepted."""
    async with running() as (emulator, http):
        status, _, _ = await submit(http, body)

    assert (status, emulator.billed) == (200, 1)


# The account


async def test_llm_models_are_an_empty_list():
    """A key without such a model gets an empty list, not 404."""
    async with running() as (_, http):
        status, body, _ = await get(http, "/v1/configs/llm_generations_models")

    assert (status, json.loads(body)) == (200, {"object": "list", "data": []})


async def test_billing_in_the_form_of_openai():
    """The limit, and what was used of it in hundredths."""
    async with running() as (_, http):
        await submit(http, GROK | {"num_outputs": 3})
        subscription = json.loads((await get(http, "/dashboard/billing/subscription"))[1])
        usage = json.loads(
            (await get(http, "/dashboard/billing/usage?start_date=2026-01-01&end_date=2026-02-01"))[1]
        )

    assert (subscription["object"], subscription["hard_limit_usd"]) == ("billing_subscription", 1_000_000)
    assert usage == {"object": "list", "total_usage": 1500}


async def test_prices_need_no_key():
    """The price of each model for each call, for everybody."""
    async with running(models=["house-model"]) as (_, http):
        status, body, _ = await get(http, "/api/pricing", headers={"Authorization": ""})
    prices = {row["model_name"]: row for row in json.loads(body)["data"]}

    assert status == 200
    assert {"gpt-image-2", "house-model"} <= prices.keys()
    assert (prices["gpt-image-2"]["quota_type"], prices["gpt-image-2"]["model_price"]) == (1, 5)
    assert json.loads(body)["group_ratio"] == {"default": 1}


@pytest.mark.parametrize(
    "path",
    ["/v1/configs/llm_generations_models", "/dashboard/billing/subscription", "/dashboard/billing/usage"],
)
async def test_the_account_needs_the_key(path):
    """Without the key these are 401."""
    async with running() as (_, http):
        status, _, _ = await get(http, path, headers={"Authorization": "Bearer no"})

    assert status == 401


# Pages of other origins


async def test_a_preflight():
    """A browser may send a submit with the key from a page of any origin; the question needs no key and hits no fault."""
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with (
        running(Fault.edge("all", 503, times=None)) as (emulator, http),
        http.options(IMAGES, headers=PAGE | asks | {"Authorization": ""}) as reply,
    ):
        headers = reply.headers

    assert reply.status == 204
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    assert emulator.faults_fired == 0


@pytest.mark.parametrize(
    ("path", "fault", "expected"),
    [
        ("/v1/models", None, 200),
        ("/v1/tasks/x", None, 404),
        ("/v1/models", Fault.status("other", 429, retry_after=3), 429),
        ("/v1/models", Fault.drip("other", 0.01), 200),
    ],
)
async def test_a_page_reads_every_answer(path, fault, expected):
    """Refusals and faults too carry the headers that let a page of another origin read them."""
    async with running(*(() if fault is None else (fault,))) as (_, http):
        status, _, headers = await get(http, path, headers=PAGE)

    assert (status, headers["Access-Control-Allow-Origin"], headers["Access-Control-Expose-Headers"]) == (
        expected,
        "*",
        "*",
    )


async def test_no_such_headers_without_an_origin():
    """A client that is no browser sees none of it, and OPTIONS is no route."""
    async with running() as (_, http):
        _, _, headers = await get(http, "/v1/models")
        async with http.options("/v1/models") as reply:
            status = reply.status

    assert not [name for name in headers if name.startswith("Access-Control")]
    assert status == 404


# The sister gateway


async def test_results_as_addresses():
    """The sister gateway answers with a list of addresses, and with the credits that it took in the end."""
    async with running(results="urls") as (_, http):
        task = await finished(http, GROK | {"num_outputs": 2})
        served = [(await get(http, url))[0] for url in task["results"]]

    assert served == [200, 200]
    assert task["usage"] == {"credits_reserved": 10, "credits_used": 8, "user_group": "default"}


async def test_results_that_are_no_files_stay_objects():
    """A profile has no address, so it is an object in both dialects."""
    async with running(results="urls") as (_, http):
        task = await finished(http, {"model": "phota-create-profile"})

    assert [{"result_type", "profile_id"}] == [set(result) for result in task["results"]]


@pytest.mark.virtual
async def test_a_running_task_in_the_other_dialect():
    """Credits are used when the task is completed, not before."""
    async with running(results="urls", seconds=100) as (_, http):
        task = await finished(http)

    assert (task["results"], task["usage"]) == (None, {"credits_reserved": 5, "user_group": "default"})


def test_an_unknown_dialect():
    """There are two."""
    with pytest.raises(ValueError, match="results='xml' is none of objects, urls"):
        Emulator(results="xml")
