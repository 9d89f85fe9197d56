from fastapi import FastAPI

from foxapi_async import GrokImagineImage
from foxapi_async.fastapi import Fox, add_error_handlers, event_response, fox_lifespan

app = FastAPI(lifespan=fox_lifespan())
add_error_handlers(app)


@app.get("/fox")  # it costs credits: check here who asks
async def draw(fox: Fox, colour: str):
    return event_response(await fox.submit(GrokImagineImage(f"a {colour} fox")))
