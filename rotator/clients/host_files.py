"""Files that hold secrets on a host: read with a version, replaced atomically, as `files` does it here.

A host needs a shell and coreutils (stat, readlink, base64, sha256sum, sync), nothing of ours.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
import time

from rotator.clients.files import Snapshot
from rotator.clients.hosts import Host
from rotator.clients.programs import Ended
from rotator.errors import AccessDenied, Conflict, NotFound, PermanentError, TransientError
from rotator.secret import Secret

_CONFLICT, _NO_DIRECTORY, _NO_FILE, _CUT, _LARGE, _NO_PLAIN_FILE, _LINK = 43, 44, 45, 46, 47, 48, 49
_FULL = ("No space left", "Disk quota exceeded")
_DENIED = ("Permission denied", "Operation not permitted", "Read-only file system")

# $p: the file, symlinks followed. A version is inode, time of change and the beginning of the content's hash.
_STAT = """stat -c '%i %.9Y' -- "$p\""""
_READ = f"""
if ! told=$(stat -- "$p" 2>&1)
then case $told in *"No such file or directory"*) exit {_NO_FILE};; *) echo "$told" >&2; exit 1;; esac
fi
[ ! -e "$p" ] || [ -f "$p" ] || exit {_NO_PLAIN_FILE}
[ "$(stat -c %s -- "$p")" -lt 500000 ] || exit {_LARGE}
{_STAT} && date +%s.%N && base64 -w0 <"$p"
"""
_WRITE = f"""
umask 077
d=$(dirname -- "$p"); b="$d/.$(basename -- "$p").rotator-{{tag}}"
[ -d "$d" ] || exit {_NO_DIRECTORY}
trap 'rm -f -- "$b"' EXIT
rm -f -- "$b" && read -r sum && base64 -d >"$b" || exit 1
hash() {{{{ sha256sum <"$1" | cut -c-64; }}}}
[ "$(hash "$b")" = "$sum" ] || exit {_CUT}
if [ -e "$p" ]
then chown --reference="$p" -- "$b" && chmod --reference="$p" -- "$b" || exit 1
else chmod {{mode}} -- "$b"
fi
sync -- "$b" || exit 1
have=
[ ! -e "$p" ] || have="$({_STAT}) $(hash "$p" | cut -c-12)"
[ "$have" = {{expect}} ] || exit {_CONFLICT}
mv -fT -- "$b" "$p" && sync -- "$d"
"""
# Each link on the way to $n: none may be another user's, unless it leads to what is that user's own.
_LINKS = """
me=$(id -u); here=; rest=${n#/}; bad=; most=40
while [ -n "$rest" ] && [ $most -gt 0 ]
do
  part=${rest%%/*}
  case $rest in */*) rest=${rest#*/};; *) rest=;; esac
  case $part in ''|.) continue;; ..) here=${here%/*}; continue;; esac
  if [ ! -L "$here/$part" ]; then here=$here/$part; continue; fi
  most=$((most - 1)); owner=$(stat -c %u -- "$here/$part")
  if [ "$owner" != 0 ] && [ "$owner" != "$me" ]
  then
    if [ -z "$bad" ]; then bad=$owner; link=$here/$part; elif [ "$owner" != "$bad" ]; then bad=several; fi
  fi
  to=$(readlink -- "$here/$part")
  case $to in /*) here=; rest=${to#/}${rest:+/$rest};; *) rest=$to${rest:+/$rest};; esac
done
[ -z "$bad" ] || for f in "$p" "$(dirname -- "$p")"
do
  if [ -e "$f" ] && [ "$(stat -c %u -- "$f")" != "$bad" ]; then echo "$link is a link of uid $bad" >&2; exit LINK; fi
done
""".replace("exit LINK", f"exit {_LINK}")
_TIDY = 'rm -f -- "$(dirname -- "$p")/.$(basename -- "$p").rotator-"*'
_MODE = 'stat -c %a -- "$p" 2>/dev/null; [ -w "$(dirname -- "$p")" ] || echo locked'


def read(host: Host, path: str) -> Snapshot | None:
    """The file behind `path` (symlinks followed), None where there is none. `written_at` is by this machine's clock.

    Raises TransientError, AccessDenied, PermanentError.
    """
    ended = host.repeated(_script(host, path, _READ))
    if ended.code == _NO_FILE:
        return None
    if ended.code != 0:
        raise _translate(host, path, ended)
    after = time.time()
    stat, now, encoded = ended.out.split("\n", 2)
    content, age = base64.b64decode(encoded), max(0.0, float(now) - float(stat.split()[1]))
    return Snapshot(content, f"{stat} {hashlib.sha256(content).hexdigest()[:12]}", after - age)


def replace(host: Host, path: str, content: bytes, expect: str, tag: str, mode: int = 0o600) -> Snapshot:
    """Put `content` in place of version `expect` ('' = no file). Owner, mode and a symlink to it are kept.

    Raises Conflict if somebody wrote in between, AccessDenied, TransientError, OutcomeUnknown, LeaseLost.
    """
    sent = Secret(f"{hashlib.sha256(content).hexdigest()}\n{base64.b64encode(content).decode()}")
    body = _WRITE.format(tag=tag, mode=f"{mode:o}", expect=shlex.quote(expect))
    ended = host.ended(_script(host, path, body), sent)
    if ended.code == _CONFLICT:
        raise Conflict(f"{path} on {host} was changed by somebody else", "it is read again")
    if ended.code == _CUT:
        raise TransientError(f"what was sent to {path} on {host} came in part only", "nothing was changed")
    if ended.code != 0:
        raise _translate(host, path, ended)
    written = read(host, path)
    if written is None:
        raise NotFound(f"{path} on {host} vanished after it was written")
    return written


def tidy(host: Host, path: str) -> None:
    """Remove siblings that interrupted writes left."""
    host.run(_script(host, path, _TIDY), check=False)


def mode(host: Host, path: str) -> tuple[int, bool]:
    """The mode of a file, 0 without one, and whether its directory may be written."""
    ended = host.repeated(_script(host, path, _MODE))
    if ended.code == _LINK:
        raise _translate(host, path, ended)
    words = ended.out.split()
    return next((int(word, 8) for word in words if word.isdigit()), 0), "locked" not in words


def _script(host: Host, path: str, body: str) -> str:
    # `readlink -f` fails where the directory does not exist: the name itself then says so
    where = f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)
    whole = f'export LC_ALL=C; n={where}; p=$(readlink -f -- "$n") || p=$n\n{_LINKS.strip()}\n{body.strip()}'
    return host.command("sh", "-c", whole)


def _translate(host: Host, path: str, ended: Ended) -> Exception:
    told = f"{path} on {host}: {ended.words}"
    if ended.code == _NO_DIRECTORY:
        return NotFound(f"the directory of {path} does not exist on {host}", "create it first")
    if ended.code == _LINK:
        return AccessDenied(told, "whoever made it could lead us to any file: name the file itself")
    if ended.code == _LARGE:
        return PermanentError(f"{path} on {host} is larger than a file of secrets", "is it the right one?")
    if ended.code == _NO_PLAIN_FILE:
        return PermanentError(f"{path} on {host} is a pipe, a device or a directory, not a file")
    if any(words in ended.err for words in _FULL):
        return TransientError(told, "free some space; nothing was changed")
    if any(words in ended.err for words in _DENIED):
        return AccessDenied(told, "rotator needs to write the file and its directory there; `sudo: true`?")
    return PermanentError(told)
