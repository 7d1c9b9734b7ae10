"""What arrays are called in annotations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
