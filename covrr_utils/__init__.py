"""CoVR-R Workbook: reason-aware composed video retrieval, to learn, run and extend."""

import warnings

__version__ = "0.1.0"

# In a notebook, tqdm asks for ipywidgets when other packages import it; plain text bars are what
# this workbook wants.
warnings.filterwarnings("ignore", message="IProgress not found")
