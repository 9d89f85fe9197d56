"""What can be done about an error, and Python's words for it."""

from __future__ import annotations

import enum


class Hint(enum.Enum):
    """What can be done about an error. Python, the command line and the page each have their own words for it."""

    ALLOW_HTTP = "allow_http"
    CHECK_ACCOUNT = "check_account"
    CHECK_ADDRESS = "check_address"
    CHECK_CERTIFICATES = "check_certificates"
    CHECK_NETWORK = "check_network"
    EXPECT_ID = "expect_id"
    GIVE_FORMAT = "give_format"
    GIVE_PRICE = "give_price"
    GIVE_TASK_ID = "give_task_id"
    KEEP_EXTRA = "keep_extra"
    OTHER_FOLDER = "other_folder"
    OTHER_NAME = "other_name"
    OTHER_ORIGIN = "other_origin"
    OTHER_PORT = "other_port"
    OVERWRITE = "overwrite"
    REBUILD_LEDGER = "rebuild_ledger"
    RESUBMIT_UNCERTAIN = "resubmit_uncertain"
    RESUME_SUBMITS = "resume_submits"
    RESUME_TASK = "resume_task"
    RUN_AGAIN = "run_again"
    SERVICE_MOVED = "service_moved"
    SEND_RAW = "send_raw"
    SET_BASE_URL = "set_base_url"
    SET_KEY = "set_key"
    SET_PROXY = "set_proxy"
    USE_DATABASE = "use_database"
    WRAP_FILE = "wrap_file"


NEWER_ADDRESS = "https://api.aihubmax.com"
"""The address to which the vendor's own clients moved on 2026-08-05 (github.com/cookaihq/cookai-skills, b57b1a3)."""

OWN_AUTHORITY = (
    "if your network has a certificate authority of its own, set SSL_CERT_FILE to its file "
    "(REQUESTS_CA_BUNDLE is not read)"
)

PYTHON_WORDS: dict[Hint, str] = {
    Hint.ALLOW_HTTP: "use https, or allow it with allow_http=True or FOXAPI_ALLOW_HTTP=1",
    Hint.CHECK_ACCOUNT: "it is not sent again, unless RetryPolicy(resubmit_uncertain=True) allows it",
    Hint.CHECK_ADDRESS: "check base_url= or FOXAPI_BASE_URL",
    Hint.CHECK_CERTIFICATES: OWN_AUTHORITY,
    Hint.EXPECT_ID: "if its id still arrives, it is logged and in FoxSession.unfinished",
    Hint.GIVE_FORMAT: 'name it, such as format="jsonl"',
    Hint.GIVE_PRICE: "give price=",
    Hint.GIVE_TASK_ID: "task_id= takes the id that a submit returned",
    Hint.KEEP_EXTRA: 'to keep such columns beside the requests, use extra="keep"',
    Hint.OTHER_FOLDER: "choose another folder",
    Hint.OTHER_NAME: "give a file name, or use result.save(directory)",
    Hint.OTHER_ORIGIN: "go back to that address, or set other_origin=True",
    Hint.OVERWRITE: "the image is made and paid for: save it under another path, or with overwrite=True; a later program "
    "gets it with attach() and the task id, without another bill",
    Hint.REBUILD_LEDGER: "put the right ledger back, or make it again from submitted.jsonl and manifest.jsonl with rebuild_ledger=True",
    Hint.RESUBMIT_UNCERTAIN: "it is not sent again unless resubmit_uncertain is set",
    Hint.RESUME_SUBMITS: "FoxSession.resume() allows all submits again",
    Hint.RESUME_TASK: "attach({task_id!r}) waits for it again",
    Hint.RUN_AGAIN: "then run the batch again: it continues where it stopped",
    Hint.SEND_RAW: 'RawRequest sends fields and values that this class does not know (a mapping with a "path" becomes one)',
    Hint.SERVICE_MOVED: f"check the network; if that works, try base_url={NEWER_ADDRESS!r}, the service's newer address",
    Hint.SET_BASE_URL: "change base_url= or FOXAPI_BASE_URL",
    Hint.SET_PROXY: "correct it (http://host:port or http://user:password@host:port), or give proxy=None",
    Hint.SET_KEY: "set FOXAPI_API_KEY or pass api_key= (on the command line, --emulator needs none)",
    Hint.USE_DATABASE: "read its results with foxapi_async.cluster, or follow it with `foxapi batch --dsn`",
    Hint.WRAP_FILE: "wrap a local file in pathlib.Path",
}
"""The hints in Python's words. A hint that is not here adds nothing to `str(error)`."""


def with_hint(text: str, hint: Hint | None, words: dict[Hint, str], task_id: str | None = None) -> str:
    """The text, with the advice that `words` has for the hint, if any."""
    advice = "" if hint is None else words.get(hint, "").format(task_id=task_id)
    return "; ".join(filter(None, (text, advice)))
