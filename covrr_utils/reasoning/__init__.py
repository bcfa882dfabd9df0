"""From an edit to a trace, and from the trace to a description of the video after the edit."""
