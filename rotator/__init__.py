"""rotator: rotates API keys in production, from playbooks, surviving any crash in between."""

__version__ = "0.1.0"
