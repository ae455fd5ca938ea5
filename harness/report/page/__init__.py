"""What only the page of a trained model holds: its facts, its confusion matrix, and its gallery of explained images."""
