"""Staged photographs: recaptures of displays and prints, and originals that resemble them.

Unlike the crops of `simulation.pairs`, these are whole photographs as people take them: devices and
prints stand in rooms, lie on tables or are held in a hand, and originals are equally difficult.
`stage` and the command `trueshot stage` write the files and a manifest.
"""

from trueshot.simulation.staging.production import Staging, stage

__all__ = ["Staging", "stage"]
