from fastapi import FastAPI, Response

from foxapi_async import GrokImagineImage
from foxapi_async.fastapi import Fox, add_error_handlers, event_response, fox_lifespan

app = FastAPI(lifespan=fox_lifespan())
add_error_handlers(app)


@app.get("/fox")  # it costs credits: check here who asks
async def draw(fox: Fox, colour: str) -> Response:
    return event_response(await fox.submit(GrokImagineImage(f"a {colour} fox")))
