"""Drawing noisy copies, asking the classifier, counting answers."""
