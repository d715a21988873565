"""Runs at the start of each Python process under `safe-langsmith run`.

Prints nothing, and imports nothing that the program would not. Once langsmith and its
client have been imported, imports safe_langsmith, if it is installed there.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    _List = list[Any]
else:
    _List = list


# The modules of the tracing client and of the generated clients.
_CLIENTS = {"langsmith.client", "langsmith._client"}


class _Finder:
    """Lets the other finders find langsmith, and notices when its import is complete.

    Only then can safe_langsmith be imported, which needs all of it. If the program itself
    imports safe_langsmith, this waits for that import too.
    """

    def __init__(self) -> None:
        self.under_way: list[str] = []
        self.done = False

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if self.done or name.partition(".")[0] not in ("langsmith", "safe_langsmith"):
            return None
        for finder in sys.meta_path[:]:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module") and hasattr(spec.loader, "__dict__"):
                    self.watch(spec.loader)
                return spec
        return None

    def watch(self, loader: "Any") -> None:
        execute = loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            vars(loader).pop("exec_module", None)
            self.under_way.append(module.__name__)
            try:
                execute(module)
            finally:
                self.under_way.pop()
            if not (self.under_way or self.done or _CLIENTS.isdisjoint(sys.modules)):
                self.done = True
                self.start()

        loader.exec_module = exec_module

    def start(self) -> None:
        try:
            from safe_langsmith._install import start_program

            start_program()
        except Exception:  # noqa: S110  # not installed here, or another version
            pass


class _Path(_List):
    """`sys.meta_path` with our finder in front.

    pytest inserts its own finder there, which takes over packages that have a pytest
    plugin, such as langsmith.
    """

    def insert(self, index: "Any", finder: "Any") -> None:
        ours = any(isinstance(first, _Finder) and not first.done for first in self[:1])
        super().insert(index or int(ours), finder)


sys.meta_path = _Path([_Finder(), *sys.meta_path])

# The `sitecustomize` that would have run without this one.
_here = os.path.dirname(__file__)  # noqa: PTH120  # pathlib is slow
_ours = sys.modules["sitecustomize"]
sys.path[:] = [folder for folder in sys.path if folder != _here]
del sys.modules["sitecustomize"]
try:
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
except ImportError as error:
    if error.name != "sitecustomize":
        raise
    sys.modules["sitecustomize"] = _ours
