"""pandas, as this package uses it: texts are kept as Python's own.

Labels and models may write half characters (lone surrogates). Where pyarrow is installed, pandas
would keep texts as Arrow does, in UTF-8, which knows no such character, and a table of them would
end the command.
"""

import pandas as pd

pd.set_option("mode.string_storage", "python")

__all__ = ["pd"]
