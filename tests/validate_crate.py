"""Validate RO-Crates by roc-validator, in an environment of its own, where no JSON-LD context can be fetched.

The terms come from the copy of the RO-Crate context that the library rocrate carries. Prints, for every crate, a
line of JSON with the requirements of the profile that it breaks.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path

import requests
import rocrate
from requests_cache import CachedSession
from rocrate_validator.models import Severity
from rocrate_validator.services import ValidationSettings, validate
from urllib3 import HTTPResponse

TERMS = json.loads((Path(str(rocrate.__file__)).parent / "data/ro-crate.jsonld").read_text())
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": TERMS,
    "https://w3id.org/ro/terms/workflow-run/context": {
        "@context": {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
    },
}


def remember(cache: str) -> None:
    """Put the contexts into the cache that the validator asks instead of the web."""
    session = CachedSession(cache_name=cache, backend="sqlite", expire_after=-1)
    for address, context in CONTEXTS.items():
        content = json.dumps(context).encode()
        answer = requests.Response()
        answer.status_code, answer.url = 200, address
        answer.request = requests.Request("GET", address).prepare()
        answer.headers["Content-Type"] = "application/ld+json"
        answer._content = content
        answer.raw = HTTPResponse(
            body=BytesIO(content), headers=dict(answer.headers), status=200, preload_content=False
        )
        session.cache.save_response(answer)


def broken(crate: str, profile: str, cache: str) -> list[str]:
    """Return the requirements that a crate breaks."""
    result = validate(
        ValidationSettings(
            rocrate_uri=crate,
            profile_identifier=profile,
            offline=True,
            cache_path=cache,
            requirement_severity=Severity.REQUIRED,
        )
    )
    return [str(issue.message) for issue in result.get_issues()]


if __name__ == "__main__":
    place, name, *crates = sys.argv[1:]
    remember(place)
    for one in crates:
        sys.stdout.write(json.dumps(broken(one, name, place)) + "\n")
