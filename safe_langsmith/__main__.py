"""``python -m safe_langsmith``."""

import sys

from safe_langsmith._command.cli import main

if __name__ == "__main__":
    sys.exit(main())
