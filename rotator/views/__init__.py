"""How playbooks stand, as frozen data for the command line, `--json`, metrics and pages to show.

No words for people, and nothing printed.
"""
