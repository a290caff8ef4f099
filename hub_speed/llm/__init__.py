"""Model endpoints: the only package that opens sockets to a model server."""

import logging

# Messages are heard only where the program sets up logging.
logging.getLogger("hub_speed").addHandler(logging.NullHandler())
