"""What a catalog file says of two slots, of questions before the start, and of access tokens."""

from __future__ import annotations

from rotator.integrations.catalog.entry import SLOT
from rotator.integrations.catalog.proof_requests import SAFE, ProofOfRequests
from rotator.integrations.catalog.proof_words import Path_, Wrong, placeholders


class ProofOfSlots(ProofOfRequests):
    """The parts that few files have."""

    def slots(self) -> None:
        if "slots" not in self.data:
            return
        for name in ("create", "list", "revoke", "whoami", "deactivate", "reactivate"):
            if name in self.data:
                self.wrong(
                    (name, "=key"),
                    f"`{name}` beside `slots`: a slot's key is only ever made anew",
                    f"leave `{name}` out",
                )
        for name, path in self._map("slots", "names").items():
            self._jmespath(("slots", "names", name), path, needed=True)
        self._request(("slots", "read", "request"), set(), "")
        again: Path_ = ("slots", "regenerate", "request")
        self._request(again, {SLOT}, "")
        request = self._map(*again)
        if request and SLOT not in placeholders(request):
            self.wrong(again, "it does not say which slot is meant", "put {slot} into the body")
        if method := next((name for name in request if name in SAFE), ""):
            self.wrong(
                (*again, method, "=key"),
                f"a key is never made anew by {method}",
                "it would be sent twice",
            )

    def preflight(self) -> None:
        for index in range(len(self._list("preflight"))):
            self._request(("preflight", index, "request"), set(), "")
            self._jmespath(
                ("preflight", index, "when"), self._map("preflight", index).get("when"), needed=True
            )

    def _token(self) -> None:
        path: Path_ = ("api", "token")
        token = self._map(*path)
        if not token:
            return
        given = token.get("given")
        if isinstance(given, str) and given not in self.optional & self.secrets:
            text = f"there is no secret setting '{given}' with default null"
            known = tuple(sorted(self.optional & self.secrets))
            self.found.append(Wrong((*path, "given"), text, "", given, known))
        kept = self.optional
        if given:  # whoever gives no token gives all that fetches one
            self.optional = set()
        self._request((*path, "request"), set(), "")
        self.optional = kept
        self._paths(path, needed=("token",))
