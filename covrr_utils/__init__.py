"""CoVR-R Workbook: reason-aware composed video retrieval, to learn, run and extend."""

__version__ = "0.1.0"
