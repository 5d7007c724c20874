"""Routes of the control surface, one module for each thing that is controlled."""
