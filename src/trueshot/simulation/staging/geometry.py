"""Geometry of flat things in front of a pinhole camera: where they appear in the frame.

Things are measured in millimetres: x to the right, y down, z away from the camera. A frame has area
1: its coordinates are pixels divided by the square root of the pixel count, so one arrangement
serves photographs of every size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Exact = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, top, right, bottom
Vector = tuple[float, float, float]
Plane = tuple[Vector, Vector, Vector]  # origin, and directions across and down


def parallel(depth: float) -> Plane:
    """Return the plane that lies `depth` mm behind the front of a thing, parallel to it."""
    return (0.0, 0.0, depth), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


FRONT = parallel(0.0)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame of area 1.

    Args:
        aspect: Width divided by height.
    """

    aspect: float

    @property
    def width(self) -> float:
        """Width of the frame."""
        return float(np.sqrt(self.aspect))

    @property
    def height(self) -> float:
        """Height of the frame."""
        return float(1 / np.sqrt(self.aspect))

    def pixels(self, count: float) -> tuple[int, int]:
        """Return height and width, both even, of a photograph of about `count` pixels."""
        side = float(np.sqrt(count))
        return 2 * round(side * self.height / 2), 2 * round(side * self.width / 2)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Position and rotation of a thing relative to the camera.

    Args:
        rotation: Rotation of the thing, shape (3, 3).
        shift: Origin of the thing, in millimetres from the camera.
        focal: Focal length, as a share of the frame's diagonal.
        frame: Frame of the camera.
    """

    rotation: Exact
    shift: Exact
    focal: float
    frame: Frame

    def homography(self, plane: Plane = FRONT) -> Exact:
        """Return the homography from a plane, in mm along its directions, to the frame."""
        origin, across, down = plane
        columns = [self.rotation @ np.asarray(one, float) for one in (across, down, origin)]
        columns[2] = columns[2] + self.shift
        frame = self.frame
        reach = self.focal * float(np.hypot(frame.width, frame.height))
        camera = np.array([[reach, 0, frame.width / 2], [0, reach, frame.height / 2], [0, 0, 1.0]])
        return np.asarray(camera @ np.stack(columns, axis=1))


def rotation(yaw: float, pitch: float, roll: float) -> Exact:
    """Return the rotation about the vertical, then horizontal, then viewing axis; in degrees."""
    (sa, ca), (sb, cb), (sc, cc) = (
        (np.sin(angle), np.cos(angle)) for angle in np.deg2rad([yaw, pitch, roll])
    )
    about_y = np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
    about_x = np.array([[1, 0, 0], [0, cb, -sb], [0, sb, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def corners(box: Box) -> Exact:
    """Return the corners of a box clockwise from the upper left: shape (4, 2)."""
    left, top, right, bottom = box
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def project(homography: Exact, points: Exact) -> Exact:
    """Map points, shape (n, 2), by a homography."""
    along = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ homography.T
    return np.asarray(along[:, :2] / along[:, 2:])


def inverse(homography: Exact) -> Exact:
    """Return the inverse of a homography."""
    return np.asarray(np.linalg.inv(homography), np.float64)


def area(polygon: Exact) -> float:
    """Return the area of a polygon (n, 2) of either orientation; 0 for fewer than three points."""
    if len(polygon) < 3:
        return 0.0
    following = np.roll(polygon, -1, axis=0)
    return float(abs(np.sum(polygon[:, 0] * following[:, 1] - polygon[:, 1] * following[:, 0])) / 2)


def clip(polygon: Exact, frame: Frame) -> Exact:
    """Clip a convex polygon to the frame.

    Source: Sutherland and Hodgman 1974, "Reentrant polygon clipping".
    """
    for axis, limit, sign in (
        (0, 0.0, 1),
        (0, frame.width, -1),
        (1, 0.0, 1),
        (1, frame.height, -1),
    ):
        kept: list[Exact] = []
        for here, after in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            inside, next_inside = sign * (here[axis] - limit), sign * (after[axis] - limit)
            if inside >= 0:
                kept.append(here)
            if inside * next_inside < 0:
                kept.append(here + (after - here) * inside / (inside - next_inside))
        polygon = np.array(kept).reshape(-1, 2)
    return polygon


def aim(frame: Frame, focal: float, turn: Exact, target: Box, share: float, centre: Exact) -> Pose:
    """Return the pose whose distance makes a target cover a given share of the frame.

    Args:
        frame: Frame of the camera.
        focal: Focal length, as a share of the frame's diagonal.
        turn: Rotation of the thing.
        target: Box in the thing's plane z = 0, in millimetres.
        share: Projected area of the target per area of the frame; above 1 it exceeds the frame.
        centre: Where the middle of the target appears, relative to the middle of the frame.
    """
    left, top, right, bottom = target
    middle = np.array([(left + right) / 2, (top + bottom) / 2, 0.0])
    reach = focal * float(np.hypot(frame.width, frame.height))
    distance = reach * float(np.sqrt((right - left) * (bottom - top) / share))
    for _ in range(6):
        beside = np.array([centre[0], centre[1], reach]) * distance / reach
        pose = Pose(rotation=turn, shift=beside - turn @ middle, focal=focal, frame=frame)
        seen = area(project(pose.homography(), corners(target)))
        distance *= float(np.sqrt(seen / share))
    return pose


def magnification(homography: Exact, point: Exact) -> float:
    """Return frame units per millimetre at a point of the plane: the root of the ratio of areas."""
    step = 0.01
    around = point + step * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return float(np.sqrt(area(project(homography, around)) / (4 * step * step)))


def seen_box(homography: Exact, frame: Frame, most: float) -> Box:
    """Return the box on a plane, in millimetres, that contains the part the frame shows.

    Args:
        homography: Homography from the plane to the frame.
        frame: The frame.
        most: Largest distance, along each axis, from the point seen in the middle of the frame.
    """
    back = inverse(homography)
    edge = project(back, corners((0, 0, frame.width, frame.height)))
    middle = project(back, np.array([[frame.width / 2, frame.height / 2]]))[0]
    low = np.maximum(edge.min(axis=0), middle - most)
    high = np.minimum(edge.max(axis=0), middle + most)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def through(matrix: Exact, y: Exact, x: Exact) -> tuple[Exact, Exact]:
    """Map the grid of rows y and columns x by a homography; return (y, x), each of shape (h, w)."""
    depth = matrix[2, 0] * x[None, :] + matrix[2, 1] * y[:, None] + matrix[2, 2]
    across = (matrix[0, 0] * x[None, :] + matrix[0, 1] * y[:, None] + matrix[0, 2]) / depth
    down = (matrix[1, 0] * x[None, :] + matrix[1, 1] * y[:, None] + matrix[1, 2]) / depth
    return down, across


def jacobian(matrix: Exact, point: Exact) -> Exact:
    """Return the Jacobian (2, 2) of a homography at a point (x, y), in (y, x) order."""
    ends = np.array([-0.5, 0.5])
    along_y = [place[:, 0] for place in through(matrix, point[1] + ends, point[:1])]
    along_x = [place[0] for place in through(matrix, point[1:], point[0] + ends)]
    return np.array(
        [
            [along_y[0][1] - along_y[0][0], along_x[0][1] - along_x[0][0]],
            [along_y[1][1] - along_y[1][0], along_x[1][1] - along_x[1][0]],
        ]
    )
