"""The app of the live tests: the routes, open to every client."""

import logging

from fastapi import FastAPI

from foxapi_async.fastapi import add_error_handlers, fox_lifespan, image_router

logging.basicConfig(level=logging.WARNING)
app = FastAPI(lifespan=fox_lifespan())
add_error_handlers(app)
app.include_router(image_router(dependencies=[]))
