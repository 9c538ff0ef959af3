"""Windows proposed, judged, corrected and recorded."""
