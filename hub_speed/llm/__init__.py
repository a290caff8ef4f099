"""Model endpoints: the only package that opens sockets to a model server."""

import logging

logging.getLogger("hub_speed").addHandler(logging.NullHandler())  # heard only where the program sets up logging
