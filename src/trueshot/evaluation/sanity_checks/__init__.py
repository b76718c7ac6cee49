"""Probes: small experiments on a detector that tell whether a good figure can be trusted."""
