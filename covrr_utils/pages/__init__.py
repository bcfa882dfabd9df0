"""HTML pages in one file, which open from disk: their cards, their moving pictures, their style."""
