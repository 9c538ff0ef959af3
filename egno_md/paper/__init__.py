"""The published tables: data sets, rivals, training, stress tests."""
