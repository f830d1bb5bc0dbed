"""Plugins of a made-up vendor, Acme, whose service is a folder; to try the kit with."""
