"""What each code means: the text behind ``safe-langsmith explain`` and `docs/errors/`."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from safe_langsmith._diagnosis import Code


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code: what it means, how it is shown, what is repaired, sent, and to be done."""

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
        parts = [
            ("What it means", self.means),
            ("How it is shown", self.shown_by),
            ("What is repaired", self.repair),
            ("What is sent, and where", self.sent),
        ]
        blocks = [f"{head}\n{_wrap(text)}" for head, text in parts]
        fix = "\n".join(_wrap(step, "  - ", "    ") for step in self.fix)
        return "\n\n".join([self.code, *blocks, f"How to fix it\n{fix}"])


def _wrap(text: str, first: str = "  ", rest: str = "  ") -> str:
    return textwrap.fill(
        text, 78, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


_SETTINGS = "in the web app, under Settings, API Keys"
_AGAIN = "After a repair the refused request goes there again, once."
_REGIONS = (
    "The other official regions see the key (GET /workspaces, GET /auth/public) only "
    "where the rule allows it: by default, if no endpoint was configured."
)
_KEY_ASKED = (
    "GET /workspaces, GET /auth/public and, without the key, GET /info, to your endpoint."
)

EXPLANATIONS: tuple[Explanation, ...] = (
    Explanation(
        "workspace-required",
        "The key works, but LangSmith must be told which workspace to use. Keys that are "
        "scoped to a whole organization always need one. A personal key needs one when "
        "its default workspace refuses it, as after you were removed from that workspace.",
        "LangSmith says so in its answer; or the key's default workspace refuses it "
        "while another workspace that the key lists lets it in. GET /workspaces lists "
        "the workspaces of the key.",
        "If the key can use exactly one workspace, that one is used. If a workspace is "
        "named in LANGSMITH_TENANT_ID, in the .env or in the CLI's profile, and the key "
        "can use it, that one is used. With several and none named, nothing is guessed: "
        "the error lists them.",
        f"{_KEY_ASKED} {_REGIONS} {_AGAIN}",
        (
            "Set LANGSMITH_WORKSPACE_ID to one of the ids in the error.",
            'Or pass it: Client(workspace_id="...").',
        ),
    ),
    Explanation(
        "workspace-mismatch",
        "A workspace was sent that this key cannot use: an old one, one of another "
        "account, or something else in its place, such as the id of the organization "
        "(the id after /o/ in some web addresses) or of a project, a whole web address, "
        "or the workspace's name.",
        "The key is good, and the workspace is not among those that GET /workspaces "
        "lists for it; or it is the organization's id, or GET /sessions finds a project "
        "with that id.",
        "A workspace from the environment is replaced by a newer value of the same "
        "setting, if the key can use that one. Of a web address from the environment the "
        "id is used, if the key can use it. A workspace that you passed is kept; only "
        "quotes or a comment around its id are taken off.",
        "GET /workspaces, GET /auth/public, GET /sessions/{id} with the id that was given "
        "as workspace and, without the key, GET /info, to your endpoint. "
        f"{_REGIONS} {_AGAIN}",
        (
            "Set LANGSMITH_WORKSPACE_ID (or workspace_id=) to one of the ids in the error.",
            "Or take it away: a personal key then uses its default workspace.",
        ),
    ),
    Explanation(
        "service-key-scope",
        "A good service key (lsv2_sk_) that does not reach this far: it is scoped to "
        "other workspaces, or the call is for the whole organization, or LangSmith takes "
        "only personal keys (lsv2_pt_) for it.",
        "LangSmith knows the key, and the workspace that was sent is not in its scope; "
        "or the call is one of those that LangSmith documents as personal.",
        "Nothing: a key's scope is set when it is made.",
        "GET /workspaces, GET /auth/public, and GET /sessions/{id} with the id that was "
        "given as workspace, to your endpoint. Nothing is sent again.",
        (
            "Use a workspace in the key's scope.",
            f"Or make a service key with the scope that you need, {_SETTINGS}.",
            "Or use a personal key for this call.",
        ),
    ),
    Explanation(
        "stale-setting",
        "A setting was changed after the client was made: the variable in os.environ, or "
        "the .env file. The client still uses the old value. This is what happens in a "
        "notebook when you edit .env and do not restart the kernel.",
        "The client's value is refused, a newer one stands in os.environ, the .env, the "
        "secrets of Colab or the profile, and LangSmith lets that one in. A .env counts if "
        "the program itself has imported python-dotenv, runs in a notebook, or names it in "
        "Policy(dotenv=...).",
        "The newer value is used, and the SDK's caches are cleared, unless the old one "
        "was passed as an argument. The request stays at its host; only from one official "
        "host of LangSmith may a newer endpoint move it to another one.",
        "GET /workspaces and GET /auth/public with the old and with the newer value, to "
        "your endpoint; an official host of another region that was set since is asked "
        "with the key alone. "
        f"{_AGAIN}",
        (
            "Call load_dotenv(override=True) before you make the client: without "
            "override, a variable that is set already wins over the file.",
            "Or recreate the client after you change its settings.",
        ),
    ),
    Explanation(
        "wrong-region",
        "The key belongs to another LangSmith region. Keys, organizations and workspaces "
        "live in one region only, and a key does not show which.",
        "LangSmith refuses the key here, and exactly one other region knows it. The four "
        "official hosts are asked at the same time, over https with certificates checked. "
        "By default that is done only if no endpoint was configured anywhere; "
        "with probe_regions they are asked from any official host, or never.",
        "If no endpoint was configured, and the other regions are shown not to know the "
        "key, its region is used. If the key has several workspaces there and none is "
        "named, only requests that change nothing are answered from there; a write "
        "raises. An endpoint that was configured stays, and so does every key that two "
        "regions know, or where a region gave no answer: the error says which they are.",
        f"{_KEY_ASKED} {_REGIONS} They get the key, and nothing else of yours. After a "
        "repair the refused request goes to the region that knows the key, once.",
        (
            "Look at the address of your web app: smith.langchain.com is US, and eu., "
            "apac. and aws.smith.langchain.com are the others.",
            "Set the endpoint to that region's API, in the place that the error names.",
            "To write, name the workspace too, if there are several: set "
            "LANGSMITH_WORKSPACE_ID.",
        ),
    ),
    Explanation(
        "wrong-endpoint",
        "The endpoint is not the address of a LangSmith API: it is the web app's, or it "
        "lacks /api/v1 or https:// in front, or it redirects (to https, to a login page), "
        "or another server answers there. An official host is never called so.",
        "It is not a valid URL; or the request was redirected; or a page for people comes "
        "back where the API answers JSON, and a request without a key, to /info, is not "
        "answered like LangSmith does.",
        "The address of an official web app is replaced by its API's, unless it was "
        "passed as an argument.",
        "GET /info without the key, GET /workspaces and GET /auth/public, to your "
        "endpoint. After a repair the refused request goes to the API of the same region, "
        "once.",
        (
            "Correct the endpoint in the place that the error names: LANGSMITH_ENDPOINT, "
            "api_url=, a line of the .env, or LANGSMITH_RUNS_ENDPOINTS.",
            "On a self-hosted server it ends in /api/v1. LangSmith's own are "
            "api.smith.langchain.com (US) and eu., apac. or aws.api.smith.langchain.com.",
        ),
    ),
    Explanation(
        "key-missing",
        "No key reached LangSmith. Often the client was made before load_dotenv() ran, "
        'or with api_key=os.getenv(...), where the variable is not set ("" switches off '
        "the search in the environment).",
        "The refused request carried no key.",
        "A key that is set by now, in os.environ, the secrets of Colab, the profile, or "
        "the .env of a program that uses python-dotenv, is used, unless an empty one was "
        "passed as an argument.",
        "Nothing, if there is no key. One that is set by now is tried at your endpoint, "
        f"with GET /workspaces. {_AGAIN}",
        (
            "Set LANGSMITH_API_KEY before the client is made.",
            "In a notebook, use %env or os.environ: !export does not reach the kernel.",
            "If you log in with LangSmith's CLI: langsmith auth login.",
        ),
    ),
    Explanation(
        "key-malformed",
        "The text given as key is not a LangSmith key, or not only one: a placeholder, a "
        "key of another vendor, code in place of its value, quotes, NAME=value, a comment, "
        "an invisible character, or a key that lost a part.",
        "LangSmith refuses the key, and its text is odd in the way that the error names. "
        "A key that works is never held to a form.",
        "What is around the key is taken off (quotes, Bearer, LANGSMITH_API_KEY=, "
        "invisible characters), and the key is used if LangSmith lets it in.",
        f"{_KEY_ASKED} A placeholder, and a key of another vendor, are shown to no other "
        f"region. {_AGAIN}",
        (
            "Copy the key anew; a LangSmith key begins with lsv2_pt_ or lsv2_sk_.",
            "In a notebook, %env takes text and runs no code: write "
            'os.environ["LANGSMITH_API_KEY"] = userdata.get("LANGSMITH_API_KEY").',
            "If you have it no more, make a new one: it is shown only once.",
        ),
    ),
    Explanation(
        "key-legacy",
        "Keys that begin with ls__ stopped working on 22 October 2024.",
        "LangSmith says so, or it refuses a key that begins with ls__.",
        "Nothing.",
        "Nothing.",
        (f"Make a new key, {_SETTINGS}.",),
    ),
    Explanation(
        "key-rejected",
        "LangSmith does not know this key at this endpoint: it was deleted, revoked or "
        "mistyped, it has expired, its owner left the organization, or it belongs to "
        "another region that was not asked. Or a login session of LangSmith's CLI has "
        "ended, which is no key.",
        "LangSmith refuses the key with 403 on two read-only calls that need no permission "
        "in a workspace, and answers a request without a key. A 401 proves nothing: so "
        "LangSmith answers where no key arrives.",
        "Nothing. A newer key would have been used (see stale-setting).",
        f"{_KEY_ASKED} {_REGIONS} Nothing is sent again.",
        (
            "Check the region, if the error does not say that all were asked: is your web "
            "app on smith.langchain.com or on eu., apac. or aws.smith.langchain.com? Then "
            "the endpoint must be of the same region. safe-langsmith doctor "
            "--probe-regions asks them all.",
            f"Look whether the key is still there, {_SETTINGS}.",
            "Else make a new one, and set LANGSMITH_API_KEY to it. LangSmith may take a "
            "minute to know a key that was changed.",
            "After a login with LangSmith's CLI: log in again, langsmith auth login. No "
            "key is to be made for that.",
        ),
    ),
    Explanation(
        "permission-missing",
        "The key is good and the workspace is right, but its role does not allow this. A "
        "typical case: an Editor can trace, but evaluate() creates a project, which "
        "needs projects:create.",
        "LangSmith names the permission, or lists for the key's role in this workspace "
        "permissions without the one that the call needs. What the organization allows is "
        "not judged by a workspace's list; a listed permission is never called missing.",
        "Nothing: a permission is for an admin to give.",
        "GET /workspaces and GET /auth/public, to your endpoint. Nothing is sent again.",
        (
            "Ask an admin of the workspace for a role with the permission in the error.",
            "Or use a key that has it.",
        ),
    ),
    Explanation(
        "feature-unavailable",
        "The plan or the settings of the organization do not include what was asked.",
        "LangSmith says so in its answer.",
        "Nothing.",
        "Nothing.",
        ("Ask an admin of the organization to enable it, or to change the plan.",),
    ),
    Explanation(
        "blocked-by-proxy",
        "Something between this machine and LangSmith refused the request: a proxy, a "
        "firewall, a VPN.",
        "The answer is a web page; or it is not in LangSmith's own form, and a request "
        "without a key, to /info, is refused as well; or an official host answers 401 "
        "although a key was sent; or a proxy answers CONNECT with 403 or 407.",
        "A request that changes nothing, and a batch of runs, is sent again a few times "
        "after short pauses, for such refusals often pass. Any other write raises at "
        "once: behind a filter of responses LangSmith may have carried it out.",
        f"{_KEY_ASKED} The refused request is sent again up to three times, or not at all.",
        (
            "Ask your network admin to allow the endpoint's host.",
            "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
        ),
    ),
    Explanation(
        "transient-refusal",
        "LangSmith refused for a moment what it allowed before. It remembers for about a "
        "minute how it judged a key, so this happens around changes of a key or a role.",
        "The same key worked on this client before, and LangSmith lets it in on a probe.",
        "The request is sent again once, after a pause. On the tracing path there is one "
        "pause in each cooldown, which ends when a batch is let in; after that a batch is "
        "sent again at once.",
        "GET /workspaces and GET /auth/public, to your endpoint. The refused request goes "
        "there again, once, after 3 seconds.",
        ("Nothing to do. If it happens often, write to LangSmith's support.",),
    ),
    Explanation(
        "access-denied",
        "LangSmith refused, and none of the other causes could be shown. The error says "
        "what was found and what is only likely.",
        "Every check was made, and none showed a cause.",
        "Nothing: without a cause there is no repair.",
        f"{_KEY_ASKED} Nothing is sent again.",
        (
            "Read what was found; run safe-langsmith doctor, and ask an admin of your "
            "organization whether the key may do this.",
        ),
    ),
)


def explain(code: str) -> Explanation | None:
    """The explanation of a code, or None if there is no such code."""
    return next((e for e in EXPLANATIONS if e.code == code), None)
