"""White-box attacks on whole photographs, through every kind of evidence a detector combines.

`photograph` is a differentiable detector of whole photographs and `lattice_height` its spectral
part; `suite` attacks a set of photographs, `outcomes` counts the results, and `tricks` holds
changes that need no gradient.
"""
