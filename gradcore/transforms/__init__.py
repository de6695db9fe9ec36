"""Forward mode and batching: arrays that carry a tangent or a batch through every primitive. It must not know any operation.

A transformed array (`lifted.py`) stands where a plain one would, under the recorder: so whatever works on arrays, reverse
mode with all its orders among it, works on dual numbers and on batches, and these on one another.
"""
