"""Nothing is computed twice: descriptions on disk, filled batch by batch."""
