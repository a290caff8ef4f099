"""The recipes that come with the package, and how a recipe file becomes a `Recipe`."""
