"""What bench/shipped.py does, a step a file."""
