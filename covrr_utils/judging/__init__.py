"""Is the reasoning right, and why was a target missed?"""
