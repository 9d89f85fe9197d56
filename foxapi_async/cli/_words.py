"""The library's messages in the words of a shell: they advise programmers, and name what those would type."""

from __future__ import annotations

from foxapi_async._errors import ConnectionFailedError, FoxError, TaskAbandonedError, TaskTimeoutError

# Whole phrases, so that nothing in the service's own words or a user's is changed by chance.
_PHRASES = {
    "or pass api_key= (on the command line, --emulator needs none)": "or use --emulator, which needs none",
    "with allow_http=True or FOXAPI_ALLOW_HTTP=1": "with FOXAPI_ALLOW_HTTP=1",
    "base_url=": "FOXAPI_BASE_URL=",
    "base_url has": "FOXAPI_BASE_URL has",
    "task_id=": "ID=",
    "the id that a submit returned": "the id that `foxapi generate` told",
    "it is not sent again (RetryPolicy(resubmit_uncertain=True) would)": "look at your account before you send it again",
    "it is logged and in FoxSession.unfinished": "it is told with the command that resumes it",
    "save elsewhere, or with overwrite=True": "choose another --out, or give --overwrite",
    "give a file name, or use result.save(directory)": "choose another --out",
    "give it as the argument ": "give it as the command's own ",
    "; wrap a local file in pathlib.Path": "",
    "image_urls: cannot read": "--image: cannot read",
    "or name the form": "or give --format",
    "so the budget cannot be kept: give price=": "so the budget cannot be kept: give --price",
    "run the batch again: it goes on where it stopped": "run the same command again: it goes on where it stopped",
    "sent again unless resubmit_uncertain is set": "sent again without --resubmit-uncertain",
    "with rebuild_ledger=True": "with --rebuild-ledger",
    "or set other_origin=True": "or give --other-origin",
    "choose another folder": "choose another --out",
}
_AS_IT_GOES_ON = ": attach("


def in_shell_words(text: str) -> str:
    """A message of the library as the command line says it."""
    for phrase, words in _PHRASES.items():
        text = text.replace(phrase, words)
    return text


def line_of(error: FoxError) -> str:
    """The error in one line, in terms of the command line."""
    if isinstance(error, TaskTimeoutError):
        return f"task {error.task_id} has not finished in time ({error.last_poll})"
    if isinstance(error, TaskAbandonedError):  # how to look again is told with the command for it
        return str(error).partition(_AS_IT_GOES_ON)[0]
    text = in_shell_words(str(error)) or type(error).__name__
    hint = "; check the network and FOXAPI_BASE_URL" if isinstance(error, ConnectionFailedError) else ""
    return f"{text}{hint}"
