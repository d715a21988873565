"""``python -m safe_langsmith``."""

import sys

from safe_langsmith._cli import main

if __name__ == "__main__":
    sys.exit(main())
