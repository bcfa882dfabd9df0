"""From a video file to frames and the times at which they stand."""
