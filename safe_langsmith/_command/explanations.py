"""What each code means: the texts of ``safe-langsmith explain`` and `docs/errors/`."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from safe_langsmith._diagnosis import Code


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code: its meaning, detection, repair, requests and fix."""

    code: Code
    means: str
    shown_by: str
    repair: str
    sent: str
    fix: tuple[str, ...]

    @property
    def in_short(self) -> str:
        """What it means, in one sentence."""
        return f"{self.means.split('. ')[0].rstrip('.')}."

    def __str__(self) -> str:
        fix = "\n".join(_wrap(step, "  - ", "    ") for step in self.fix)
        parts = [
            ("What it means", _wrap(self.means)),
            ("How to fix it", fix),
            ("How it is detected", _wrap(self.shown_by)),
            ("Fixed automatically", _wrap(self.repair)),
            ("Requests made", _wrap(self.sent)),
        ]
        return "\n\n".join([self.code, *(f"{head}\n{text}" for head, text in parts)])


def _wrap(text: str, first: str = "  ", rest: str = "  ") -> str:
    return textwrap.fill(
        text, 78, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


_SETTINGS = "in the web app, under Settings, API Keys"
_AGAIN = "After a repair, the refused request is resent there once."
_REGIONS = (
    "The key is checked in the other regions (GET /workspaces, GET /auth/public) "
    "only if the rules allow it: by default, only if no endpoint was configured."
)
_KEY_ASKED = (
    "GET /workspaces, GET /auth/public and, without the key, GET /info, to your endpoint."
)

EXPLANATIONS: tuple[Explanation, ...] = (
    Explanation(
        "workspace-required",
        "The key works, but LangSmith needs to know which workspace to use. "
        "Organization-scoped keys always need one. A personal key needs one if its "
        "default workspace does not accept it, for example after you were removed from "
        "that workspace.",
        "LangSmith says so in its response; or the default workspace does not accept the "
        "key, and another of the key's workspaces does. GET /workspaces lists them.",
        "If a workspace is named in LANGSMITH_TENANT_ID, in the .env file or in the CLI's "
        "profile, that one is used, if the key can use it. If none is named anywhere, and "
        "the key can use exactly one, that one is used. If it can use several, nothing is "
        "guessed: the error lists them.",
        f"{_KEY_ASKED} {_REGIONS} {_AGAIN}",
        (
            "Set LANGSMITH_WORKSPACE_ID to one of the ids in the error.",
            'Or pass it: Client(workspace_id="...").',
        ),
    ),
    Explanation(
        "workspace-mismatch",
        "The request named a workspace that this key cannot use: an old one, one from "
        "another account, or a different value by mistake, such as the id of the "
        "organization (the id after /o/ in some web URLs) or of a project, a complete "
        "web URL, or the workspace's name.",
        "The key is accepted, but the workspace is not among those that GET /workspaces "
        "lists for it; or it is the organization's id, or GET /sessions finds a project "
        "with that id.",
        "A workspace from the environment is replaced by a newer value of the same "
        "setting, if the key can use that one. If a web URL is set outside of your code, "
        "the id in it is used, if the key can use it. A workspace in your code is "
        "kept; only quotes or a comment around its id are removed.",
        "GET /workspaces, GET /auth/public, GET /sessions/{id} with the workspace id "
        "and, without the key, GET /info, to your endpoint. "
        f"{_REGIONS} {_AGAIN}",
        (
            "Set LANGSMITH_WORKSPACE_ID (or workspace_id=) to one of the ids in the error.",
            "Or remove it: a personal key then uses its default workspace.",
        ),
    ),
    Explanation(
        "service-key-scope",
        "The service key (lsv2_sk_) is valid but has no access to this: it is scoped to "
        "other workspaces, or the call is for the whole organization, or LangSmith "
        "accepts only personal keys (lsv2_pt_) for it.",
        "LangSmith accepts the key, but the workspace in the request is not in its scope; "
        "or LangSmith documents that the call needs a personal key.",
        "Nothing: a key's scope is set when it is created.",
        "GET /workspaces, GET /auth/public, and GET /sessions/{id} with the workspace id, "
        "to your endpoint. Nothing is resent.",
        (
            "Use a workspace in the key's scope.",
            f"Or create a service key with the scope that you need, {_SETTINGS}.",
            "Or use a personal key for this call.",
        ),
    ),
    Explanation(
        "stale-setting",
        "A setting was changed after the client was created: in os.environ, the .env "
        "file, the Colab secrets or the profile. The client still uses the old value. This "
        "happens in a notebook when you edit .env and do not restart the kernel.",
        "The client's value is refused, and LangSmith accepts a newer one from os.environ, "
        "the .env file, the Colab secrets or the profile. A .env file is used only if "
        "the program itself has imported python-dotenv, runs in a notebook, or names it in "
        "Policy(dotenv=...).",
        "The newer value is used, and the SDK's caches are cleared, unless the old one "
        "is in your code. The request stays on its host, unless that and the "
        "newer endpoint are both official hosts.",
        "GET /workspaces and GET /auth/public with the old and with the newer value, to "
        "your endpoint. If the newer endpoint is an official host of another region, that "
        "host gets these requests with the key and nothing else. "
        f"{_AGAIN}",
        (
            "Call load_dotenv(override=True) before you create the client: without "
            "override, a variable that is already set takes precedence over the file.",
            "If a variable overrides the profile, remove the variable.",
            "Or recreate the client after you change its settings.",
        ),
    ),
    Explanation(
        "wrong-region",
        "The key belongs to another LangSmith region. A key, its organization and its "
        "workspaces exist in one region only, and the key does not show which.",
        "LangSmith rejects the key here, and exactly one other region accepts it. The four "
        "official hosts are checked at the same time, over https with certificates "
        "verified. By default they are checked only if no endpoint was configured "
        "anywhere. With probe_regions=True, your endpoint may be any official "
        "host; with False, never.",
        "If no endpoint was configured, and the other regions reject the key, the key's "
        "region is used. If the key has several workspaces there and none is named, only "
        "requests that change nothing are sent there; a write raises. A configured "
        "endpoint is kept. It is also kept if two regions accept the key, or if a region "
        "did not respond: the error names it.",
        f"{_KEY_ASKED} {_REGIONS} These regions get only the key. After a "
        "repair, the refused request is sent once to the region that accepts the key.",
        (
            "Look at the URL of your web app: smith.langchain.com is US; the others begin "
            "with their region, such as eu.smith.langchain.com.",
            "Set the endpoint to that region's API, in the place that the error names.",
            "To write, also name the workspace if there are several: set "
            "LANGSMITH_WORKSPACE_ID.",
        ),
    ),
    Explanation(
        "wrong-endpoint",
        "The endpoint is not the URL of a LangSmith API: it is the web app's, or it "
        "lacks /api/v1 or the https:// prefix, or it has quotes or a comment around it, or "
        "it redirects (to https, to a login page), or it belongs to another server. The "
        "correctly written URL of an official host never gets this code.",
        "The endpoint is not a valid URL; or the request was redirected; or a web page "
        "came back instead of JSON, and either the endpoint is an official web app, or GET "
        "/info without a key does not get LangSmith's response.",
        "The URL of an official web app is replaced by that of its API, unless the URL is "
        "set in your code, the request was redirected, or the client has credentials "
        "besides the key.",
        "GET /info without the key, GET /workspaces and GET /auth/public, to your "
        "endpoint. After a repair, the refused request is sent once to the API of the same "
        "region.",
        (
            "Correct the endpoint in the place that the error names: LANGSMITH_ENDPOINT, "
            "api_url=, a line of the .env file, or LANGSMITH_RUNS_ENDPOINTS.",
            "On a self-hosted server it ends in /api/v1. LangSmith's own endpoints are "
            "https://api.smith.langchain.com (US) or https://eu.api.smith.langchain.com; "
            "for the other regions, apac or aws instead of eu.",
        ),
    ),
    Explanation(
        "key-missing",
        "No key was sent. Often the client was created before load_dotenv() ran, "
        'or with api_key=os.getenv(...) while the variable is not set (with "", the SDK '
        "does not look in the environment).",
        "The refused request carried no key.",
        "A key that was set later (in os.environ, the Colab secrets, the profile, or the "
        ".env file of a program that uses python-dotenv) is used, unless an empty one was "
        "passed as an argument.",
        "None, if there is no key. A key that was set later is tried at your "
        f"endpoint, with GET /workspaces. {_AGAIN}",
        (
            "Set LANGSMITH_API_KEY before the client is created.",
            "In a notebook, use %env or os.environ: !export does not reach the kernel.",
            "If you log in with LangSmith's CLI: langsmith auth login.",
        ),
    ),
    Explanation(
        "key-malformed",
        "The key is not a LangSmith key, or has extra characters around it: a "
        "placeholder, another vendor's key, code instead of its value, quotes, "
        "NAME=value, a comment, an invisible character, or a key with a part missing.",
        "LangSmith rejects the key, and its format is wrong; the error says how. "
        "Working keys are never checked for format.",
        "Characters around the key are removed (quotes, Bearer, LANGSMITH_API_KEY=, "
        "invisible characters), and the key is used if LangSmith accepts it.",
        f"{_KEY_ASKED} A placeholder or another vendor's key is never sent to another "
        f"region. {_AGAIN}",
        (
            "Copy the key again; a LangSmith key begins with lsv2_pt_ or lsv2_sk_.",
            "In a notebook, %env sets plain text and runs no code: write "
            'os.environ["LANGSMITH_API_KEY"] = userdata.get("LANGSMITH_API_KEY").',
            "If you lost it, create a new one: LangSmith shows a key only once.",
        ),
    ),
    Explanation(
        "key-legacy",
        "Keys that begin with ls__ stopped working on 22 October 2024.",
        "LangSmith says so, or it rejects a key that begins with ls__.",
        "Nothing.",
        "None.",
        (f"Create a new key, {_SETTINGS}.",),
    ),
    Explanation(
        "key-rejected",
        "LangSmith rejected this key at this endpoint: it was deleted, revoked or "
        "mistyped, it has expired, its owner left the organization, or it belongs to "
        "another region that was not checked. Or a login session of LangSmith's CLI has "
        "expired, and no key is involved.",
        "LangSmith rejects the key with 403 on two read-only calls that need no permission "
        "in a workspace, and also answers a request without a key, so no proxy is the "
        "cause. A 401 proves nothing: LangSmith returns it if no key arrives.",
        "Nothing. A newer key that works would have been used (see stale-setting).",
        f"{_KEY_ASKED} {_REGIONS} Nothing is resent.",
        (
            "Check that the endpoint is in your region, unless the error says that all "
            "regions were checked. The URL of your web app shows your region: "
            "smith.langchain.com is US; the others begin with their region, such as "
            "eu.smith.langchain.com. If the endpoint is LangSmith's own, this tries the "
            "key in all regions: safe-langsmith doctor --probe-regions",
            f"Check that the key still exists, {_SETTINGS}.",
            "If not, create a new one, and set LANGSMITH_API_KEY to it. LangSmith can take "
            "a minute to notice a changed key.",
            "If you logged in with LangSmith's CLI, log in again: langsmith auth login. "
            "You do not need a key for that.",
        ),
    ),
    Explanation(
        "permission-missing",
        "The key and the workspace are right, but the key's role does not allow this. A "
        "typical case: an Editor can trace, but evaluate() creates a project, which "
        "needs projects:create.",
        "LangSmith names the permission, or the permissions that it lists for the key's "
        "role in this workspace lack the one that the call needs. A workspace's list says "
        "nothing about organization permissions. A listed permission is never reported as "
        "missing.",
        "Nothing: only an admin can grant permissions.",
        "GET /workspaces and GET /auth/public, to your endpoint. Nothing is resent.",
        (
            "Ask an admin of the workspace for a role with the permission in the error.",
            "Or use a key that has it.",
        ),
    ),
    Explanation(
        "feature-unavailable",
        "The organization's plan or settings do not include this feature.",
        "LangSmith says so in its response.",
        "Nothing.",
        "None.",
        ("Ask an admin of the organization to enable it, or to change the plan.",),
    ),
    Explanation(
        "blocked-by-proxy",
        "Something between this machine and LangSmith refused the request: a proxy, a "
        "firewall, a VPN.",
        "The response is a web page; or it does not have LangSmith's format, and a request "
        "to /info without a key is refused too; or an official host returns 401 "
        "although a key was sent; or a proxy refuses CONNECT with 403 or 407.",
        "A request that changes nothing, and a batch of runs, is resent a few times "
        "after short pauses, since such refusals are often temporary. Any other write "
        "raises immediately: LangSmith may have carried it out before the response was "
        "filtered.",
        f"{_KEY_ASKED} The refused request is resent up to three times (a batch of runs up "
        "to four times), or not at all.",
        (
            "Ask your network admin to allow the endpoint's host.",
            "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
        ),
    ),
    Explanation(
        "transient-refusal",
        "LangSmith briefly refused what it allowed before. It caches its decision about a "
        "key for about a minute, so this happens when a key or a role changes.",
        "The same key worked on this client before, and a test request with it succeeds.",
        "The request is resent once, after a pause. For traces, there is at most one "
        "pause per cooldown, which ends when a batch is accepted; otherwise, a batch is "
        "resent immediately.",
        "GET /workspaces and GET /auth/public, to your endpoint. The refused request is "
        "resent there once, after 3 seconds.",
        ("Nothing to do. If it happens often, contact LangSmith support.",),
    ),
    Explanation(
        "access-denied",
        "LangSmith refused the request, and the cause is unknown. The error says "
        "what was found, and which causes are likely.",
        "The checks that could be made proved no cause; or the request was refused again "
        "after each repair.",
        "Nothing: no repair is known, or none helped.",
        f"{_KEY_ASKED} The refused request is resent only if a repair was tried.",
        (
            "Read what was found; run safe-langsmith doctor, and ask an admin of your "
            "organization whether the key has access.",
        ),
    ),
)


def explain(code: str) -> Explanation | None:
    """The explanation of a code, or None if there is no such code."""
    return next((e for e in EXPLANATIONS if e.code == code), None)
