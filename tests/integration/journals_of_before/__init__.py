"""Journals that an earlier rotator made, each with something unfinished, and the script that made
them (make.py).
"""
