"""The location of a burst: fields of its number, extracted by a table of (field, stride, size, weight).

coordinate[field] = sum over the field's parts of ((number // stride) % size) * weight, so a field may consist of
several parts, for example with the low bits of the column below the channel and the rest above it.
"""

from sim.engine.jit import compiled


@compiled
def decode(numbers, parts, coordinates):
    """Fill `coordinates: i8[burst, field]` for `numbers: i8[burst]`; parts: i8[part, (field, stride, size, weight)]."""
    for i in range(numbers.shape[0]):
        for field in range(coordinates.shape[1]):
            coordinates[i, field] = 0
        for part in range(parts.shape[0]):
            piece = (numbers[i] // parts[part, 1]) % parts[part, 2]
            coordinates[i, parts[part, 0]] += piece * parts[part, 3]
