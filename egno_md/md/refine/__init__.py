"""From a predicted frame to a state of MD."""
