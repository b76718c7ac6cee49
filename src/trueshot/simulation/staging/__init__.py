"""Staged photographs: scenes with a medium in them, and scenes that only look like it.

A stage above the pairs of `simulation.pairs`: whole photographs as people take them. Devices and
prints stand in rooms, lie on tables, are held; originals are as hard. `stage` writes files and a
manifest; so does `trueshot stage`.
"""

from trueshot.simulation.staging.production import Staging, stage

__all__ = ["Staging", "stage"]
