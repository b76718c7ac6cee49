"""Where work over many items is done: in guarded processes here, or on the machines of a cluster.

Nothing is imported here, as main processes start quickly by importing little.
"""
