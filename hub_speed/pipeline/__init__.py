"""The table of stages, planning and running them."""
