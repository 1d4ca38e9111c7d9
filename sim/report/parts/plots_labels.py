"""Names next to marks, placed so that they cover neither each other nor named marks, with a thin line to their own."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

POINTS_PER_INCH = 72
DISTANCES = (6, 12, 20, 30, 42)  # points from a mark to its name
SIZE_POINTS = 6.5
WIDTH_OF_LETTER, HEIGHT_OF_LINE = 0.58, 1.25  # of the font's size, about


class _Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )


def place_labels(axes: Axes, places: Sequence[tuple[str, float, float]], weight: str = "bold") -> None:
    """Write each name next to its place (data coordinates); the figure must be laid out and its limits final."""
    size = SIZE_POINTS
    scale = POINTS_PER_INCH / axes.figure.dpi
    box = axes.get_window_extent()
    room = _Box(*(edge * scale for edge in (box.x0, box.y0, box.x1, box.y1)))
    marks = [axes.transData.transform((x, y)) * scale for _, x, y in places]
    taken = [_Box(x - 4, y - 4, x + 4, y + 4) for x, y in marks]
    for (name, x_of, y_of), (x, y) in zip(places, marks, strict=True):
        width, height = WIDTH_OF_LETTER * size * len(name), HEIGHT_OF_LINE * size
        found = next(
            (own for own in _iter_boxes(x, y, width, height) if _is_inside(own, room) and not _meets(own, taken)), None
        )
        if found is None:
            continue
        taken.append(found)
        is_right = found.left > x
        middle = (found.bottom + found.top) / 2
        is_far = max(abs((found.left if is_right else found.right) - x), abs(middle - y)) > DISTANCES[0] + 3
        axes.annotate(
            name, (x_of, y_of), ((found.left if is_right else found.right) - x, middle - y),
            textcoords="offset points", ha="left" if is_right else "right", va="center", fontsize=size,
            fontweight=weight, zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "shrinkA": 0, "shrinkB": 3} if is_far else None,
        )  # fmt: skip


def _iter_boxes(x: float, y: float, width: float, height: float) -> Iterator[_Box]:
    """Possible places for the name, best first: near, then to the right, above before below."""
    for distance in DISTANCES:
        for up in (0.0, 0.6, -0.6, 1.0, -1.0):
            for is_right in (True, False):
                left = x + distance if is_right else x - distance - width
                bottom = y + up * distance - height / 2
                yield _Box(left, bottom, left + width, bottom + height)


def _is_inside(box: _Box, room: _Box) -> bool:
    return box.left >= room.left and box.right <= room.right and box.bottom >= room.bottom and box.top <= room.top


def _meets(box: _Box, taken: Sequence[_Box]) -> bool:
    return any(box.meets(other) for other in taken)
