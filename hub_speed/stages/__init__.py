"""The stages, one file each. A stage knows neither the other stages nor the Hub, only its input folders."""
