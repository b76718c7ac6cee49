"""Data sets: crops of known class and source, cut from photographs and split without leaks."""

import lazy_loader  # names are imported on first use

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
