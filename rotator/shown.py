"""Texts fit to be shown: redacted, on one line where they are part of one, and without what a
terminal would obey.

Names, labels, errors and reasons are other people's words: escape sequences would rewrite the
screen, signs that turn the direction of writing would show one key's id as another's, and a line's
end would begin a line of ours.
"""

from __future__ import annotations

import re

from rotator.secret import redact

# Control characters but tab and line feed; what turns the direction of writing, is not shown at
# all, or ends a line.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def spelled(text: str) -> str:
    """What a terminal would obey is written out (\\u001b), as JSON has it: a line of JSON stays the
    same.
    """
    return _OBEYED.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def tidy(text: str) -> str:
    """Somebody's words as part of a sentence or a record: redacted, and on one line."""
    return _CONTROL.sub(" ", redact(text)).strip() if text else text


def fit(text: str) -> str:
    """Any text that leaves for a terminal, a pipe or a log."""
    return spelled(redact(text))
