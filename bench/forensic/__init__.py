"""Parts of `bench/forensics.py`: the plan of its table, who carries it out, and the page."""
