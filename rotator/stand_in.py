"""Texts that stand where a secret should: ciphertext, a reference to it, a placeholder. None of
them is a key.

Written over, the first two put a secret in plain text where none was: in a file that is committed,
in a place that another tool fills. The last is what a copied example says.
"""

from __future__ import annotations

import re

from rotator.errors import PermanentError

_CIPHERTEXT = {
    "dotenvx": r"encrypted:.*",
    "SOPS": r"ENC\[[A-Za-z0-9_]+,.*\]",
    "Ansible Vault": r"\$ANSIBLE_VAULT;.*|!vault\b.*",
    "age": r"age-encryption\.org/v1.*|-----BEGIN AGE ENCRYPTED FILE-----.*",
    "PGP": r"-----BEGIN PGP MESSAGE-----.*",
    "openssl": r"U2FsdGVkX1[A-Za-z0-9+/]{10}.*",
    "hiera-eyaml": r"ENC\[(?:PKCS7|GPG|KMS),.*",
    "Jasypt": r"ENC\(.*\)",
    "AWS KMS": r"AQICA[A-Za-z0-9+/]{80,}=*",
    "Fernet": r"gAAAAA[A-Za-z0-9_-]{80,}=*",
    "git-crypt": "\0GITCRYPT\0.*",
}
_REFERENCES = {
    "1Password": r"op://.+",
    "vals": r"ref\+[a-z0-9]+://.+",
    "Bank-Vaults": r"(?:>>)?(?:vault|bao):[A-Za-z0-9_./-]+#.+",
    "Azure Key Vault": r"@Microsoft\.KeyVault\(.*\)|(?:akvs?|azkv|azure-?key-?vault)://.+",
    "Azure Container Apps": r"secretref:.+",
    "Google Secret Manager": (
        r"(?:gcp-)?(?:sm|secrets?|secretmanager|gcpsm|gsm)://.+|projects/[^/]+/secrets/[^/]+(?:/versions/[^/]+)?"
    ),
    "AWS": (
        r"arn:aws[a-z-]*:(?:secretsmanager|ssm):.+|(?:aws)?(?:ssm|asm|secretsmanager|aws-sm|awssm)://.+"
        r"|\{\{resolve:.+\}\}"
    ),
    "Doppler": r"doppler://.+",
    "Bitwarden": r"bws?://.+",
    "Infisical": r"infisical://.+",
    "Keeper": r"keeper://.+",
    "Proton Pass": r"pass://.+",
    "a keyring": r"keyring:.+",
    "a file": r"file://.+|/(?:var/)?run/secrets/.+",
    "teller": r"teller://.+",
    "Vault": r"vault://.+",
    "a variable": (
        r"\$(?:[A-Za-z_]\w*|\{[^{}]*\}|\(.*\))|`.+`|%[A-Za-z_]\w*%|\$\{\{.*\}\}|\$env:\w+"
    ),
    "a template": r"\{\{.*\}\}|<%.*%>|@@\w+@@|#\{[^{}]+\}#?|__[A-Z][A-Z0-9_]+__",
}
_PLACEHOLDERS = (
    r"<[^<>]*>",
    r"\[(?:[a-z]+[-_ ])*[a-z]+\]",
    r"your[-_ .].+|your[a-z]*(?:api)?(?:key|token|secret)(?:here)?",
    r"my[-_ ](?:(?:api|secret|access|auth)[-_ ])*(?:key|token|secret)(?:[-_ ]here)?",
    (
        r"(?:please[-_ ]?)?(?:change|replace|fill)[-_ ]?(?:me|this|it)(?:[-_"
        r" ]?(?:in|now|please|later))?[!.]*"
    ),
    r"(?:please[-_ ])?(?:change|replace|fill|insert|enter|put|add|set|paste|provide|use)[-_"
    r" ](?:[a-z]+[-_ ])*"
    r"(?:key|token|secret|value|here|in|your|password)(?:[-_ ](?:here|in))?",
    # words and numbers apart: else one random key in forty million ends so, and would be shown
    r"(?:(?:[a-z]{1,15}[0-9]{0,10}|[0-9]{1,10})[-_ ])+here",
    r"user[-_ ]provided|to[-_ ]?do|tbd|fix[-_ ]?me|place[-_ ]?holder|dummy|example|redacted",
    r"n/?a|none|null|nil|undefined",
    # the beginning of a real one, and words
    r"(?:[a-z]{1,7}[0-9]{0,2}[-_])*(?:your|fake|dummy|sample|example|replace|change|insert)(?:[-_]?"
    r"(?:me|it|this|with|my|your|own|real|actual|api|secret|access|key|token|value|here))*",
    r"(?:[a-z]{1,7}[-_])*0?12345(?:6|67|678|6789|67890)?",
    r"(?:[a-z]{1,7}[-_])*0{8,}",
    r"(?:[a-z]{1,7}[0-9]{0,2}[-_])*(?:x{3,}|\*{3,}|\.{3,}|…|_{3,}|-{3,}|\?{3,})(?:[-_]x{3,})*",
    r"[a-z0-9_-]{1,24}(?:\.{3}|…|\*{3,})",
)
_SURE = re.compile("|".join(_PLACEHOLDERS), re.I)


def ciphertext(text: str) -> str:
    """The tool whose ciphertext this is, or ''."""
    return _first(_CIPHERTEXT, text.lstrip())


def reference(text: str) -> str:
    """The tool, or the kind of thing, that this is a reference to, or ''."""
    return _first(_REFERENCES, text.strip())


def placeholder(text: str) -> bool:
    """Whether this is what stands in an example, for a person to replace."""
    return _SURE.fullmatch(text.strip()) is not None


def told(text: str) -> tuple[str, str]:
    """What stands there instead of a key, and the way out; ('', '') for what may be one.

    Nothing of `text` is in it.
    """
    if tool := ciphertext(text):
        return (
            f"what is encrypted by {tool}",
            f"rotator would write plain text over it: let {tool} write it, by the store `command`",
        )
    if tool := reference(text):
        return (
            f"a reference ({tool}), not the key",
            "name the store that it refers to: rotator would write the key itself over it",
        )
    if placeholder(text):
        return (
            "a placeholder, not a key",
            "empty it, and say `create: true` in the store's entry: then its first key is made",
        )
    return "", ""


def refuse_new(text: str) -> None:
    """Raises PermanentError for a new value that nobody could tell from these, once a store holds
    it.
    """
    instead, _ = told(text)
    if instead:
        hint = "nothing was written; was the whole key copied, or printed?"
        raise PermanentError(f"the new value is {instead}", hint)


def _first(kinds: dict[str, str], text: str) -> str:
    return next((tool for tool, pattern in kinds.items() if re.fullmatch(pattern, text, re.S)), "")
