"""Engines that run work over many items: in supervised processes here, or on a cluster.

Nothing is imported here, so that main processes start quickly.
"""
