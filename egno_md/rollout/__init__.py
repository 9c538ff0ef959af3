"""The window loop: surrogate, controller, thermostat, recording."""
