"""Real file systems for tests: small ones, and ones that cannot be written. Each is mounted in a process of its own."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

import pytest


@functools.cache
def can_mount():
    """Whether this machine lets a process of ours mount file systems that only it sees."""
    tool = shutil.which("unshare")
    words = [tool, "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return tool is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(
    "not __import__('disks').can_mount()", reason="no file system can be mounted"
)


def start_with(mounting, *words, **options):
    """Start `python *words` in a process that first runs the shell's `mounting` in its own mount namespace."""
    shell = ["unshare", "-rm", "sh", "-c", f'{mounting} && exec "$@"', "sh", sys.executable, *map(str, words)]
    return subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def read_only(folder):
    """The `mounting` that makes a folder one that cannot be written."""
    return f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'"


def account_of(service):
    """The environment for a command that uses this service."""
    return {**os.environ, "FOXAPI_API_KEY": service.key, "FOXAPI_BASE_URL": service.url}
