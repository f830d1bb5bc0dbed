"""The process that stays: it rotates what is due, and answers questions about it."""
