"""The pure saga: no I/O, no clock, no randomness.

`machine` and `debt` say what to do next and what a result taught, `turn` whose turn it is, `order`
what people may say.
"""
