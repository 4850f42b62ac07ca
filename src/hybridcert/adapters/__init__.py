"""From what users have to the classifier seam. No adapter knows another."""
