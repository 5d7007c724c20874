"""Parts of the Process operator: pictures, their tiles and mosaics, and their STAC Items."""
