"""Systems from structures."""
