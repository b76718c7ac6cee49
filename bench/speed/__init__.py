"""Parts of `bench/run.py`: what is timed, against what, and how."""
