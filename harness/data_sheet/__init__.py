"""`harness data`: what a config trains on, in numbers and in pictures, before anything is trained."""
