"""What a client does by itself after a refused request."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import langsmith

from safe_langsmith._sdk.guard import warn_once

if TYPE_CHECKING:
    from safe_langsmith._diagnosis import Diagnosis


# The allowed values. Others would count as true or false by accident: "no" as true.
_SWITCHES = {"repair": (True, False), "probe_regions": (None, True, False)}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a client does by itself after a refused request, and time limits.

    Args:
        repair: Apply a safe repair, and resend the request.
            False: diagnose, repair nothing, raise.
        dotenv: The `.env` file to read after a refusal. None: the one that load_dotenv()
            would find. Its values are used only if the program itself has imported
            python-dotenv or runs in a notebook; otherwise they are only reported. A path:
            that file. False: no file. A value that refers to a variable (``${NAME}``) is
            never used.
        probe_regions: Whether a rejected key may be sent to the other official LangSmith
            hosts. None: only if no endpoint is configured or named anywhere (argument,
            environment, `.env` file, profile). True: from any official host. False: never.
        budget_s: Maximum seconds per diagnosis, including waits.
        cooldown_s: Seconds to remember a refusal that could not be repaired. During that
            time, the same refusal raises the same diagnosis, without more probes.
        on_diagnosis: A plain function, called once with each diagnosis, on the thread that
            made it. An `Exception` in it is logged, not raised. A diagnosis that is made
            inside a callback calls no callback. See also `set_on_diagnosis`.

    Raises:
        ValueError: If ``budget_s`` is not above 0, ``cooldown_s`` is below 0,
            ``on_diagnosis`` is an ``async`` function, or another value is not one of those
            above.
    """

    repair: bool = True
    dotenv: str | os.PathLike[str] | Literal[False] | None = None
    probe_regions: bool | None = None
    budget_s: float = 10.0
    cooldown_s: float = 60.0
    on_diagnosis: Callable[[Diagnosis], None] | None = None

    def __post_init__(self) -> None:
        if not self.budget_s > 0:
            raise ValueError(f"Policy.budget_s must be above 0, not {self.budget_s!r}")
        if not self.cooldown_s >= 0:
            raise ValueError(
                f"Policy.cooldown_s must be 0 or more, not {self.cooldown_s!r}"
            )
        if self.dotenv not in (None, False) and not isinstance(
            self.dotenv, (str, os.PathLike)
        ):
            raise ValueError("Policy.dotenv must be a path, None (search) or False (never)")
        for name, allowed in _SWITCHES.items():
            value = getattr(self, name)
            if value not in allowed:
                options = ", ".join(map(str, allowed))
                raise ValueError(f"Policy.{name} must be one of {options}, not {value!r}")
        _check_is_plain(self.on_diagnosis)


def _check_is_plain(callback: Callable[[Diagnosis], object] | None) -> None:
    if inspect.iscoroutinefunction(callback):
        raise ValueError(
            "on_diagnosis must be a plain function: nothing awaits an async one"
        )


# The last one is the default of new clients: see `install(everywhere=True)`.
defaults = [Policy()]
_for_all: list[Callable[[Diagnosis], object]] = []


def set_on_diagnosis(callback: Callable[[Diagnosis], object] | None) -> None:
    """Call ``callback`` with each diagnosis of every client in this process.

    It is called like `Policy.on_diagnosis`, and in addition to that. There is one such
    callback: a new one replaces it, and None removes it.

    Raises:
        ValueError: If ``callback`` is an ``async`` function.
    """
    _check_is_plain(callback)
    _for_all[:] = [callback] if callback else []


def callbacks_of(policy: Policy) -> list[Callable[[Diagnosis], object]]:
    """The callbacks for a diagnosis, each only once."""
    own = policy.on_diagnosis
    return [*([own] if own else []), *(c for c in _for_all if c is not own)]


def checked(policy: object) -> Policy:
    """The given policy, or the default.

    Raises:
        TypeError: If it is not a Policy.
    """
    if policy is None:
        return defaults[-1]
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be a Policy, not {type(policy).__name__}")
    return policy


@functools.cache
def arguments_of(plain: Callable[..., None]) -> frozenset[str]:
    """The argument names of one of the SDK's constructors, cached."""
    return frozenset(inspect.signature(plain).parameters)


def take_policy(kwargs: dict[str, Any], plain: Callable[..., None]) -> Policy:
    """Remove and return our argument ``policy``, but leave one of the SDK's own there."""
    is_sdks = "policy" in arguments_of(plain)
    if is_sdks and not isinstance(kwargs.get("policy"), Policy):
        return defaults[-1]
    return checked(kwargs.pop("policy", None))


def looks_like(
    init: Callable[..., None], plain: Callable[..., None], **ours: Any
) -> Callable[..., None]:
    """Give our constructor the SDK's signature, with our arguments at the end."""
    texts = (inspect.getdoc(plain), inspect.getdoc(init))
    functools.update_wrapper(init, plain)
    init.__doc__ = "\n\n".join(filter(None, texts))
    signature, keyword = inspect.signature(plain), inspect.Parameter.KEYWORD_ONLY
    new = {n: kind for n, kind in ours.items() if n not in signature.parameters}
    for name in ours.keys() - new.keys():
        text = f"langsmith {langsmith.__version__} has its own argument {name}, so ours is"
        warn_once(name, f"safe_langsmith: {text} disabled. Please report this line.")
    added = [
        inspect.Parameter(name, keyword, default=None, annotation=kind)
        for name, kind in new.items()
    ]
    parameters = [*signature.parameters.values(), *added]
    init.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    init.__annotations__ = {**plain.__annotations__, **new}
    return init
