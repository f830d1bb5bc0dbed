"""Files that hold secrets on a host: read with a version, replaced atomically, as `files` does it
here.

A host needs a shell, sed, grep and coreutils (stat, cp, readlink, base64, sha256sum, sync), nothing
of ours; and flock, where two write files of one directory at the same moment.
Sources: the POSIX shell, the manuals of coreutils for these options, and flock(1) of util-linux and
of busybox.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
import time

from rotator.clients.files import Snapshot
from rotator.clients.hosts import Host
from rotator.clients.programs import Ended
from rotator.clients.seen import Seen, editors_files
from rotator.errors import AccessDenied, Conflict, NotFound, PermanentError, TransientError
from rotator.secret import Secret

_CONFLICT, _NO_DIRECTORY, _NO_FILE, _CUT, _LARGE = range(43, 48)
_NO_PLAIN_FILE, _LINK, _NAMES, _UNLIKE, _LOCKED = range(48, 53)
_TRIES = 50  # looks, a tenth of a second apart, while another writer has the directory
_FULL = ("No space left", "Disk quota exceeded")
_DENIED = ("Permission denied", "Operation not permitted", "Read-only file system")

# All that $p has besides its content, on $b. `cp` says nothing of an owner that it may not give,
# and a file system may take what it does not keep; `ls` marks an ACL by a plus sign.
_DRESS = f"""
likeness() {{ stat -c '%a %u %g' -- "$1"; ls -ld -- "$1" | cut -c11; }}
dress() {{
  what=mode,ownership,xattr; [ ! -e /sys/fs/selinux/enforce ] || what=$what,context
  cp --attributes-only --preserve=$what -- "$p" "$b" || return 1
  [ "$(likeness "$p")" = "$(likeness "$b")" ] || return {_UNLIKE}
}}
"""
# Of all that rotator writes in directory $d, also where `files` does it there. Without flock, or
# where the file system has no locks, what another one writes just before the rename is lost.
_ALONE = f"""
alone() {{{{
  command -v flock >/dev/null && [ -r "$d" ] || return 0
  exec 9<"$d"; most={{tries}}
  until told=$(flock -n 9 2>&1)
  do
    [ -z "$told" ] || return 0
    most=$((most - 1)); [ $most -gt 0 ] || exit {_LOCKED}
    sleep 0.1
  done
}}}}
"""
# $p: the file, symlinks followed. A version is inode, time of change and the beginning of the
# content's hash.
_STAT = """stat -c '%i %.9Y' -- "$p\""""
_READ = f"""
if ! told=$(stat -- "$p" 2>&1)
then case $told in
*"No such file or directory"*) exit {_NO_FILE};; *) echo "$told" >&2; exit 1;; esac
fi
[ ! -e "$p" ] || [ -f "$p" ] || exit {_NO_PLAIN_FILE}
[ "$(stat -c %s -- "$p")" -lt 500000 ] || exit {_LARGE}
{_STAT} && date +%s.%N && base64 -w0 <"$p"
"""
# Alone only once all has come: a connection that hangs holds nobody up. What another writer tidied
# away until then has another hash.
_WRITE = f"""
umask 077
d=$(dirname -- "$p"); b="$d/.$(basename -- "$p").rotator-{{tag}}"
[ -d "$d" ] || exit {_NO_DIRECTORY}
trap 'rm -f -- "$b"' EXIT
rm -f -- "$b" && read -r sum && base64 -d >"$b" || exit 1
hash() {{{{ sha256sum <"$1" | cut -c-64; }}}}
alone
[ "$(hash "$b")" = "$sum" ] || exit {_CUT}
if [ -e "$p" ]
then
  [ "$(stat -c %h -- "$p")" = 1 ] || exit {_NAMES}
  dress || exit
else chmod {{mode}} -- "$b"
fi
sync -- "$b" || exit 1
have=
[ ! -e "$p" ] || have="$({_STAT}) $(hash "$p" | cut -c-12)"
[ "$have" = {{expect}} ] || exit {_CONFLICT}
mv -fT -- "$b" "$p" && sync -- "$d"
"""
# Each link on the way to $n: none may be another user's, unless it leads to what is that user's
# own.
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
    if [ -z "$bad" ]; then bad=$owner; link=$here/$part;
    elif [ "$owner" != "$bad" ]; then bad=several; fi
  fi
  to=$(readlink -- "$here/$part")
  case $to in /*) here=; rest=${to#/}${rest:+/$rest};; *) rest=$to${rest:+/$rest};; esac
done
[ -z "$bad" ] || for f in "$p" "$(dirname -- "$p")"
do
  if [ -e "$f" ] && [ "$(stat -c %u -- "$f")" != "$bad" ]; then
  echo "$link is a link of uid $bad" >&2; exit LINK; fi
done
""".replace("exit LINK", f"exit {_LINK}")
_TIDY = """
d=$(dirname -- "$p"); alone
rm -f -- "$d/.$(basename -- "$p").rotator-"*
"""
# What speaks against replacing it, a line each. A new file is tried, empty: a shell has none
# without a name.
_LOOK = r"""
umask 077
d=$(dirname -- "$p"); b="$d/.$(basename -- "$p").rotator-look-$$"
printf 'real %s\n' "$p"
if ! [ -w "$d" ]
then case $( { : >"$b"; } 2>&1 ) in *"Read-only file system"*) echo unwritable;; esac
rm -f -- "$b"; echo locked
fi
for one in EDITORS; do
if [ -e "$d/$one" ] || [ -L "$d/$one" ]; then printf 'beside %s\n' "$one"; break; fi
done
[ -e "$p" ] || exit 0
stat -c 'mode %f' -- "$p"
spelled=$(printf %s "$p" | sed 's/\\/\\134/g; s/ /\\040/g')
while read -r id parent device root place more
do if [ "$place" = "$spelled" ]; then echo mounted; exit 0; fi
done </proc/self/mountinfo
[ -f "$p" ] || exit 0
stat -c 'names %h' -- "$p"
for one in "$p" "$d"
do
  held=$(lsattr -d -- "$one" 2>/dev/null) || continue
  case ${held%% *} in *i*) what=immutable;; *a*) what=append-only;; *) continue;; esac
  printf 'flags %s is %s\n' "$one" $what
done
if [ -k "$d" ] && [ "$(id -u)" != 0 ] && [ ! -O "$p" ] && [ ! -O "$d" ]; then echo sticky; fi
[ -w "$d" ] || exit 0
trap 'rm -f -- "$b"' EXIT
told=$({ : >"$b" && dress; } 2>&1) || printf 'refused %s %s\n' $? "$told"
"""


def read(host: Host, path: str) -> Snapshot | None:
    """The file behind `path` (symlinks followed), None where there is none. `written_at` is by this
    machine's clock.

    Raises TransientError, AccessDenied, PermanentError.
    """
    ended = host.repeated(script(host, path, _READ))
    if ended.code == _NO_FILE:
        return None
    if ended.code != 0:
        raise _translate(host, path, ended)
    after = time.time()
    stat, now, encoded = ended.out.split("\n", 2)
    content, age = base64.b64decode(encoded), max(0.0, float(now) - float(stat.split()[1]))
    return Snapshot(content, f"{stat} {hashlib.sha256(content).hexdigest()[:12]}", after - age)


def replace(
    host: Host, path: str, content: bytes, expect: str, tag: str, mode: int = 0o600
) -> Snapshot:
    """Put `content` in place of version `expect` ('' = no file). Its attributes and a symlink to it
    are kept.

    Raises Conflict if somebody wrote in between, AccessDenied, TransientError, OutcomeUnknown,
    LeaseLost.
    """
    sent = Secret(f"{hashlib.sha256(content).hexdigest()}\n{base64.b64encode(content).decode()}")
    write = _WRITE.format(tag=tag, mode=f"{mode:o}", expect=shlex.quote(expect))
    body = _alone() + _DRESS + write
    ended = host.ended(script(host, path, body), sent)
    if ended.code == _CONFLICT:
        raise Conflict(f"{path} on {host} was changed by somebody else", "it is read again")
    if ended.code == _LOCKED:
        raise TransientError(
            f"another process has locked the directory of {path} on {host}",
            "`lslocks` there says which one: rotator has it for a moment, a script by `flock`?",
        )
    if ended.code == _CUT:
        raise TransientError(
            f"what was sent to {path} on {host} came in part only", "nothing was changed"
        )
    if ended.code != 0:
        raise _translate(host, path, ended)
    written = read(host, path)
    if written is None:
        raise NotFound(f"{path} on {host} vanished after it was written")
    return written


def tidy(host: Host, path: str) -> None:
    """Remove siblings that interrupted writes left."""
    host.run(script(host, path, _alone() + _TIDY), check=False)


def _alone() -> str:
    return _ALONE.format(tries=_TRIES)


def look(host: Host, path: str) -> Seen:
    """What speaks against replacing the file; a new one beside it is tried and taken away again.

    Raises TransientError, AccessDenied (a link of another user's), PermanentError.
    """
    name = path.rpartition("/")[2]
    body = _DRESS + _LOOK.replace("EDITORS", shlex.join(editors_files(name)))
    ended = host.repeated(script(host, path, body))
    if ended.code != 0:
        raise _translate(host, path, ended)
    told = {
        name: words for name, _, words in (line.partition(" ") for line in ended.out.splitlines())
    }
    return Seen(
        told.get("real", ""),
        int(told.get("mode", "0"), 16),
        int(told.get("names", "1")),
        mounted="mounted" in told,
        unwritable="unwritable" in told,
        locked="locked" in told,
        sticky="sticky" in told,
        flags=told.get("flags", ""),
        beside=told.get("beside", ""),
        refused=_unlike(host, path, told["refused"]) if "refused" in told else ("", ""),
    )


def _unlike(host: Host, path: str, told: str) -> tuple[str, str]:
    """Why a new file cannot have what the present one has."""
    code, _, words = told.partition(" ")
    if any(full in words for full in _FULL):
        return f"{path} on {host}: {words}", "free some space"
    why = words if int(code) != _UNLIKE else "its owner, mode or ACL are not kept"
    hint = (
        "the file is replaced by a new one: log in as its owner, or `sudo: true`; or take that off"
        " the file"
    )
    return f"a new file in place of {path} on {host} cannot have all that this one has: {why}", hint


def script(host: Host, path: str, body: str) -> str:
    """What a host is to run: `$n` is the file as it is named, `$p` what it is, links followed."""
    # `readlink -f` fails where the directory does not exist: the name itself then says so
    where = f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)
    whole = (
        f'export LC_ALL=C; n={where}; p=$(readlink -f -- "$n") ||'
        f" p=$n\n{_LINKS.strip()}\n{body.strip()}"
    )
    return host.command("sh", "-c", whole)


def _translate(host: Host, path: str, ended: Ended) -> Exception:
    told = f"{path} on {host}: {ended.words}"
    if ended.code == _NO_DIRECTORY:
        return NotFound(f"the directory of {path} does not exist on {host}", "create it first")
    if ended.code == _LINK:
        return AccessDenied(told, "whoever made it could lead us to any file: name the file itself")
    if ended.code == _NAMES:
        text = (
            f"{path} on {host} has several names (hard links): the other ones would keep the"
            " old key"
        )
        return PermanentError(text, "make them symbolic links to this one")
    if ended.code == _UNLIKE:
        return AccessDenied(*_unlike(host, path, str(_UNLIKE)))
    if ended.code == _LARGE:
        return PermanentError(
            f"{path} on {host} is larger than a file of secrets", "is it the right one?"
        )
    if ended.code == _NO_PLAIN_FILE:
        return PermanentError(f"{path} on {host} is a pipe, a device or a directory, not a file")
    if any(words in ended.err for words in _FULL):
        return TransientError(told, "free some space; nothing was changed")
    if any(words in ended.err for words in _DENIED):
        return AccessDenied(
            told, "rotator needs to write the file and its directory there; `sudo: true`?"
        )
    return PermanentError(told)
