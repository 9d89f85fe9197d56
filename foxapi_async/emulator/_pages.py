"""The page that an edge in front of the service usually sends with each status. It is not JSON."""

from http import HTTPStatus

CHALLENGE = (
    b"<!DOCTYPE html><html><head><title>One moment</title></head><body>Checking your browser.</body></html>"
)
_MAINTENANCE = (
    b"<!DOCTYPE html><html><head><title>Maintenance</title></head>"
    b"<body>We are down for maintenance and back soon.</body></html>"
)
_INGRESS = b"404 page not found\n"


def page(status: int) -> tuple[bytes, str]:
    """The usual page of a status, and its media type."""
    if status == 404:  # an ingress without a backend, as during a deploy
        return _INGRESS, "text/plain"
    if status == 403:
        return CHALLENGE, "text/html"
    if status in (200, 503):
        return _MAINTENANCE, "text/html"
    known = status in set(HTTPStatus)
    title = f"{status} {HTTPStatus(status).phrase}" if known else f"Error {status}"
    text = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return text.encode(), "text/html"
