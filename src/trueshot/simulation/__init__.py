"""Physics of true shots and recaptures: scenes, cameras, displays, prints. No learning."""
