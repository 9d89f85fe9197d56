"""Uploaded files: a limited store that drops its oldest files, like the service's storage."""

import base64
import binascii
from typing import Any
from urllib.parse import quote

import attrs

from ._images import measure
from ._refusal import RefusalError

# The service documents neither number. 50 MB is the limit of its own clients. The quota only limits the memory of an
# emulator that runs for long.
MOST_BYTES = 50 * 1024 * 1024
_QUOTA_BYTES = 256 * 1024 * 1024
_LIFETIME_SECONDS = 72 * 3600
_SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


@attrs.frozen(kw_only=True)
class Upload:
    """One stored file."""

    id: str
    filename: str
    data: bytes = attrs.field(repr=False)
    stored: float
    created: int

    @property
    def path(self) -> str:
        """The path of the file on this server."""
        return f"/files/uploads/{self.id}/{quote(self.filename, safe='')}"

    def reply(self, origin: str) -> dict[str, Any]:
        """The reply to the upload."""
        return {
            "id": self.id,
            "filename": self.filename,
            "url": origin + self.path,
            "size": len(self.data),
            "created": self.created,
        }


class Uploads:
    """The store."""

    def __init__(self) -> None:
        self._files: dict[str, Upload] = {}
        self._count = 0
        self._size = 0

    def add(
        self, data: bytes, filename: str | None, *, auto_cleanup: bool, now: float, created: int
    ) -> Upload:
        """Store a file.

        Raises:
            RefusalError: 413 if it is too large; 403 if the store is full and `auto_cleanup` is false.
        """
        if len(data) > MOST_BYTES:
            raise RefusalError(413, f"file of {len(data)} bytes exceeds the limit of {MOST_BYTES}")
        self._make_room(len(data), auto_cleanup=auto_cleanup)
        self._count += 1
        name = _safe_name(filename)
        upload = Upload(id=f"file-{self._count:06d}", filename=name, data=data, stored=now, created=created)
        self._files[upload.id] = upload
        self._size += len(data)
        return upload

    def find(self, upload_id: str, now: float) -> Upload | None:
        """A stored file that has not expired."""
        upload = self._files.get(upload_id)
        return upload if upload is not None and now - upload.stored < _LIFETIME_SECONDS else None

    def measure(self, url: str, now: float) -> tuple[int, int] | None:
        """The size in pixels of a picture that was uploaded here, by its URL."""
        _, found, rest = url.partition("/files/uploads/")
        upload = self.find(rest.partition("/")[0], now) if found else None
        return None if upload is None else measure(upload.data)

    def _make_room(self, size: int, *, auto_cleanup: bool) -> None:
        if self._size + size > _QUOTA_BYTES and not auto_cleanup:
            raise RefusalError(403, "storage is full and auto_cleanup is false")
        while self._size + size > _QUOTA_BYTES:
            self._size -= len(self._files.pop(next(iter(self._files))).data)


def decode(text: Any) -> tuple[bytes, str | None]:
    """The bytes from base64 or a data URL, and the media type if it is given.

    Raises:
        RefusalError: 400 if it is neither.
    """
    if not isinstance(text, str) or not text:
        raise RefusalError(400, "file_data: base64 or a data URL is required")
    head, comma, tail = text.partition(",")
    media_type = head.removeprefix("data:").partition(";")[0] if comma and head.startswith("data:") else None
    try:
        return base64.b64decode(text if media_type is None else tail, validate=True), media_type or None
    except (ValueError, binascii.Error):
        raise RefusalError(400, "file_data: not valid base64") from None


def content_type(data: bytes) -> str:
    """The media type of an image by its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES if data.startswith(start)), "application/octet-stream")


def _safe_name(filename: str | None) -> str:
    name = (filename or "").replace("\\", "/").rpartition("/")[2]
    clean = "".join(c for c in name.encode("utf-8", "replace").decode() if c.isprintable())
    return clean if clean.strip(".") else "upload.bin"
