"""What a reasoning trace is, how one is read from a model's words, and when two of them say the
same.
"""
