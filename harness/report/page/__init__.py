"""What only the page of a trained model has: its facts, its confusion matrix, and its gallery of explained images."""
