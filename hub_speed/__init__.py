"""hub_speed: training data for text-embedding models, made by small aligned models, as versioned Hub repositories."""

__version__ = "0.1.0"
