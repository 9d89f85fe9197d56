import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import FileResponse

from foxapi_async.fastapi import add_error_handlers, fox_lifespan, image_router

TICKET_SECONDS = 600


def signed_in(authorization: Annotated[str, Header()] = "") -> None:
    expected = f"Bearer {os.environ['APP_TOKEN']}"
    if not secrets.compare_digest(authorization.encode(), expected.encode()):
        raise HTTPException(401, "who are you?")


def signature(task_id: str, deadline: str) -> str:
    key = os.environ["APP_SECRET"].encode()  # the same at each replica
    return hmac.new(key, f"{deadline} {task_id}".encode(), hashlib.sha256).hexdigest()


def signed_in_or_with_ticket(
    request: Request, authorization: Annotated[str, Header()] = "", ticket: Annotated[str, Cookie()] = ""
) -> None:
    task_id = request.path_params.get("task_id", "")
    deadline, _, signed = ticket.partition(".")
    is_signed = hmac.compare_digest(signed.encode(), signature(task_id, deadline).encode())
    is_for_events = request.url.path.endswith("/events")
    if not (is_for_events and is_signed and time.time() < int(deadline)):
        signed_in(authorization)


app = FastAPI(lifespan=fox_lifespan())
add_error_handlers(app)
app.include_router(image_router(dependencies=[Depends(signed_in_or_with_ticket)]))


@app.post("/images/{task_id}/ticket", status_code=204, dependencies=[Depends(signed_in)])
def give_ticket(task_id: str, request: Request, response: Response) -> None:
    deadline = str(int(time.time()) + TICKET_SECONDS)
    response.set_cookie(
        "ticket",
        f"{deadline}.{signature(task_id, deadline)}",
        max_age=TICKET_SECONDS,
        path=request.url.path.removesuffix("/ticket") + "/events",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


@app.get("/")
def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))
