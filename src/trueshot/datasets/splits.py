"""Splits into train, validation and test that never divide a source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from trueshot.errors import DatasetError, LeakError

PARTS = ("train", "validation", "test")
_AGAIN = "prepare the data set again"
# It is the same camera, whether it took the original picture or the recapture.
_NAMED_AS = {"first_camera": "camera"}
_SEARCHED_GROUPS = 8
_ORDERS = 100  # tried for more groups than these

Counts = npt.NDArray[np.float64]


def groups_of(keys: Sequence[Iterable[Hashable]]) -> list[int]:
    """Group the photos that share a key, directly or through other photos.

    Args:
        keys: For each photo, the keys that it must not share with another part, such as its bytes,
            its pixels or its source.

    Returns:
        For each photo, the number of its group, counted from 0 in order of first appearance.
    """
    parents = list(range(len(keys)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[Hashable, int] = {}
    for index, own in enumerate(keys):
        for key in own:
            other = first.setdefault(key, index)
            low, high = sorted((root(index), root(other)))
            parents[high] = low
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(len(keys))]


def split_groups(
    counts: Mapping[int, Sequence[int]], fractions: Sequence[float], seed: int
) -> dict[int, str]:
    """Assign each group, as a whole, to a part.

    Args:
        counts: For each group, its number of photos of each class.
        fractions: Shares of train, validation and test; they sum to 1.
        seed: Seed that breaks ties.

    Returns:
        For each group, the name of its part. Up to eight groups get the best of all assignments;
        more are assigned greedily, largest first, each to the part that lacks most. If a part then
        lacks a class, other orders are tried.

    Raises:
        DatasetError: The assignment leaves a part with a nonzero share without photos of a class.
    """
    groups = sorted(counts)
    random = np.random.default_rng([seed, 2])
    order = [groups[i] for i in random.permutation(len(groups))]
    order.sort(key=lambda group: -sum(counts[group]))
    sizes = np.array([counts[group] for group in order], dtype=float).reshape(len(order), -1)
    wanted = np.outer(fractions, sizes.sum(0))
    few = len(order) <= _SEARCHED_GROUPS
    chosen = _best(sizes, wanted) if few else _greedy(sizes, wanted, random)
    if chosen is None or not (_filled(sizes, chosen) > 0)[np.array(fractions) > 0].all():
        raise DatasetError(
            f"{len(order)} sources cannot be split into train, validation and test with every "
            "class in each: give more sources, or split by photo"
        )
    return {group: PARTS[part] for group, part in zip(order, chosen, strict=True)}


def _filled(sizes: Counts, chosen: Sequence[int] | npt.NDArray[np.int64]) -> Counts:
    filled = np.zeros((len(PARTS), sizes.shape[1]))
    np.add.at(filled, np.asarray(chosen), sizes)
    return filled


def _best(sizes: Counts, wanted: Counts) -> Sequence[int] | None:
    best, least = None, np.inf
    for chosen in product(range(len(PARTS)), repeat=len(sizes)):
        filled = _filled(sizes, chosen)
        if not (filled > 0)[wanted > 0].all():
            continue
        distance = float(((filled - wanted) ** 2).sum())
        if distance < least:
            best, least = chosen, distance
    return best


def _greedy(
    sizes: Counts, wanted: Counts, random: np.random.Generator
) -> npt.NDArray[np.int64] | None:
    chosen = np.zeros(len(sizes), np.int64)
    places = np.arange(len(sizes))
    for _ in range(_ORDERS):
        lacking = wanted.copy()
        for place in places:
            need = np.where(wanted > 0, lacking / np.maximum(wanted, 1e-9), -1.0)
            chosen[place] = need[:, sizes[place] > 0].sum(1).argmax()
            lacking[chosen[place]] -= sizes[place]
        if (_filled(sizes, chosen) > 0)[wanted > 0].all():
            return chosen
        places = random.permutation(len(sizes))
    return None


def check_disjoint(
    keys: Mapping[str, Sequence[Hashable]], parts: Sequence[str], advice: str = _AGAIN
) -> None:
    """Check that no photo, source or other key is in two parts.

    Args:
        keys: For each kind of key, such as `source`, the key of each photo.
        parts: Part of each photo.
        advice: What to do about a leak, for the error message.

    Raises:
        LeakError: A key is in two parts; the message names the first such key and the parts.
    """
    for kind, values in keys.items():
        seen: dict[Hashable, str] = {}
        for value, part in zip(values, parts, strict=True):
            if seen.setdefault(value, part) != part:
                raise LeakError(f"{kind} {value}: is in both {seen[value]} and {part}; {advice}")


def check_origins(
    origins: Sequence[Mapping[str, str]],
    parts: Sequence[str],
    advice: str = _AGAIN,
    shared: Sequence[str] = (),
) -> None:
    """Check that no origin of photos is in two parts.

    Args:
        origins: For each photo, the names of its origins by kind; an empty name means none. A
            `first_camera` counts as a `camera`.
        parts: Part of each photo.
        advice: What to do about a leak, for the error message.
        shared: Kinds of origins that parts may share.

    Raises:
        LeakError: An origin is in two parts; the message names the first one, its kind and the
            parts.
    """
    held: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for own, part in zip(origins, parts, strict=True):
        for kind, name in own.items():
            if name and _NAMED_AS.get(kind, kind) not in shared:
                held[_NAMED_AS.get(kind, kind)].append((name, part))
    for kind, pairs in held.items():
        check_disjoint({kind: [n for n, _ in pairs]}, [part for _, part in pairs], advice)
