"""What rotator costs, beside what it cannot avoid: `make bench`.

Each case runs in a process of its own.
"""
