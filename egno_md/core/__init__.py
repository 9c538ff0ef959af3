"""What everything else stands on: units, states, systems, windows, errors."""
