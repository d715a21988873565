"""How gunicorn runs the application in `preloaded.py`."""

import os

wsgi_app = "slow.preloaded:app"
preload_app = True
worker_class = "sync"
workers = int(os.environ["PRELOADED_WORKERS"])
timeout = 0  # a worker that hangs says where, which gunicorn would not
graceful_timeout = 1
control_socket_disable = True  # would be made in the home directory; since gunicorn 25.1
