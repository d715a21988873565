"""The layout: data go down once, imports go up only, and each room keeps its door."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

import safe_langsmith

PACKAGE = Path(safe_langsmith.__file__).parent
# Each module may import what stands above it, once it is loaded.
ORDER = (
    "_sdk",
    "_knowledge",
    "_decision",
    "_transport",
    "_traces",
    "_command",
    "_knowledge.keys",
    "_knowledge.hosts",
    "_knowledge.access",
    "_knowledge.operations",
    "_diagnosis",
    "_policy",
    "_knowledge.notebook",
    "errors",
    "_decision.protocol",
    "_settings.construction",
    "_settings.sources",
    "_settings.environment",
    "_settings.releases",
    "_settings.unread",
    "_settings.python_dotenv",
    "_settings.dotenv_file",
    "_settings.profile_file",
    "_settings.sdk_cache",
    "_settings.colab",
    "_settings.tracing",
    "_settings.machine",
    "_settings.conflicts",
    "_settings.reading",
    "_settings",
    "_decision.case",
    "_decision.checks.endpoint",
    "_decision.checks.workspace",
    "_decision.checks.settings",
    "_decision.checks.key",
    "_decision.checks.region",
    "_decision.checks.permission",
    "_decision.checks",
    "_decision.resolve",
    "_transport.ledger",
    "_transport.settle",
    "_transport.wire",
    "_sdk.late",
    "_sdk.fork",
    "_transport.hook",
    "_transport.auth",
    "_transport.requests_driver",
    "_transport.httpx_driver",
    "_client",
    "_traces.lost",
    "_traces.saved",
    "_traces.replay",
    "_async_client",
    "_diagnose",
    "_install",
    "_transport.verify",
    "__init__",
    "_command.explanations",
    "_command.fix",
    "_command.doctor",
    "_command.terminal",
    "_command.report",
    "_command.cli",
    "_command.demo",
    "__main__",
)
# The parts of the simulated LangSmith are tested with it.
SEPARATE = "testing"
HTTP = {"requests", "urllib3", "httpx", "httpx2", "aiohttp", "langsmith._httpx"}
# A base class, the hooks that a client carries, the transports, the clients, the demo.
SPEAK_HTTP = {
    "errors",
    "_transport.hook",
    "_transport.auth",
    "_transport.requests_driver",
    "_transport.httpx_driver",
    "_client",
    "_async_client",
    "_traces.replay",
    "_command.demo",
}
READ_THE_MACHINE = {
    "_settings",
    "_traces.saved",
    "_traces.replay",
    "_command.fix",
    "_command.terminal",
    "_command.cli",
    "_command.demo",
}
# Of the rooms of the settings, the only one that a client needs before a refusal.
EARLY_SETTINGS = {"_settings", "_settings.construction"}
TOUCH_THE_DISK = {"open", "read_text", "read_bytes", "is_file", "exists", "iterdir"}
CHANGE_THE_DISK = {"tempfile", "write_text", "write_bytes", "rename", "unlink", "chmod"}
# A `.env`, the folder of saved traces, and a folder of the demo's own: see SECURITY.md.
CHANGES_THE_DISK = {"_command.fix", "_traces.replay", "_command.demo"}
LATE = {"tenacity", "dotenv", "anyio"}
PUBLIC = {
    "AccessDeniedError",
    "AsyncClient",
    "BlockedByProxyError",
    "Client",
    "Diagnosis",
    "FeatureUnavailableError",
    "Finding",
    "Fix",
    "Identity",
    "Installation",
    "KeyMalformedError",
    "KeyMissingError",
    "KeyRejectedError",
    "LegacyKeyError",
    "PermissionMissingError",
    "Policy",
    "Replay",
    "SafeAsyncClient",
    "SafeClient",
    "ServiceKeyScopeError",
    "SettingInfo",
    "StaleSettingError",
    "WorkspaceInfo",
    "WorkspaceMismatchError",
    "WorkspaceRequiredError",
    "WrongEndpointError",
    "WrongRegionError",
    "__version__",
    "diagnose",
    "install",
}
modules = pytest.mark.parametrize("module", ORDER)


@functools.cache
def tree_of(module: str) -> ast.Module:
    path = PACKAGE / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def at_loading(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is loaded, but for type checkers."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from at_loading(node.orelse)
            continue
        yield node
        for name in ("body", "orelse", "finalbody", "handlers"):
            yield from at_loading(getattr(node, name, []))


def imported(nodes: Iterator[ast.stmt] | Iterator[ast.AST]) -> Iterator[str]:
    """The full names of the modules that import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def own(names: Iterator[str]) -> set[str]:
    """Those of this package, by their short names."""
    inside = (name.partition(".") for name in names)
    return {rest or "__init__" for first, _, rest in inside if first == "safe_langsmith"}


def is_one_of(name: str, packages: set[str]) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def test_every_module_has_its_place() -> None:
    names = {name_of(path) for path in PACKAGE.rglob("*.py")}
    assert {name for name in names if not is_one_of(name, {SEPARATE})} == set(ORDER)


@modules
def test_imports_go_up_only(module: str) -> None:
    above = {*ORDER[: ORDER.index(module)]}
    if module == "_command.demo":
        above.add(SEPARATE)
    assert own(imported(at_loading(tree_of(module).body))) <= above


@modules
def test_the_simulated_langsmith_is_for_the_demo_alone(module: str) -> None:
    names = own(imported(ast.walk(tree_of(module))))
    assert module == "_command.demo" or not any(
        is_one_of(name, {SEPARATE}) for name in names
    )


@modules
def test_the_decision_knows_no_http_library(module: str) -> None:
    found = {n for n in imported(at_loading(tree_of(module).body)) if is_one_of(n, HTTP)}
    assert module in SPEAK_HTTP or not found


def reads_of_the_machine(tree: ast.Module) -> Iterator[str]:
    """What looks at the environment or the disk."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in ("os.environ", "os.getenv") or node.attr in TOUCH_THE_DISK:
                yield name
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "open":
            yield ast.unparse(node)
    yield from (n for n in imported(ast.walk(tree)) if is_one_of(n, {"pathlib", "dotenv"}))


@modules
def test_one_room_reads_environment_and_disk(module: str) -> None:
    reads = list(reads_of_the_machine(tree_of(module)))
    assert is_one_of(module, READ_THE_MACHINE) or not reads


def test_that_room_is_seen_to_read() -> None:
    """The test above would find it."""
    rooms = [module for module in ORDER if is_one_of(module, {"_settings"})]
    found = {read for room in rooms for read in reads_of_the_machine(tree_of(room))}
    assert {"os.environ", "pathlib", "dotenv"} <= found
    assert not list(reads_of_the_machine(tree_of("_settings.sources")))


def changes_of_the_disk(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CHANGE_THE_DISK:
            yield ast.unparse(node)
    yield from (n for n in imported(ast.walk(tree)) if n in CHANGE_THE_DISK)


@modules
def test_few_rooms_change_the_disk(module: str) -> None:
    changes = list(changes_of_the_disk(tree_of(module)))
    assert bool(changes) == (module in CHANGES_THE_DISK), changes


def loaded_with(module: str) -> set[str]:
    """The modules of this package that are loaded with one, itself included."""
    found, left = set(), {module}
    while left:
        found |= left
        left = set().union(*(own(imported(at_loading(tree_of(m).body))) for m in left))
        left -= found
    return found


def test_what_only_a_refusal_needs_is_not_imported_before_one() -> None:
    early = loaded_with("__init__")
    assert early >= {"__init__", "_client", "_settings", "errors"}
    late = {
        "_diagnosis",
        "_decision.protocol",
        "_decision.checks",
        "_decision.resolve",
        "_transport.settle",
        "_transport.wire",
        "_transport.requests_driver",
        "_transport.httpx_driver",
        "_knowledge.notebook",
    }
    assert not early & {*late, "_traces.lost", "_traces.saved", "_traces.replay"}
    assert {m for m in early if is_one_of(m, {"_settings"})} == EARLY_SETTINGS
    for module in early:
        names = imported(at_loading(tree_of(module).body))
        assert not [n for n in names if is_one_of(n, LATE)], module


def test_the_public_surface() -> None:
    """A name is added on purpose, and then here."""
    assert set(safe_langsmith.__all__) == PUBLIC
    assert sorted(safe_langsmith.__all__) == safe_langsmith.__all__
    assert all(getattr(safe_langsmith, name) is not None for name in PUBLIC)
    assert safe_langsmith.Client is safe_langsmith.SafeClient
    assert safe_langsmith.AsyncClient is safe_langsmith.SafeAsyncClient
    own_names = {n for n in vars(safe_langsmith) if not n.startswith("_")}
    submodules = {path.stem for path in PACKAGE.iterdir()}
    assert own_names - submodules - {"TYPE_CHECKING", "Any"} <= PUBLIC


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(
        AttributeError, match="module 'safe_langsmith' has no attribute 'Safe'"
    ):
        _ = safe_langsmith.Safe
