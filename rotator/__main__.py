"""`python -m rotator VERB` is `rotator VERB`."""

from rotator.cli.entry import rotator

rotator()
