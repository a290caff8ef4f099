"""Model endpoints: the only package that opens sockets to a model server."""
