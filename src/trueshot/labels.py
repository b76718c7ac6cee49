"""The two classes, in the order of labels and logits; 0 is always the untouched camera image."""

CLASSES = ("original", "recaptured")
