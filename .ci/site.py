"""A hook of mkdocs: the files beside README.md are pages of the site, too, and links hold in both.

In the repository a link is relative to its file, so that it works in an editor and where the code
is hosted. On the site README.md is the first page, ARCHITECTURE.md and its kin are pages beside the
others, and a file that is no page (an example, a unit of systemd) is named without a link.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
# The file in the repository, and its page on the site.
BESIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s]+)(?P<anchor>#[^)]*)?\)")
_FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie in docs/, and the decisions to the navigation."""
    for name, page in BESIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    _add_decisions(config.nav)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    source = next((name for name, at in BESIDE.items() if at == page.file.src_uri), None)
    folder = posixpath.dirname(source or f"docs/{page.file.src_uri}")
    here = posixpath.dirname(page.file.src_uri)
    return outside_code(markdown, lambda text: _LINK.sub(lambda m: _link(m, folder, here), text))


def outside_code(markdown: str, change: Any) -> str:
    """Change the text around fenced blocks."""
    changed, end = [], 0
    for block in _FENCE.finditer(markdown):
        changed += [change(markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*changed, change(markdown[end:])])


def _link(match: re.Match[str], folder: str, here: str) -> str:
    """`folder` is of the file in the repository, `here` of the page on the site."""
    if re.match(r"[a-z]+:", match["path"]):
        return match[0]
    target = posixpath.normpath(posixpath.join(folder, match["path"]))
    page = BESIDE.get(target) or (target.removeprefix("docs/") if _is_page(target) else None)
    if page is None:
        return f"{match['text']} (`{target}`)" if match["text"] != target else f"`{target}`"
    return f"[{match['text']}]({posixpath.relpath(page, here or '.')}{match['anchor'] or ''})"


def _is_page(target: str) -> bool:
    # What does not exist stays a link: mkdocs reports it.
    return target.startswith("docs/") and target.endswith(".md")


def _add_decisions(nav: list[dict[str, Any]]) -> None:
    """Each decision has its number in its name: the navigation need not list them by hand."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    for section in nav:
        for entries in section.values():
            if isinstance(entries, list) and {"Decisions": "decisions/index.md"} in entries:
                at = entries.index({"Decisions": "decisions/index.md"})
                entries[at] = {
                    "Decisions": ["decisions/index.md", *(f"decisions/{p.name}" for p in pages)]
                }
