"""The gunicorn settings for the application in `preloaded.py`."""

import os

wsgi_app = "slow.preloaded:app"
preload_app = True
worker_class = "sync"
workers = int(os.environ["PRELOADED_WORKERS"])
timeout = 0  # a worker that hangs prints its own traceback
graceful_timeout = 1
# gunicorn 25.1 or newer would create it in the home directory.
control_socket_disable = True
