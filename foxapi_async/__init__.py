"""An asyncio-native SDK for FoxAPI: submit image tasks, poll them at the right moments, never bill twice.

Names are imported when they are first used (PEP 562), so that importing the package is fast. Every pytest run
in an environment with this package imports it, because of the fixture in `foxapi_async.pytest_plugin`.
"""
# ruff: noqa: F403 - `_public` has the public names, and no others

from typing import TYPE_CHECKING

from foxapi_async._version import __version__ as __version__

if TYPE_CHECKING:
    from foxapi_async._public.batch import *
    from foxapi_async._public.ground import *
    from foxapi_async._public.session import *
else:
    import functools
    import importlib

    @functools.cache
    def _load(group: str) -> dict[str, object]:
        """The public names of one module of `_public`. They become names of this module, too."""
        module = importlib.import_module(f"foxapi_async._public.{group}")
        # pytest adds names that begin with "@".
        public = {name: value for name, value in vars(module).items() if name[0].isalpha()}
        importlib.import_module("foxapi_async._display").show_under("foxapi_async", public.values())
        globals().update(public)
        return public

    def __getattr__(name: str) -> object:
        if name == "__all__":
            return sorted(["__version__", *_load("ground"), *_load("session"), *_load("batch")])
        if not name.startswith("_"):
            for group in ("ground", "session", "batch"):  # from the lightest to the heaviest
                if name in _load(group):
                    return _load(group)[name]
        raise AttributeError(f"module 'foxapi_async' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return __getattr__("__all__")
