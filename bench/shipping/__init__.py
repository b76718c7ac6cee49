"""The steps of bench/shipped.py, one file each."""
