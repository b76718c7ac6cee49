"""Parts of `bench/run.py`: the implementations that are timed, and the timing."""
