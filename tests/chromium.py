"""The system's Chromium, without a screen, driven by Playwright. Tests skip without one of them."""

import os
import shutil

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium (apt-get install chromium)"
)

expect = playwright.expect
# For a busy machine. On an idle one nothing waits so long.
PATIENCE = 20_000
expect.set_options(timeout=PATIENCE)
# The folder for screenshots, if someone wants to see them.
SHOTS = os.environ.get("FOXAPI_TEST_SHOTS")
