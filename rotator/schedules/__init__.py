"""When a key is due, and when it may be rotated: arithmetic on Unix seconds. No clock, no I/O.

Wall-clock times are counted as "wall seconds": what a clock on the wall of that place shows, as if
it were UTC. Only `zones` goes from one to the other; nothing else adds to a local time.
"""
