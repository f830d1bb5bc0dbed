"""Calendars in files of iCalendar: whose events are blackouts."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(extra="calendar")
