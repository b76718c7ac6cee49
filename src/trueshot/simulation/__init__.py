"""Physical simulation of true shots and recaptures: scenes, cameras, displays and prints."""
