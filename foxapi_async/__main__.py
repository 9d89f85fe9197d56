"""`python -m foxapi_async`: the command line."""

import sys

from foxapi_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
