"""Each command ends with one pupil in the state that they should have."""

import json
from collections.abc import Collection, Iterator, Sequence

from bridge.connector import (
    Capabilities,
    Command,
    ContractBroken,
    Deferred,
    Delivered,
    Http,
    HttpResponse,
    Outcome,
    Rejected,
    Remote,
    TargetUnauthorised,
    TargetUnavailable,
    Unchanged,
    trace_headers,
)
from bridge.domain.ids import CanonicalId


class KlasselogTarget:
    """`bridge.connector.Target`, and `ReadsBack` because Klasselog can list what it has."""

    capabilities = Capabilities(references="canonical", max_batch=50)

    def __init__(self, http: Http) -> None:
        self._http = http

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        for command in batch:
            yield self._one(command)

    def probe(self) -> None:
        _usable(self._http.request("GET", "/pupils?limit=0"))

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        answer = _usable(self._http.request("GET", "/pupils"))
        if answer.status >= 500:
            raise TargetUnavailable(f"status_{answer.status}", answer.retry_after)
        for pupil in _pupils(answer):
            yield Remote("Pupil", pupil["id"], CanonicalId(pupil["id"]), pupil)

    def _one(self, command: Command) -> Outcome:
        path, headers = f"/pupils/{command.id}", trace_headers([command])
        if command.document is None:
            answer = _usable(self._http.request("DELETE", path, headers=headers))
            return Unchanged() if answer.status == 404 else _outcome(command, answer)
        body = json.dumps(command.document).encode()
        return _outcome(command, _usable(self._http.request("PUT", path, headers=headers, body=body)))


def _outcome(command: Command, answer: HttpResponse) -> Outcome:
    """What became of one pupil. A reason is a code: never put in it what the platform answered."""
    if answer.status >= 500:
        return Deferred(f"server_error_{answer.status}", answer.retry_after, answer.status)
    if answer.status >= 400:
        return Rejected(f"refused_{answer.status}", status=answer.status)
    if answer.status != 204:
        return Deferred("answer_is_a_page", status=answer.status)
    return Delivered(command.id, status=answer.status)


def _usable(answer: HttpResponse) -> HttpResponse:
    """Raise what an answer says of the platform as a whole."""
    if answer.status in (401, 403):
        raise TargetUnauthorised(f"Klasselog answers {answer.status} to our token")
    if answer.status in (408, 429, 502, 503, 504):
        raise TargetUnavailable(f"status_{answer.status}", answer.retry_after)
    if 300 <= answer.status < 400:
        raise ContractBroken("Klasselog redirects: base_url must name where it is")
    return answer


def _pupils(answer: HttpResponse) -> list[dict[str, str]]:
    """All pupils. What is not there counts as missing, so a list that may not be whole must raise."""
    try:
        listed = json.loads(answer.body)["pupils"]
        return [{"id": one["id"], "login": one["login"], "name": one["name"]} for one in listed]
    except (ValueError, LookupError, TypeError):
        raise ContractBroken("the list of pupils is not what Klasselog's contract says") from None
