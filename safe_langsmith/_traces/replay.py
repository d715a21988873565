"""Sends the batches that the SDK has saved in ``LANGSMITH_FAILED_TRACES_DIR``.

While a batch is being sent, its file name ends in ``.sending``. If one is found later, a
replay was interrupted or got no response, so we ask LangSmith whether it has the batch.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import langsmith
import requests
import urllib3
from langsmith import utils as sdk
from requests.adapters import BaseAdapter, HTTPAdapter

from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._sdk.modules import retries_by_itself
from safe_langsmith._traces.lost import replaying
from safe_langsmith._traces.places import place_of
from safe_langsmith._traces.saved import Batch, UnsentError, read
from safe_langsmith._transport.messages import reply_of
from safe_langsmith.errors import AccessDeniedError

_NAME = re.compile(r"trace_.*\.(json|sending)", re.DOTALL)
_ATTEMPTS = 3
_LONGEST_PAUSE_S = 30.0
# A batch that LangSmith has accepted becomes visible after a while.
_SHOWN_WITHIN_S = 10.0
_ASKED_EVERY_S = 2.0
_ASKED_AT_MOST = 6


@dataclass(frozen=True, slots=True)
class Replay:
    """The result of a replay: how many batches were sent, and what is left.

    ``left`` maps the name of each remaining file to the reason. ``error`` is the typed
    error, if LangSmith refused one.
    """

    sent: int
    left: Mapping[str, str] = field(default_factory=dict)
    error: AccessDeniedError | None = None

    def __str__(self) -> str:
        batches = "batch" if self.sent == 1 else "batches"
        lines = [f"{self.sent} {batches} sent, {len(self.left)} left"]
        lines += (scrub(f"  {name}: {why}") for name, why in self.left.items())
        return "\n".join(lines)


def replay(
    client: langsmith.Client,
    directory: str | os.PathLike[str],
    on_progress: Callable[[int, int], object] | None,
) -> Replay:
    """See `SafeClient.replay_failed_traces`."""
    folder = Path(directory)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"there is no folder {str(folder)!r}: no traces were saved there"
        )
    with _alone(folder), _sent_once(client.session), replaying():
        # File names begin with the time, so the oldest comes first.
        files = sorted(f for f in folder.iterdir() if _NAME.fullmatch(f.name))
        sent, error = 0, None
        left: dict[str, str] = {}
        hopeless: set[str] = set()
        for number, file in enumerate(files, 1):
            try:
                _send_file(client, file, hopeless)
                sent += 1
            except UnsentError as unsent:
                left[_name_now(file)] = str(unsent)
                error = error or unsent.error
            if on_progress is not None:
                on_progress(number, len(files))
    return Replay(sent, left, error)


def _send_file(client: langsmith.Client, file: Path, hopeless: set[str]) -> None:
    """Send the batch in a file, and remove the file.

    ``hopeless``: destinations that accept nothing now; this call may add one.
    """
    batch = read(file)
    waiting, under_way = file.with_suffix(".json"), file.with_suffix(".sending")
    if os.path.lexists(waiting) and os.path.lexists(under_way):
        raise UnsentError("this name exists as .json and as .sending; remove one")
    if batch.destination in hopeless:
        raise UnsentError("skipped: the previous batch failed")
    if file == waiting or not _was_taken(client, batch, file):
        with _moving():
            # From now on, LangSmith may have it. For a symlink, this marks the link itself.
            os.utime(file, follow_symlinks=os.utime not in os.supports_follow_symlinks)
            file.rename(under_way)
        try:
            _send(client, batch)
        except UnsentError as unsent:
            if unsent.for_all:
                hopeless.add(batch.destination)
            if not unsent.in_doubt:
                with _moving():
                    under_way.rename(waiting)
            raise
    with _moving():
        under_way.unlink()


@contextmanager
def _moving() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnsentError(f"cannot be renamed or removed: {error.strerror}") from None


def _name_now(file: Path) -> str:
    """The current name of a file that was not sent: sending may have renamed it."""
    forms = (file, file.with_suffix(".sending"), file.with_suffix(".json"))
    return next((form for form in forms if os.path.lexists(form)), file).name


# --- sending ------------------------------------------------------------------------------


def _send(client: langsmith.Client, batch: Batch) -> None:
    """Send a batch."""
    try:
        _request(client, "POST", batch, batch.endpoint, batch.headers, data=batch.body)
    except sdk.LangSmithConflictError:
        return  # LangSmith already has these runs
    except sdk.LangSmithNotFoundError as error:  # this URL accepts no batches
        raise _reason(error) from None


def _was_taken(client: langsmith.Client, batch: Batch, file: Path) -> bool:
    """Ask LangSmith whether it has a batch. The file's time tells when it was sent.

    A batch is accepted as a whole, so its first record is enough to check.
    """
    times_left = _ASKED_AT_MOST  # in case the clock was set back meanwhile
    try:
        while not _is_there(client, batch):
            times_left -= 1
            if not times_left or time.time() - file.stat().st_mtime > _SHOWN_WITHIN_S:
                return False
            time.sleep(_ASKED_EVERY_S)
    except UnsentError as unsent:
        why = f"it may have been sent, but LangSmith could not be asked: {unsent}"
        hint = "; to send it again, rename it to end in .json"
        raise UnsentError(why + hint, error=unsent.error) from None
    return True


def _is_there(client: langsmith.Client, batch: Batch) -> bool:
    """Whether LangSmith shows the first record of a batch."""
    kind, record_id = batch.first
    path = f"{'feedback' if kind == 'feedback' else 'runs'}/{record_id}"
    try:
        found = _request(client, "GET", batch, path, {}).json()
    except sdk.LangSmithNotFoundError:
        return False
    except ValueError:
        raise UnsentError("LangSmith's response is not JSON") from None
    # A patch ends a run; a run that has not ended did not receive it.
    return kind != "patch" or (isinstance(found, dict) and bool(found.get("end_time")))


def _request(
    client: langsmith.Client,
    method: Any,
    batch: Batch,
    path: str,
    headers: Mapping[str, str],
    **request: Any,
) -> requests.Response:
    """Send a request to a batch's destination; retries temporary failures."""
    url, credential = place_of(client, batch.destination)

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return client.request_with_retries(
                method,
                f"{url}/{path}",
                request_kwargs={**request, "headers": {**credential, **headers}},
            )
        except (sdk.LangSmithConflictError, sdk.LangSmithNotFoundError):
            raise
        except (sdk.LangSmithError, requests.RequestException) as error:
            unsent = _reason(error)
        if unsent.again_in is None:
            break
        if attempt < _ATTEMPTS:
            # A little longer each time, or as long as LangSmith asks for.
            pause = max(unsent.again_in, 0.25 * 2**attempt)
            time.sleep(min(_LONGEST_PAUSE_S, pause))
    raise unsent


def _reason(error: Exception) -> UnsentError:
    """Why a batch was not sent, or that it is unknown whether it was."""
    if isinstance(error, AccessDeniedError):
        return UnsentError(error.diagnosis.headline, for_all=True, error=error)
    cause = error.__cause__ or error.__context__
    # Before langsmith 0.14.2 only the cause of the SDK's own HTTPError has the response.
    for one in (cause, cause and cause.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, requests.Response):
            return _unusual(response)
    if _never_arrived(cause):
        return UnsentError("LangSmith could not be reached", for_all=True, again_in=0)
    if isinstance(error, (sdk.LangSmithConnectionError, requests.RequestException)):
        why = "no response; the next replay checks whether LangSmith has these traces"
        return UnsentError(why, for_all=True, in_doubt=True)
    return UnsentError(_short(str(error)), for_all=True)


def _unusual(response: requests.Response) -> UnsentError:
    """What a response that is not a refusal means for a batch."""
    status = response.status_code
    reply = reply_of(status, response.headers, response.content)
    passing = status in (429, 500, 503)
    return UnsentError(
        f"LangSmith returned {status}: {_short(reply.body)}",
        for_all=status in (429, 503),
        # The server, or a proxy in front of it, gave up: the result is unknown.
        in_doubt=status in (408, 502, 504),
        again_in=(reply.retry_after or 0) if passing else None,
    )


def _short(text: str) -> str:
    return scrub(" ".join(text.split())[:200])


def _never_arrived(cause: BaseException | None) -> bool:
    """Whether the connection failed, so that nothing was sent."""
    reason = getattr(cause.args[0] if cause and cause.args else None, "reason", None)
    never = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return isinstance(reason, never)


# --- once, and one at a time --------------------------------------------------------------


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock a folder against other replays, which would send the same batches."""
    try:
        import fcntl
    except ImportError:  # on Windows, which cannot lock a folder
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"another replay is running in {str(folder)!r}"
            raise BlockingIOError(text) from None
        yield
    finally:
        os.close(opened)


@contextmanager
def _sent_once(session: requests.Session) -> Iterator[None]:
    """While in this context, the SDK's adapter does not retry requests of this thread.

    It resends a request when a connection breaks, even though the server may have
    processed it.
    """
    before = session.adapters
    with closing(HTTPAdapter(max_retries=0)) as once:
        session.adapters = OrderedDict(
            (prefix, _Once(a, once) if retries_by_itself(a) else a)
            for prefix, a in before.items()
        )
        try:
            yield
        finally:
            session.adapters = before


class _Once(BaseAdapter):
    """Sends without retries on the thread that created it; on others, as before."""

    def __init__(self, before: BaseAdapter, once: HTTPAdapter) -> None:
        super().__init__()
        self.safe_langsmith_within = before
        self._once = once
        self._thread = threading.get_ident()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> Any:  # type: ignore[override]
        here = threading.get_ident() == self._thread
        return (self._once if here else self.safe_langsmith_within).send(request, **kwargs)

    def close(self) -> None:
        self.safe_langsmith_within.close()
