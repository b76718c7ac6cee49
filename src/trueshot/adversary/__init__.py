"""White-box attacks on whole photographs, through every kind of evidence a detector combines.

`photograph` is a differentiable detector of whole photographs, `suite` attacks a set of
photographs, `outcomes` counts the results, and `tricks` holds changes that need no gradient.
"""
