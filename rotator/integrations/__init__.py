"""One folder for each neighbour: all that knows it.

None imports another; what they share is in rotator.clients.
"""
