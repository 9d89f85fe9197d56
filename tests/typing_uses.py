"""Typical uses, as type checkers see them: mypy and pyright read them in a test; they are never executed.

A line that must be an error has an ignore with mypy's code. Both checkers report the ignore if there is no error.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, assert_type

import aiohttp

import foxapi_async
from foxapi_async import (
    UNSET,
    AccountCredits,
    APIError,
    Batch,
    BatchOutcome,
    Cadence,
    FoxError,
    FoxSession,
    Gemini3ProImage,
    Gemini31FlashImage,
    GeneratedImage,
    GenerationRequest,
    GrokImagineImage,
    InvalidRequestError,
    Limits,
    Outcome,
    RateLimitError,
    RawRequest,
    RetryPolicy,
    TaskError,
    TaskEvent,
    TaskHandle,
    TaskProblem,
    TaskResult,
    TaskSnapshot,
    UploadedFile,
    __version__,
    parse_request,
)
from foxapi_async.models import ClassicImage, GptImage2, size_fields
from foxapi_async.models.fields import Sora2Fields


async def one_image(fox: FoxSession) -> None:
    handle = await fox.submit(GrokImagineImage("a red fox", num_outputs=2), timeout=60)
    assert_type(handle, TaskHandle)
    assert_type(handle.id, str)
    assert_type(handle.snapshot, TaskSnapshot | None)
    assert_type(handle.done(), bool)
    async for event in handle:
        assert_type(event, TaskEvent)
        assert_type(event.progress, float | None)
        assert_type(event.remaining, float | None)
        assert_type(event.snapshot, TaskSnapshot)
    result = await handle
    assert_type(result, TaskResult)
    assert_type(await handle.wait(timeout=5), TaskResult)
    assert_type(result.images, tuple[GeneratedImage, ...])
    assert_type(result.usage, Mapping[str, Any])
    assert_type(await result.save("out"), list[Path])
    assert_type(await result.images[0].save(Path("fox.png"), overwrite=True), Path)
    assert_type(await result.images[0].read(), bytes)
    assert_type(result.images[0].content_type, str | None)
    assert_type(await fox.generate(Gemini3ProImage("x"), timeout=None), TaskResult)
    assert_type(await fox.generate(Gemini31FlashImage("x"), timeout=UNSET), TaskResult)


async def a_batch_of_a_file(fox: FoxSession) -> None:
    batch = Batch.from_file("products.xlsx", Path("out"), model="m", extra="keep", budget=100)
    assert_type(batch, Batch)
    async for outcome in batch.run(fox):
        assert_type(outcome, BatchOutcome)
    Batch.from_file("p.csv", "out", format="xml")  # type: ignore[arg-type]


async def other_verbs(fox: FoxSession, file: BinaryIO) -> None:
    assert_type(fox.attach("task-1", estimated_time=45), TaskHandle)
    snapshot = await fox.fetch("task-1")
    assert_type(snapshot, TaskSnapshot)
    assert_type(snapshot.status, str)
    assert_type(snapshot.finished, bool)
    assert_type(snapshot.images, tuple[GeneratedImage, ...])
    assert_type(snapshot.error, TaskProblem | None)
    assert_type(fox.unfinished, tuple[TaskHandle, ...])
    assert_type(fox.events(), AsyncIterator[TaskEvent])
    assert_type(await fox.upload(b"bytes", filename="a.png"), UploadedFile)
    assert_type(await fox.upload(Path("a.png")), UploadedFile)
    assert_type((await fox.upload(file)).url, str)


async def the_account(fox: FoxSession) -> None:
    credits_ = await fox.credits()
    assert_type(credits_, AccountCredits)
    assert_type(credits_.remaining, float | None)
    assert_type(credits_.raw, Mapping[str, Any])
    assert_type(await fox.models(), tuple[str, ...])
    credits_.remaining = 5  # type: ignore[misc]


async def many(fox: FoxSession, source: AsyncIterator[GenerationRequest]) -> None:
    async for outcome in fox.as_completed([GrokImagineImage("x"), {"model": "m"}], max_in_flight=5):
        assert_type(outcome, Outcome)
        assert_type(outcome.index, int)
        assert_type(outcome.task_id, str | None)
        assert_type(outcome.result, TaskResult | None)
    completed = fox.as_completed(source)
    completed.stop()
    async for outcome in completed:
        assert_type(outcome, Outcome)
    fox.as_completed(GrokImagineImage(text) for text in ("a", "b"))
    fox.as_completed([GrokImagineImage("a"), RawRequest("m")])


def requests() -> None:
    GrokImagineImage(
        prompt="x",
        aspect_ratio="19.5:9",
        output_format="png",
        image_urls=["https://a.test/b.png", Path("c.png")],
    )
    Gemini3ProImage("x", resolution="4K", google_search=True)
    Gemini31FlashImage("x", resolution="512", image_search=True)
    raw = RawRequest("m", "x", params={"seed": 5}, path="/v1/videos/generations")
    assert_type(raw.to_dict(), dict[str, Any])
    assert_type(parse_request({"model": "m"}), GenerationRequest)
    GrokImagineImage("x", aspect_ratio="5:7")  # type: ignore[arg-type]
    Gemini3ProImage("x", resolution="512")  # type: ignore[arg-type]
    Gemini3ProImage("x", image_search=True)  # type: ignore[call-arg]
    Gemini31FlashImage("x", output_format="jpeg")  # type: ignore[arg-type]
    GrokImagineImage()  # type: ignore[call-arg]
    GrokImagineImage("x", 2)  # type: ignore[call-arg]


async def sessions(http: aiohttp.ClientSession) -> None:
    async with FoxSession() as fox:
        assert_type(fox, FoxSession)
    FoxSession(
        "sk-x-12345",
        base_url="https://api.test",
        cadence=Cadence(poll_price=0.5),
        retry=RetryPolicy(tries=3, resubmit_uncertain=True),
        limits=Limits(max_in_flight=10, polls_per_second=5),
        task_timeout=None,
        http=http,
        hooks=[print],
        allow_http=True,
        proxy="http://user:password@proxy.example:3128",
    )
    FoxSession("sk-x-12345", "https://api.test")  # type: ignore[call-arg]
    await fox.submit({"model": "m"})
    await fox.submit("a red fox")  # type: ignore[arg-type]
    await fox.fetch(5)  # type: ignore[arg-type]


async def errors(handle: TaskHandle) -> None:
    try:
        await handle
    except RateLimitError as error:
        assert_type(error.retry_after, float | None)
    except APIError as error:
        assert_type(error.status, int)
        assert_type(error.code, str | None)
        assert_type(error.request_id, str | None)
    except TaskError as error:
        assert_type(error.task_id, str)
    except InvalidRequestError as error:
        assert_type(error.problems, tuple[str, ...])
    except FoxError as error:
        assert_type(error.retryable, bool)
        assert_type(error.task_id, str | None)
        if error.charged == "maybe":  # type: ignore[comparison-overlap]
            raise


def image_classes() -> None:
    request = GptImage2("a fox", quality="low", resolution={"width": 1024, "height": 1024})
    assert_type(request.model, str)
    GptImage2("a fox", quality="best")  # type: ignore[arg-type]
    ClassicImage("a fox")  # type: ignore[call-arg]
    mapping: Sora2Fields = {"model": "sora-2", "prompt": "a fox", "duration": 8}
    assert_type(parse_request(mapping), GenerationRequest)
    wrong: Sora2Fields = {"model": "sora-2", "prompt": "a fox", "colour": 8}  # type: ignore[typeddict-unknown-key]
    del wrong
    assert_type(size_fields("gpt-image-2", "16:9", 2), dict[str, Any])


def version() -> str:
    """A text."""
    return __version__


def misspelt() -> None:
    foxapi_async.FoxSesion  # type: ignore[attr-defined]  # noqa: B018
