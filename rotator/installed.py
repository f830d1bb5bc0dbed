"""What came with this installation: the packages of its extras, examples of playbooks, units and
manifests.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DISTRIBUTION = "rotatord"  # the name `rotator` belongs to somebody else's program


def way_to(extra: str) -> str:
    """A command that gets the packages of an extra into this very environment, whether rotatord is
    published or not.
    """
    from importlib import metadata

    try:
        asked = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from its source
        asked = []
    mine = [
        one.split(";")[0].strip() for one in asked if re.search(rf"extra == ['\"]{extra}['\"]", one)
    ]
    if not mine:
        return f"install {DISTRIBUTION} with its extra '{extra}'"
    packages = " ".join(f"'{one}'" for one in mine)
    return f"{sys.executable} -m pip install {packages}"


def shared(name: str) -> Path:
    """The directory of what is shipped beside the program (`playbooks`, `deploy`): in the wheel, or
    in the checkout.
    """
    package = Path(__file__).parent
    here, checkout = package / "share" / name, package.parent / name
    return checkout if checkout.is_dir() and not here.is_dir() else here
