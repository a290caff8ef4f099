"""The Space's files import each other by their bare names, as they lie in its repository."""

import sys

from hub_speed import space

sys.path.append(str(space.folder()))
