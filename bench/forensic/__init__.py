"""Parts of `bench/forensics.py`: the plan of its table, the code that runs it, and the page."""
