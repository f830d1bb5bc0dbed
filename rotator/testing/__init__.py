"""The contract of each kind of plugin as a class of tests.

A package with plugins of its own subclasses `providers.ProviderContract`, `stores.StoreContract`,
`restarters.RestarterContract` or `probes.ProbeContract`, provides the fixtures that the class
lists, and runs them with its own pytest. docs/testing-plugins.md has one of each kind. Needs the
extra `testing`; nothing else of rotator imports this package.
"""

from __future__ import annotations

import pytest

_KINDS = ("plugins", "providers", "stores", "restarters", "probes")
# A failed assertion shows its values, as those of the subclass's own module do.
pytest.register_assert_rewrite(*(f"{__name__}.{kind}" for kind in _KINDS))
