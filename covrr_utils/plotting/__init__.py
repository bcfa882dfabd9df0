"""Figures and tables, the published ones among them."""
