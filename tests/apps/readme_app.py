import os
import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Response

from foxapi_async import GrokImagineImage
from foxapi_async.fastapi import Fox, add_error_handlers, event_response, fox_lifespan, image_router


def signed_in(token: Annotated[str, Header()] = "") -> None:
    if not secrets.compare_digest(token.encode(), os.environ["APP_TOKEN"].encode()):
        raise HTTPException(401, "who are you?")


app = FastAPI(lifespan=fox_lifespan())  # one session: takes FoxSession's options, the key from FOXAPI_API_KEY
add_error_handlers(app)
app.include_router(image_router(dependencies=[Depends(signed_in)]))


@app.get("/fox", dependencies=[Depends(signed_in)])  # or handlers of your own
async def draw(fox: Fox, colour: str) -> Response:
    return event_response(await fox.submit(GrokImagineImage(f"a {colour} fox")))
