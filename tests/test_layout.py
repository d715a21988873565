"""Tests for the architecture: allowed imports, private names, and sizes of files."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import safe_langsmith
from safe_langsmith._sdk.names import NAMES

PACKAGE = Path(safe_langsmith.__file__).parent
# A package or a top-level module uses only those below it.
ORDER = (
    "__main__",
    "_command",
    "__init__",
    "_install",
    "_diagnose",
    "_async_client",
    "_client",
    "_translate",
    "_traces",
    "_transport",
    "errors",
    "_decision",
    "_settings",
    "_policy",
    "_diagnosis",
    "_sdk",
    "_knowledge",
)
# The simulated LangSmith is not part of the order.
SEPARATE = "testing"
HTTP = {"requests", "urllib3", "httpx", "httpx2", "aiohttp", "langsmith._httpx"}
# These may import an HTTP library.
SPEAK_HTTP = {
    "errors",
    "_transport",
    "_client",
    "_async_client",
    "_translate",
    "_traces",
}
READ_THE_MACHINE = {
    "_settings",
    "_traces.saved",
    "_traces.replay",
    "_command.fix",
    "_command.loaded",
    "_command.github",
    "_command.terminal",
    "_command.cli",
    "_command.run",
}
TOUCH_THE_DISK = {"open", "read_text", "read_bytes", "is_file", "exists", "iterdir"}
CHANGE_THE_DISK = {"tempfile", "write_text", "write_bytes", "rename", "unlink", "chmod"}
# A `.env`, and the folder of saved traces: see SECURITY.md.
CHANGES_THE_DISK = {"_command.fix", "_traces.replay"}
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
    "set_on_diagnosis",
}
LONGEST_FILE, LONGEST_FUNCTION = 350, 40


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = sorted(name for p in PACKAGE.rglob("*.py") if (name := name_of(p)))
OURS = [name for name in MODULES if name.partition(".")[0] != SEPARATE]
modules = pytest.mark.parametrize("module", OURS)
packages = pytest.mark.parametrize("package", [n for n in ORDER if (PACKAGE / n).is_dir()])


@functools.cache
def tree_of(module: str) -> ast.Module:
    path = PACKAGE / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def at_loading(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, except those for type checkers."""
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
    """The full names in import statements: modules, or names in modules."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(names: Iterator[str]) -> set[str]:
    """The modules of this package among these names, by their short names."""
    found = set()
    for name in names:
        first, _, rest = name.partition(".")
        if first == "safe_langsmith":
            parent = rest.rpartition(".")[0]
            found.add(rest if rest in MODULES else parent or "__init__")
    return found


def is_one_of(name: str, packages: set[str]) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def test_every_module_has_its_place() -> None:
    assert {name.partition(".")[0] for name in OURS} == set(ORDER)


@modules
def test_imports_go_down_only(module: str) -> None:
    """This includes imports within functions, and those for type checkers."""
    package = module.partition(".")[0]
    below = set(ORDER[ORDER.index(package) + 1 :])
    used = {n.partition(".")[0] for n in own(imported(ast.walk(tree_of(module))))}
    assert used - {package, SEPARATE} <= below


@packages
def test_a_package_lists_its_modules(package: str) -> None:
    """Its docstring lists its modules; each uses only those before it."""
    text = ast.get_docstring(tree_of(package), clean=False) or ""
    listed = re.findall(r"^ *(\w+)  +\S", text, re.MULTILINE)
    files = {p.stem for p in (PACKAGE / package).iterdir() if p.suffix == ".py"}
    folders = {p.parent.name for p in (PACKAGE / package).glob("*/__init__.py")}
    assert set(listed) == (files - {"__init__"}) | folders
    for place, name in enumerate(listed):
        parts = [m for m in OURS if is_one_of(m, {f"{package}.{name}"})]
        trees = (ast.walk(tree_of(m)) for m in parts)
        used = {n for tree in trees for n in own(imported(tree))}
        inside = {n.split(".")[1] for n in used if n.startswith(f"{package}.")}
        assert inside <= {*listed[:place], name}, name


def test_no_module_is_part_of_a_cycle() -> None:
    """This includes imports for types, and covers the whole package."""
    left = {module: own(imported(ast.walk(tree_of(module)))) - {module} for module in OURS}
    while free := [module for module, used in left.items() if not used & left.keys()]:
        for module in free:
            del left[module]
    assert not left


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_are_short(module: str) -> None:
    tree = tree_of(module)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, functions)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
        and node.args.kwonlyargs == []  # the signature of a constructor is the SDK's
    }
    assert not long
    assert max(getattr(n, "end_lineno", 0) for n in tree.body) <= LONGEST_FILE


@modules
def test_only_the_command_imports_the_simulated_langsmith(module: str) -> None:
    names = own(imported(ast.walk(tree_of(module))))
    assert module == "_command.cli" or not any(
        is_one_of(name, {SEPARATE}) for name in names
    )


@modules
def test_few_modules_import_an_http_library(module: str) -> None:
    found = {n for n in imported(at_loading(tree_of(module).body)) if is_one_of(n, HTTP)}
    assert is_one_of(module, SPEAK_HTTP) or not found


def reads_of_the_machine(tree: ast.Module) -> Iterator[str]:
    """The expressions that read the environment or the disk."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in ("os.environ", "os.getenv") or node.attr in TOUCH_THE_DISK:
                yield name
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "open":
            yield ast.unparse(node)
    names = imported(ast.walk(tree))
    yield from (n for n in names if is_one_of(n, {"pathlib", "dotenv"}))


@modules
def test_few_modules_read_the_environment_or_the_disk(module: str) -> None:
    reads = list(reads_of_the_machine(tree_of(module)))
    assert is_one_of(module, READ_THE_MACHINE) or not reads


def test_reads_of_the_machine_are_detected() -> None:
    """In `_settings`, which may have them; otherwise the test above could not fail."""
    rooms = [module for module in OURS if is_one_of(module, {"_settings"})]
    found = {read for room in rooms for read in reads_of_the_machine(tree_of(room))}
    assert {"os.environ", "pathlib.Path", "dotenv.find_dotenv"} <= found
    assert not list(reads_of_the_machine(tree_of("_settings.sources")))


def changes_of_the_disk(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CHANGE_THE_DISK:
            yield ast.unparse(node)
    yield from (n for n in imported(ast.walk(tree)) if n in CHANGE_THE_DISK)


@modules
def test_few_modules_change_the_disk(module: str) -> None:
    changes = list(changes_of_the_disk(tree_of(module)))
    assert bool(changes) == (module in CHANGES_THE_DISK), changes


def loaded_with(module: str) -> set[str]:
    """The modules of this package that are loaded with this one, including itself."""
    found, left = set(), {module}
    while left:
        found |= left
        left = set().union(*(own(imported(at_loading(tree_of(m).body))) for m in left))
        left -= found
    return found


def test_modules_for_refusals_are_imported_late() -> None:
    early = loaded_with("_client")
    assert early >= {"_client", "errors", "_transport.hook"}
    assert not [m for m in early if is_one_of(m, {"_decision", "_traces", "_command"})]
    of_settings = {m for m in early if is_one_of(m, {"_settings"})}
    assert of_settings == {"_settings.construction"}
    assert not early & {"_diagnosis", "_transport.settle", "_transport.requests_driver"}
    for module in early:
        names = imported(at_loading(tree_of(module).body))
        assert not [n for n in names if is_one_of(n, LATE)], module


def test_the_public_surface() -> None:
    """A new public name must also be added here."""
    assert set(safe_langsmith.__all__) == PUBLIC
    assert sorted(safe_langsmith.__all__) == safe_langsmith.__all__
    assert all(getattr(safe_langsmith, name) is not None for name in PUBLIC)
    assert safe_langsmith.Client is safe_langsmith.SafeClient
    assert safe_langsmith.AsyncClient is safe_langsmith.SafeAsyncClient
    assert safe_langsmith.errors.KeyMissingError is safe_langsmith.KeyMissingError
    # pytest rewrites packages with plugins, and adds names that begin with @.
    own_names = {n for n in vars(safe_langsmith) if n[0] not in "_@"}
    submodules = {path.stem for path in PACKAGE.iterdir()}
    assert own_names - submodules - {"TYPE_CHECKING", "Any"} <= PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(
        AttributeError, match="module 'safe_langsmith' has no attribute 'Safe'"
    ):
        _ = safe_langsmith.Safe


# Private names of requests and httpx, and names that we add to the SDK's clients.
ALSO_OURS = {"_settings"}
FOREIGN = {
    "_safe",
    "_replace",
    "_asdict",
    "_body_position",
    "_content",
    "_content_consumed",
}


def is_self(node: ast.Attribute) -> bool:
    return ast.unparse(node.value) in ("self", "cls")


@modules
def test_only_sdk_uses_private_names_of_the_sdk(module: str) -> None:
    if module.startswith("_sdk"):
        return
    tree = tree_of(module)
    used = {name for name in imported(ast.walk(tree)) if name.startswith("langsmith.")}
    assert not {name for name in used if "._" in name}
    words = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    words |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}  # type: ignore[misc]
    private = {n.name.rpartition(".")[2] for n in NAMES} - {"AsyncClient", "SyncClient"}
    assert words & private <= ALSO_OURS
    own = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    own |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and is_self(n)}
    foreign = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and re.match(r"_[a-z]", node.attr)
        and not is_self(node)
    }
    assert not {n for n in foreign - own - FOREIGN if not n.startswith("_safe_")}
