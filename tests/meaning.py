"""What a module means to Python: its syntax tree, without docstrings.

A proof is bound to this, not to the text: who words a comment better proves nothing anew.
"""

from __future__ import annotations

import ast
from pathlib import Path

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def of(path: Path) -> bytes:
    """Of a module its tree, of any other file its bytes. The tree's form is that of this Python."""
    content = path.read_bytes()
    if path.suffix != ".py":
        return content
    tree = ast.parse(content)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree).encode()
