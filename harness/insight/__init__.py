"""What a trained network looks at and what its filters are: models and arrays in, arrays out."""
