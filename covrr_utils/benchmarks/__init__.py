"""Triplets, the gallery they are ranked against, and the files of their videos."""
