"""The page "Several keys": its pool rotates as it stands there, with addresses and paths of ours."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.test_together import serving
from tests.docs.test_docs import DOCS, blocks

PAGE = DOCS / "several-keys.md"


def test_one_key_of_the_pages_pool_leaks_and_goes_alone(tmp_path: Path) -> None:
    assert "`rotate gateway-openai_api_key_1 --compromised` is about that key alone" in (
        PAGE.read_text()
    )
    with serving(tmp_path, 3) as service:
        ours = {
            "OPENAI_API_KEY_1": service.variables[1],
            "OPENAI_API_KEY_2": service.variables[2],
            "OPENAI_API_KEY": service.variables[0],
            "/srv/gateway/": f"{service.home}/",
            "/run/gateway/gateway.pid": f"{service.home}/pid",
            "proj_abc": "proj_demo",
            "OPENAI_ADMIN_KEY": "DEMO_ADMIN_KEY",
            "{uses: openai,": f"{{uses: openai, base_url: 'http://127.0.0.1:{service.issuer}/v1',",
        }
        (text,) = [block for block in blocks(PAGE, "yaml") if block.startswith("pool:")]
        for theirs, here in ours.items():
            assert theirs in text
            text = text.replace(theirs, here)
        quick = "revoke: {soak: 0s, watch: 0s}\nlimits: {pass_interval: 50ms, list_lag: 100ms}\n"
        service.written("gateway", text + quick)

        before, (first, second, third) = service.in_store, service.variables
        member = f"gateway-{second.lower()}"
        done = service.command("rotate", member, "--compromised", "--wait")
        assert done.returncode == 0, service.printed
        after = service.in_store
        assert after[second] != before[second]
        assert (after[first], after[third]) == (before[first], before[third])
        assert sorted(service.live) == sorted(after.values())
        assert service.in_process == after
        service.nobody_noticed()
