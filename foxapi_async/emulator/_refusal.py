"""The error envelope of the service, with the `error.type` of each status."""

from typing import Any

# https://docs.foxapi.cc/pages/en/api-manual/task-management/error-codes; 403 and 413 are only on the upload
# pages. The same page gives "no channel" as 503 in one table and as 422 in the other.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found",
    413: "file_too_large_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}


def envelope(
    status: int, message: str, code: str | None = None, error_type: str | None = None
) -> dict[str, Any]:
    """The JSON body of an error reply. `code` is included only if the service gives one."""
    error: dict[str, Any] = {"message": message, "type": error_type or _TYPES.get(status, "server_error")}
    if code is not None:
        error["code"] = code
    return {"error": error}


class RefusalError(Exception):
    """The request is not accepted, and its answer is the error envelope."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = envelope(status, message, code)
