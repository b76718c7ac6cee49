"""The adversary of whole photographs, who knows the detector: white-box, through all that it joins.

`photograph` is a detector of photographs with a gradient, `lattice_height` the part of it that
looks at spectra; `suite` attacks a set of photographs, `outcomes` counts what became of them, and
`tricks` are changes that need no gradient.
"""
