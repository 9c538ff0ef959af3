"""What YAML may say."""
